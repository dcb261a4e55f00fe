"""Answers about images, judged by the benchmark's own rule (`understanding_rules`).

With the role `judge`, and only then, what no rule can read is asked of it (`understanding_judge`).

An answer that was chosen by log-likelihood (`generate.answer_by`) needs no reading: the option is compared with the key.

Source: the official rules as stated and replayed in `evals.understanding`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError, PluginError
from evals.protocols import Roles
from evals.registry import suggest
from evals.scorers.understanding_judge import matter_of, settle
from evals.scorers.understanding_rules import JUDGED, RULES, chosen
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image


class UnderstandingScorer:
    """`correct`: what an answer is worth, 0 to 1; an answer that the rule cannot read, and no judge settles, is `undecided`."""

    name = "understanding"
    version = "3"
    source = "evals/understanding: the official rules of each benchmark"

    def __init__(self, *, roles: Roles, benchmark: str, rule: str | None = None) -> None:
        """Choose the rule.

        Args:
            roles: `judge`, if answers that no rule reads are to be asked of one.
            benchmark: one of `RULES`.
            rule: where two harnesses differ, which of them; None is the benchmark's own.

        Raises:
            PluginError: an unknown benchmark or rule, or one that needs a judge without one.
        """
        if benchmark not in RULES:
            near = suggest(benchmark, RULES)
            raise PluginError(f"scorer understanding: benchmark: got {benchmark}; expected one of {', '.join(RULES)}.{near}")
        known = RULES[benchmark]
        if rule is not None and rule not in known:
            raise PluginError(f"scorer understanding: rule: got {rule}; expected one of {', '.join(known)} for {benchmark}.")
        self.benchmark, self.rule = benchmark, rule or next(iter(known))
        self._read, self._judge = known[self.rule], roles.get("judge")
        if self.rule == JUDGED and self._judge is None:
            raise PluginError(f"scorer understanding: rule: got {JUDGED} without one; expected the role judge. Add --role judge=NAME.")

    def canary(self) -> None:
        """Judge answers whose worth is known, by the chosen rule.

        Raises:
            CanaryError: one comes out otherwise.
        """
        for row, text, wanted in () if self.rule == JUDGED else _CANARY[self.benchmark]:
            got = self._read(row, text).credit
            if got != wanted:
                raise CanaryError(
                    f'scorer understanding: canary: {self.benchmark}, rule {self.rule}: got {got} for "{text}" where the answer is '
                    f"{row['answer']}; expected {wanted}. The rule in evals/understanding is not the benchmark's."
                )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Judge one answer.

        Raises:
            DataError: the sample is of another benchmark, or lacks what the rule reads.
        """
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        row = sample.metadata
        if "answer" not in row:
            raise DataError(f"sample {sample.sample_id}: metadata: got no answer; expected a row of {self.benchmark}. Use its dataset.")
        text = output.text or ""
        try:
            found = self._read(row, text) if output.likelihoods is None else chosen(row, text)
        except KeyError as error:
            raise DataError(
                f"sample {sample.sample_id}: metadata: got no {error}; expected a row of {self.benchmark}. Use its dataset."
            ) from error
        evidence: dict[str, Any] = {"answer": text, "read": found.read, "rule": found.step, "expected": row["answer"]}
        if output.likelihoods is not None:
            evidence["likelihoods"] = output.likelihoods
        matter = None if self._judge is None or output.likelihoods is not None else matter_of(self.benchmark, row)
        if found.credit is None and matter is not None:
            settled = settle(self._judge, matter, row, text)
            evidence["replies"] = settled.replies
            if settled.reading is None:
                return Score(**key, outcome=settled.outcome, reason=settled.reason, evidence=evidence)
            found = settled.reading
            evidence |= {"read": found.read, "rule": found.step}
        if found.credit is None:
            return Score(**key, outcome=Outcome.UNDECIDED, reason=found.step, evidence=evidence)
        return Score(
            **key, outcome=Outcome.OK, values={"correct": found.credit}, reason=f"read as {found.read or 'nothing'}", evidence=evidence
        )


_CHOICE = {"options": {"A": "red", "B": "blue", "C": "green", "D": "white"}, "answer": "B"}
_LETTER = ((_CHOICE, "B", 1.0), (_CHOICE, "A", 0.0))
_YES = ({"answer": "Yes"}, "Yes", 1.0), ({"answer": "No"}, "Yes", 0.0)
_WORDS = {"answer": "red", "answers": ["red"] * 10}
_CANARY: dict[str, tuple[tuple[dict[str, Any], str, float | None], ...]] = {
    **dict.fromkeys(("mmmu", "mmbench", "mmstar", "seedbench", "ai2d", "scienceqa", "realworldqa"), _LETTER),
    **dict.fromkeys(("pope", "mme", "hallusion"), _YES),
    **dict.fromkeys(("textvqa", "docvqa", "infovqa", "ocrbench"), ((_WORDS, "red", 1.0), (_WORDS, "square", 0.0))),
    "chartqa": (({"answer": "14"}, "14.7", 1.0), ({"answer": "14"}, "14.71", 0.0)),
    "mathvista": (
        ({"answer": "18", "question_type": "free_form", "answer_type": "integer"}, "18", 1.0),
        ({"answer": "18", "question_type": "free_form", "answer_type": "integer"}, "eighteen apples", None),
    ),
}
