"""LongText-Bench as a scorer: read, clean, match.

Source: X-Omni 2b8237b, textbench. The rules are in `longtext_rules`, the benchmark's number is the metric `longtext_score`
(`evals.metrics.text`); who reads the images is the suite's role `ocr`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.errors import CanaryError, DataError
from evals.protocols import Roles
from evals.scorers import longtext_rules as rules
from evals.scorers.reading import language_of, ocr_of, read, shown
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

_UNITS = {"en": "words", "zh": "characters"}


class LongTextScorer:
    """How many of the wanted words (Chinese: characters) can be read.

    Values: `matched`, `total`, `accuracy` by the official rule; `matched_strict`, `strict` with both phrases of the OCR model
    removed (see `longtext_rules.clean`).
    """

    name = "longtext"
    version = "1"
    source = "X-Omni 2b8237b, textbench (clean_and_remove_hallucinations, summary_scores.py)"

    def __init__(self, *, roles: Roles) -> None:
        """Bind the rules to an OCR engine.

        Args:
            roles: `ocr`.

        Raises:
            PluginError: the role is missing.
        """
        self.ocr = ocr_of(roles, self.name)

    def canary(self) -> None:
        """Judge hand-worked texts; the OCR engine checks itself."""
        for text, wanted, language, expected in _CANARY:
            found = rules.match(text, wanted, language=language)
            if (found.matched, found.total) != expected:
                raise CanaryError(
                    f'scorer longtext: canary: got {found.matched}/{found.total}; expected {expected[0]}/{expected[1]} for "{text}" '
                    f"and {wanted}. The rules in evals/scorers/longtext_rules.py are not LongText-Bench's."
                )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Judge one image against the texts of `sample.metadata`.

        Raises:
            DataError: the row has no list of texts, or no language.
        """
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        language, wanted = language_of(sample, self.name), sample.metadata.get("text")
        if not isinstance(wanted, list) or not all(isinstance(text, str) for text in wanted):
            raise DataError(
                f"sample {sample.sample_id}: metadata: got text {wanted!r}; expected a list of texts. Use the dataset longtext."
            )
        found = read(self.ocr, image)
        if found.outcome is not Outcome.OK:
            return Score(**key, outcome=found.outcome, reason=found.reason)
        official = rules.match(found.text, wanted, language=language)
        if not official.total:
            # The official script stops with a division by zero here.
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="nothing is left of the wanted text to look for")
        strict = rules.match(found.text, wanted, language=language, strict=True)
        evidence = {"read": found.text, "cleaned": official.cleaned, "compared": official.read, "wanted": official.wanted}
        values = {
            "accuracy": official.accuracy,
            "matched": float(official.matched),
            "total": float(official.total),
            "strict": strict.accuracy,
            "matched_strict": float(strict.matched),
        }
        reason = shown(evidence, official.matched, official.total, _UNITS[language])
        return Score(**key, outcome=Outcome.OK, values=values, reason=reason, evidence=evidence)


# (read, wanted, language, (matched, total)); worked by hand from the published rules.
_CANARY: tuple[tuple[str, list[str], str, tuple[int, int]], ...] = (
    ("Fresh brews every morning", ["FRESH BREWS, EVERY MORNING,", "EVERY DAY"], "en", (4, 6)),
    ("CENTRAL-PARK 2 BLOCKS", ["CENTRAL PARK - 2 BLOCKS"], "en", (2, 4)),
    ("locally roasted roasted since", ["Locally Roasted Since 1998"], "en", (3, 4)),
    ("No text recognized.", ["No text"], "en", (0, 2)),
    ("addCriterion", ["addCriterion"], "en", (1, 1)),
    ("本地烘培始于1988", ["本地烘焙，始于1998"], "zh", (8, 10)),
    ("cafe a", ["Cafe A"], "zh", (3, 5)),
)
