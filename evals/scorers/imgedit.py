"""ImgEdit-Bench as scorers: ask the judge about source and edited image, read the reply by both policies.

Source: PKU-YuanGroup/ImgEdit 547185d, `Benchmark/Basic/basic_bench.py` and `Benchmark/UGE/UGE_bench.py`. The rules are in
`imgedit_rules`, the rubrics in `edit_rubrics`; the judge is a role, so that official and mini are scored by the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError, PluginError
from evals.judges.reading import evidence, unusable
from evals.protocols import Judge, Roles
from evals.scorers import edit_rubrics
from evals.scorers import imgedit_rules as rules
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image


class _EditScorer:
    """One question about two pictures; the subclasses know the rubric and what is strict."""

    name = ""
    version = "1"
    needs_source = True

    def __init__(self, roles: Roles, max_tokens: int | None) -> None:
        if "judge" not in roles:
            raise PluginError(f"scorer {self.name}: roles: got no judge; expected one. Add `judge:` under `roles:`.")
        self.judge: Judge = roles["judge"]
        self.max_tokens = max_tokens

    def _judged(
        self,
        sample: Sample,
        output: Output,
        pictures: tuple[Image.Image | None, Image.Image],
        rubric: str,
        strict: Callable[[str], rules.Reading],
    ) -> Score:
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        edited, source = pictures
        if edited is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        question = rubric.replace(edit_rubrics.EDIT_SLOT, sample.prompt)
        reply = self.judge.ask(question, [source, edited], max_tokens=self.max_tokens)
        found: dict[str, Any] = evidence(reply)
        failed = unusable(reply)
        if failed is not None:
            return Score(**key, outcome=failed[0], reason=failed[1], evidence=found)
        readings = {"score": rules.official(str(reply.text)), "strict": strict(str(reply.text))}
        values = {name: reading.value for name, reading in readings.items() if reading.value is not None}
        found["scores"] = {name: list(reading.scores) for name, reading in readings.items()}
        if not values:
            reason = f"the reply {readings['strict'].reason}"
            return Score(**key, outcome=Outcome.JUDGE_UNPARSED, reason=reason, evidence=found)
        found["outcomes"] = {name: Outcome.JUDGE_UNPARSED.value for name in readings if name not in values}
        if readings["strict"].capped:
            found["capped"] = list(readings["strict"].capped)
        parts = [readings["score"].reason if "score" in values else f"official reading: none, the reply {readings['score'].reason}"]
        parts.append(f"strict: {readings['strict'].reason if 'strict' in values else 'none, the reply ' + readings['strict'].reason}")
        return Score(**key, outcome=Outcome.OK, values=values, reason="; ".join(parts), evidence=found)


class ImgEditScorer(_EditScorer):
    """Three scores of 1 to 5 an edit; `score` is their mean as the official code reads them, `strict` the careful reading's."""

    name = "imgedit"
    source = "PKU-YuanGroup/ImgEdit 547185d, Benchmark/Basic/basic_bench.py"

    def __init__(self, *, roles: Roles, rubric: str = "official", folder: str | None = None, max_tokens: int | None = None) -> None:
        """Bind the rules to a judge and read the nine rubrics.

        Args:
            roles: `judge`.
            rubric: `official` (the benchmark's `prompts.json`) or `mini`.
            folder: a copy of the benchmark; None looks under the data root.
            max_tokens: longest reply; None takes the judge's own.

        Raises:
            PluginError: no judge, or an unknown rubric.
            DataError: the official file is missing or malformed.
        """
        super().__init__(roles, max_tokens)
        self.rubrics = _chosen(self.name, rubric, lambda: edit_rubrics.imgedit_rubrics(folder), edit_rubrics.MINI_IMGEDIT)

    def canary(self) -> None:
        """Read replies with known scores.

        Raises:
            CanaryError: one is read otherwise.
        """
        for reply, *wanted in _CANARY:
            got = [rules.official(reply).value, rules.strict(reply, rules.NAMES["replace"]).value]
            _same(self.name, reply, got, wanted)

    def score(self, sample: Sample, output: Output, image: Image.Image | None, *, source: Image.Image) -> Score:
        """Judge one edit; `metadata["edit_type"]` chooses the rubric.

        Raises:
            DataError: the sample has no edit type of the nine.
        """
        kind = sample.metadata.get("edit_type")
        if kind not in self.rubrics:
            raise DataError(
                f"sample {sample.sample_id}: metadata.edit_type: got {kind}; expected one of {', '.join(rules.TYPES)}. "
                "Use an imgedit dataset."
            )
        names = rules.names_of(self.rubrics[kind], kind)
        return self._judged(sample, output, (image, source), self.rubrics[kind], lambda reply: rules.strict(reply, names))


class ImgEditUgeScorer(_EditScorer):
    """One score of 1 to 5 an edit, by the common rubric of the UGE suite."""

    name = "imgedit-uge"
    source = "PKU-YuanGroup/ImgEdit 547185d, Benchmark/UGE/UGE_bench.py"

    def __init__(self, *, roles: Roles, folder: str | None = None, max_tokens: int | None = None) -> None:
        """Bind the rules to a judge and read the rubric out of the official script.

        Raises:
            PluginError: no judge.
            DataError: the official script is missing or malformed.
        """
        super().__init__(roles, max_tokens)
        self.rubric = edit_rubrics.uge_rubric(folder)

    def canary(self) -> None:
        """Read replies with known scores.

        Raises:
            CanaryError: one is read otherwise.
        """
        for reply, *wanted in _UGE_CANARY:
            _same(self.name, reply, [rules.official(reply).value, rules.strict_uge(reply).value], wanted)

    def score(self, sample: Sample, output: Output, image: Image.Image | None, *, source: Image.Image) -> Score:
        """Judge one edit."""
        return self._judged(sample, output, (image, source), self.rubric, rules.strict_uge)


def _chosen(name: str, rubric: str, official: Callable[[], dict[str, str]], mini: dict[str, str]) -> dict[str, str]:
    if rubric not in ("official", "mini"):
        raise PluginError(f"scorer {name}: rubric: got {rubric}; expected official or mini. Change the suite.")
    return official() if rubric == "official" else mini


def _same(name: str, reply: str, got: list[float | None], wanted: list[float | None]) -> None:
    if any((a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > 1e-9) for a, b in zip(got, wanted, strict=True)):
        raise CanaryError(
            f"scorer {name}: canary: got {got} for {reply!r}; expected {wanted} (official, strict). "
            "The rules in evals/scorers/imgedit_rules.py are not ImgEdit's."
        )


# (reply, official, strict); worked by hand from the published rules.
_CANARY: tuple[tuple[Any, ...], ...] = (
    ("Brief reasoning: fine.\nPrompt Compliance: 5\nVisual Naturalness: 5\nPhysical & Detail Integrity: 4", 14 / 3, 14 / 3),
    ("Prompt Compliance: 4/5\nVisual Naturalness: 3/5\nPhysical & Detail Integrity: 2/5", None, 3.0),
    ("Prompt Compliance: 2\nVisual Naturalness: 5\nPhysical & Detail Integrity: 5", 4.0, 2.0),
    ("Prompt Compliance: 5\nVisual Naturalness: 4", 4.5, None),
    ("I cannot judge this.", None, None),
)
_UGE_CANARY: tuple[tuple[Any, ...], ...] = (
    ("Brief reasoning: fine.\nScore: 4", 4.0, 4.0),
    ("Brief reasoning: the logo is unchanged. Score: 2.", None, 2.0),
    ("Brief reasoning: fine.", None, None),
)
