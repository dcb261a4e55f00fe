"""Does the model read what it has written? Agreement of four witnesses about each image, and what decode and re-encode change.

Source: ours (see `shared_context_rules`). The detector answers as C and gives GenEval's verdict, by which best-of-n is judged.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError
from evals.protocols import Detection, Roles
from evals.scorers import geneval_rules
from evals.scorers import shared_context_rules as rules
from evals.scorers.geneval import GenEvalScorer
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image


class SharedContextScorer:
    """Pairwise agreements, bit flips by level, positions computed, and whether the image is right."""

    name = "shared-context"
    version = "1"
    source = "uniar, evals/scorers/shared_context_rules.py"

    def __init__(
        self, *, roles: Roles, threshold: float = 0.3, counting_threshold: float = 0.9, classes: str = "coco"
    ) -> None:
        """Bind the witnesses to a detector.

        Args:
            roles: `detector`, and `color` unless the detector fills colours itself.
            threshold: score a detection must exceed.
            counting_threshold: the same where objects are counted.
            classes: `coco` or `shapes`.

        Raises:
            PluginError: no detector.
        """
        self._geneval = GenEvalScorer(roles=roles, threshold=threshold, counting_threshold=counting_threshold, classes=classes)

    def canary(self) -> None:
        """Check the reading of answers and the pairs on hand-worked cases, and GenEval's rules and detector.

        Raises:
            CanaryError: a known case comes out wrong.
        """
        got = rules.agreements(
            ["presence", "count", "color"],
            {"a": ["yes", "2", None], "b": ["yes", "3", "red"], "c": ["yes", "2", None], "d": ["yes", "2", "red"]},
        )
        wanted = {"ab": 1 / 3, "ac": 1.0, "bc": 0.5, "ad": 2 / 3, "bd": 2 / 3, "cd": 1.0, "undecided_a": 1 / 3, "undecided_b": 0.0}
        if any(abs(got.get(key, -1.0) - value) > 1e-12 for key, value in wanted.items()):
            raise CanaryError(f"scorer shared-context: canary: got {got}; expected {wanted}.")
        self._geneval.canary()

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Compare the witnesses on one image.

        Raises:
            DataError: the sample or the output is of another suite.
        """
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to look at")
        questions, told = sample.metadata.get("questions"), _told(sample, output)
        if not questions:
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="nothing is asked about this image")
        kinds = [question["kind"] for question in questions]
        verdict, seen, counted = self._look(sample, image)
        answers: dict[str, list[str | None]] = {
            "a": [rules.read_answer(kind, text) for kind, text in zip(kinds, told["context"], strict=True)],
            "b": [rules.read_answer(kind, text) for kind, text in zip(kinds, told["reencoded"], strict=True)],
            "c": [rules.detector_answer(question, seen, counted) for question in questions],
            "d": [question["expected"] for question in questions],
        }
        values = rules.agreements(kinds, answers)
        values |= {f"flips/level {level}": share for level, share in enumerate(told["flips"])}
        values |= {"positions_context": float(told["positions"]["context"]), "positions_reencoded": float(told["positions"]["reencoded"])}
        values["correct"] = float(verdict.correct)
        rows = [
            {"question": q["question"], "context": a, "re-encoded": b, "detector": c, "meant": d}
            for q, a, b, c, d in zip(questions, told["context"], told["reencoded"], answers["c"], answers["d"], strict=True)
        ]
        parted = [row["question"] for row, a, b in zip(rows, answers["a"], answers["b"], strict=True) if a is None or a != b]
        reason = f"A and B part on: {'; '.join(parted)}" if parted else ""
        return Score(**key, outcome=Outcome.OK, values=values, reason=reason, evidence={"questions": rows, "verdict": verdict.reason})

    def _look(self, sample: Sample, image: Image.Image) -> tuple[geneval_rules.Verdict, dict[str, list[Detection]], dict[str, int]]:
        from dataclasses import replace

        geneval, row = self._geneval, sample.metadata["row"]
        found = geneval.detector.detect(image, geneval.classes)
        seen = geneval_rules.select(found, geneval.classes, threshold=geneval.threshold)
        strict = geneval_rules.select(found, geneval.classes, threshold=geneval.counting_threshold)
        if geneval.color is not None:
            wanted = {question["class"] for question in sample.metadata["questions"]}
            for name in [name for name in seen if name in wanted]:
                colors = geneval.color.classify(image, seen[name], name)
                seen[name] = [replace(d, color=color) for d, color in zip(seen[name], colors, strict=True)]
        kept = strict if row.get("tag") == "counting" else seen
        colored = {id(d): d.color for group in seen.values() for d in group}
        verdict = geneval_rules.evaluate(kept, row, color_of=lambda _, group: [colored.get(id(d), d.color) for d in group])
        return verdict, seen, {name: len(group) for name, group in strict.items()}


def _told(sample: Sample, output: Output) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(output.text or "")
        missing = {"context", "reencoded", "flips", "positions"} - set(told)
    except ValueError:
        missing = {"JSON"}
    if missing:
        lacking = sorted(missing)[0]
        raise DataError(f"sample {sample.sample_id}: output: got no {lacking}; expected the record of a conversation. Use verb: converse.")
    return told
