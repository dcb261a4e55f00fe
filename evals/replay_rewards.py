"""Golden cases of the published RL rewards, replayed through the functions that `evals.rewards` calls.

Each function takes a case's `inputs` and returns what its `expected` holds; `evals.parity` compares. GenEval's goes through
`GenEvalReward` with stand-in roles that answer what the case says was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evals import reward_rules as rules
from evals.protocols import Detection

if TYPE_CHECKING:
    from PIL import Image

Case = dict[str, Any]

_OTHER_TASK = -10.0
"""What the published server puts into the lists of the tasks that an image does not belong to."""


class _Seen:
    """Detector and colour classifier that answer from a case."""

    name = "recorded"

    def __init__(self, inputs: Case) -> None:
        wanted = [clause["class"] for key in ("include", "exclude") for clause in inputs["metadata"].get(key) or []]
        self.classes = sorted({*inputs["detections"], *wanted})
        self._found = [
            Detection(label=self.classes.index(name), score=d["score"], box=tuple(d["box"]), color=d["color"])
            for name, group in inputs["detections"].items()
            for d in group
        ]

    def detect(self, image: Image.Image, classes: Sequence[str]) -> list[Detection]:
        return self._found

    def classify(self, image: Image.Image, detections: Sequence[Detection], object_class: str) -> list[str]:
        return [str(d.color) for d in detections]


def geneval_reward(inputs: Case) -> Case:
    """Dense credit, the benchmark's verdict, the exact verdict, and that by task."""
    from PIL import Image

    from evals.datasets.geneval import TASKS
    from evals.rewards import GenEvalReward
    from evals.scorers.geneval import GenEvalScorer

    row, seen = inputs["metadata"], _Seen(inputs)
    reward = GenEvalReward(GenEvalScorer(roles={"detector": seen, "color": seen}, classes=seen.classes))
    credit, correct = reward.judge(row, Image.new("RGB", (1, 1)))
    grouped = {task: [float(credit.correct) if task == row["tag"] else _OTHER_TASK] for task in TASKS}
    return {"score": credit.score, "correct": correct, "strict_correct": credit.correct, "grouped_strict": grouped}


def ocr_reward(inputs: Case) -> float:
    """Reward of a prompt and what was read; null is an engine that failed, which is 0 there and has no value with us."""
    read = inputs["recognized"]
    return 0.0 if read is None else rules.ocr_reward(rules.wanted_text(inputs["prompt"]), read)


def ocr_join(inputs: Case) -> Case:
    """One text of an engine's lines (null is none); both versions of the engine's output give the same."""
    text = rules.join_lines(inputs["lines"] or [])
    return {"v3": text, "v2": text}


def unified_reward(inputs: Case) -> float:
    """Reward of a judge's reply; null is a lost one, which is 0 there and has no value with us."""
    return rules.unified_reward(rules.read_reply(inputs["model_output"] or ""))


def extract_score(inputs: Case) -> float:
    """Score of a piece of a reply; null has no number."""
    return rules.extract_score(inputs["text"] or "")
