"""OneIG-Bench's text dimension as a scorer: drop black tiles, encode as JPEG, read, compare.

Source: OneIG-Benchmark 41b4983, `scripts/text/text_score.py`. The rules are in `oneig_text_rules`, the benchmark's numbers are the
metrics `oneig_text_score` and `oneig_text_parts` (`evals.metrics.text`); who reads the images is the suite's role `ocr`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.errors import CanaryError, DataError, PluginError
from evals.protocols import Roles
from evals.scorers import oneig_text_rules as rules
from evals.scorers import oneig_tiles as tiles
from evals.scorers.reading import language_of, ocr_of, read, shown
from evals.store.pictures import through_jpeg
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

POLICIES = ("official", "strict")


class OneIGTextScorer:
    """How far the text that can be read is from the wanted text.

    Values: `distance` (characters), `exact` (0 or 1), `matched`, `total`, `accuracy` (their ratio), `limit` (the benchmark's M).
    """

    name = "oneig-text"
    version = "1"
    source = "OneIG-Benchmark 41b4983, scripts/text/text_score.py"

    def __init__(self, *, roles: Roles, jpeg_quality: int | None = tiles.JPEG_QUALITY, policy: str = "official") -> None:
        """Bind the rules to an OCR engine.

        Args:
            roles: `ocr`.
            jpeg_quality: of the JPEG through which an image goes before it is read, as in the official code; None leaves it.
            policy: what the metric `oneig_text_score` makes of a prompt whose images are all black: `official` repeats what was
                read of the prompt before it in the plan, `strict` leaves it out.

        Raises:
            PluginError: the role is missing, or no such policy.
        """
        if policy not in POLICIES:
            raise PluginError(f"scorer oneig-text: policy: got {policy}; expected one of {', '.join(POLICIES)}.")
        self.ocr = ocr_of(roles, self.name)
        self.jpeg_quality = tiles.checked_quality(jpeg_quality, asked="scorer oneig-text")
        self.policy = policy

    def canary(self) -> None:
        """Judge hand-worked texts; the OCR engine checks itself."""
        for text, cell, expected in _CANARY:
            found = rules.match(text, cell)
            if (found.distance, found.matched, found.total) != expected:
                raise CanaryError(
                    f'scorer oneig-text: canary: got {tuple(found[2:])}; expected {expected} for "{text}" and {cell}. '
                    "The rules in evals/scorers/oneig_text_rules.py are not OneIG-Bench's."
                )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Judge one image against the cell of `sample.metadata`.

        Raises:
            DataError: the row has no cell, or no language.
        """
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        language, cell = language_of(sample, self.name), sample.metadata.get("text_content")
        if not isinstance(cell, str):
            raise DataError(
                f"sample {sample.sample_id}: metadata: got text_content {cell!r}; expected the cell as text. Use the dataset oneig-text."
            )
        if tiles.is_black(image):
            reason = rules.BLACK_REPEATED if self.policy == "official" else rules.BLACK_DROPPED
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason=reason)
        found = read(self.ocr, through_jpeg(image, self.jpeg_quality), max_tokens=rules.reply_tokens(cell))
        if found.outcome is not Outcome.OK:
            return Score(**key, outcome=found.outcome, reason=found.reason)
        verdict = rules.match(found.text, cell)
        evidence = {"read": found.text, "compared": verdict.read, "wanted": verdict.wanted, "language": language}
        values = {
            "accuracy": verdict.accuracy,
            "distance": float(verdict.distance),
            "exact": float(verdict.exact),
            "matched": float(verdict.matched),
            "total": float(verdict.total),
            "limit": float(rules.LIMITS[language]),
        }
        unit = "characters" if rules.has_chinese(verdict.wanted) else "words"
        reason = f"edit distance {verdict.distance}, {shown(evidence, verdict.matched, verdict.total, unit)}"
        return Score(**key, outcome=Outcome.OK, values=values, reason=reason, evidence=evidence)


# (read, cell, (edit distance, matched, total)); worked by hand from the published rules.
_CANARY: tuple[tuple[str, str, tuple[int, int, int]], ...] = (
    ("hello World\nOpen 24", "['Hello World', 'Open 24h']", (2, 2, 4)),
    ("城市区", "['城市地区']", (1, 3, 4)),
    ("addCriterion\nNo text recognized.", "['Echo']", (4, 0, 1)),
    ("NO TEXT RECOGNIZED.", "['Echo']", (17, 0, 1)),
    ("Echo", "['Echo']", (0, 1, 1)),
)
