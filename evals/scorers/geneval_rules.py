"""GenEval's verdict as pure functions: which detections count, whether an image is right, what a set of rows sums to.

Source: djghosh13/geneval af4902f, `evaluation/evaluate_images.py` and `summary_scores.py`. All box arithmetic is
float32, as there: it decides ties at the thresholds. Leaves finding objects and colours to `evals.perception`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.vocabulary import COLORS

if TYPE_CHECKING:
    from evals.protocols import Detection

ColorOf = Callable[[str, "Sequence[Detection]"], "Sequence[str | None]"]
"""(class name, instances) -> colour of each; asked only for clauses with a colour whose objects were found."""


class Verdict(NamedTuple):
    """Whether an image shows what its row asks, and why not."""

    correct: bool
    reason: str
    """Official wording, one line a failed clause; empty when correct."""


def iou(a: Sequence[Any], b: Sequence[Any]) -> float:
    """Overlap of two boxes over their union, counting both edge pixels (+1), 0 when the union is empty.

    >>> iou([0, 0, 9, 9], [0, 0, 9, 4])
    0.5
    """

    def area(x1: Any, y1: Any, x2: Any, y2: Any) -> Any:
        return max(x2 - x1 + 1, 0) * max(y2 - y1 + 1, 0)

    common = area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    union = area(*a[:4]) + area(*b[:4]) - common
    return common / union if union else 0.0


def relative_position(box_a: Sequence[float], box_b: Sequence[float], *, position_threshold: float = 0.1) -> list[str]:
    """Where A lies from B: none, one or two of the four relations, sorted by name.

    The offset of the centres is shrunk by `position_threshold` of both sizes, axis by axis, and then divided by the
    length of the un-shrunk offset, so that two boxes must be clearly apart to be in any relation.
    """
    import numpy as np

    boxes = np.array([box_a[:4], box_b[:4]], dtype=np.float32).reshape(2, 2, 2)
    centers = boxes.mean(axis=1)
    sizes = np.abs(boxes[:, 1] - boxes[:, 0])
    offset = centers[0] - centers[1]
    shrunk = np.maximum(np.abs(offset) - np.float32(position_threshold) * (sizes[0] + sizes[1]), 0) * np.sign(offset)
    if np.all(np.abs(shrunk) < 1e-3):
        return []
    dx, dy = shrunk / np.linalg.norm(offset)
    held = {"left of": dx < -0.5, "right of": dx > 0.5, "above": dy < -0.5, "below": dy > 0.5}
    return sorted(name for name, holds in held.items() if holds)


def select(
    detections: Sequence[Detection],
    classes: Sequence[str],
    *,
    threshold: float,
    max_objects: int = 16,
    max_overlap: float = 1.0,
) -> dict[str, list[Detection]]:
    """Keep, per class, the most confident detections over the threshold.

    Args:
        detections: any order; `label` indexes `classes`.
        classes: class names.
        threshold: a score must be strictly greater, both as float32.
        max_objects: at most so many a class, counted before overlaps are dropped.
        max_overlap: drop a box whose `iou` with a more confident kept one is at least this; 1.0 keeps all.

    Returns:
        Class -> detections by falling score; classes with none left are absent.
    """
    import numpy as np

    by_label: dict[int, list[Detection]] = {}
    for found in detections:
        by_label.setdefault(found.label, []).append(found)
    kept: dict[str, list[Detection]] = {}
    for label in sorted(by_label):
        group = by_label[label]
        scores = np.array([d.score for d in group], dtype=np.float32)
        # Reversed ascending order, as the official code has it: it decides which of two equal scores comes first.
        order = [int(i) for i in np.argsort(scores)[::-1] if scores[i] > np.float32(threshold)][:max_objects]
        boxes = np.array([d.box for d in group], dtype=np.float32)
        chosen: list[int] = []
        for index in order:
            if max_overlap == 1.0 or all(iou(boxes[k], boxes[index]) < max_overlap for k in chosen):
                chosen.append(index)
        if chosen:
            kept[classes[label]] = [group[i] for i in chosen]
    return kept


def evaluate(
    kept: Mapping[str, Sequence[Detection]],
    metadata: Mapping[str, Any],
    *,
    color_of: ColorOf,
    position_threshold: float = 0.1,
) -> Verdict:
    """Judge the kept detections of one image against its row.

    Colour and place are looked at on the `count` most confident objects only: a further object of the right colour
    does not help.
    """
    reasons: list[str] = []
    groups: list[Sequence[Detection] | None] = []
    for clause in metadata.get("include", []):
        found = kept.get(clause["class"], [])[: clause["count"]]
        failure = _clause_failure(found, clause, groups, color_of, position_threshold)
        if failure is not None:
            reasons.append(failure)
        groups.append(found if failure is None else None)
    for clause in metadata.get("exclude", []):
        present = len(kept.get(clause["class"], []))
        if present >= clause["count"]:
            reasons.append(f"expected {clause['class']}<{clause['count']}, found {present}")
    return Verdict(not reasons, "\n".join(reasons))


def _clause_failure(
    found: Sequence[Detection],
    clause: Mapping[str, Any],
    groups: Sequence[Sequence[Detection] | None],
    color_of: ColorOf,
    position_threshold: float,
) -> str | None:
    # The first thing wrong with one include clause, in the official words.
    name, count = clause["class"], clause["count"]
    if len(found) < count:
        return f"expected {name}>={count}, found {len(found)}"
    if "color" in clause:
        wanted, seen = clause["color"], list(color_of(name, found))
        if seen.count(wanted) < count:
            tally = ", ".join(f"{seen.count(color)} {color}" for color in COLORS if color in seen)
            return f"expected {wanted} {name}>={count}, found {seen.count(wanted)} {wanted}; and {tally}"
    if "position" in clause:
        relation, index = clause["position"]
        target = groups[index]
        if target is None:
            return f"no target for {name} to be {relation}"
        for thing in found:
            for other in target:
                held = relative_position(thing.box, other.box, position_threshold=position_threshold)
                if relation not in held:
                    return f"expected {name} {relation} target, found {' and '.join(held)} target"
    return None


class TaskCount(NamedTuple):
    """Right images of one task."""

    correct: int
    total: int

    @property
    def score(self) -> float:
        """Share of images that are right."""
        return self.correct / self.total


class Summary(NamedTuple):
    """The benchmark's numbers over a set of judged images."""

    total_images: int
    total_prompts: int
    image_accuracy: float
    prompt_accuracy: float
    """Share of prompts with at least one right image."""
    tasks: dict[str, TaskCount]
    """Tag -> counts, in order of first appearance."""
    overall: float
    """Unweighted mean of the task scores: GenEval's headline."""

    def text(self) -> str:
        """What the official `summary_scores.py` prints."""
        lines = [
            "Summary",
            "=======",
            f"Total images: {self.total_images}",
            f"Total prompts: {self.total_prompts}",
            f"% correct images: {self.image_accuracy:.2%}",
            f"% correct prompts: {self.prompt_accuracy:.2%}",
            "",
            "Task breakdown",
            "==============",
            *(f"{tag:<16} = {task.score:.2%} ({task.correct} / {task.total})" for tag, task in self.tasks.items()),
            "",
            f"Overall score (avg. over tasks): {self.overall:.5f}",
        ]
        return "\n".join(lines) + "\n"


def summary(rows: Iterable[Mapping[str, Any]]) -> Summary:
    """Sum up judged images.

    Args:
        rows: one an image, with `tag`, `metadata` (JSON text of the row: what makes two images one prompt) and
            `correct`.

    Raises:
        ValueError: no rows; there is no number for nothing.
    """
    tasks: dict[str, TaskCount] = {}
    prompts: dict[str, bool] = {}
    for row in rows:
        correct = bool(row["correct"])
        before = tasks.get(row["tag"], TaskCount(0, 0))
        tasks[row["tag"]] = TaskCount(before.correct + correct, before.total + 1)
        prompts[row["metadata"]] = prompts.get(row["metadata"], False) or correct
    if not tasks:
        raise ValueError("no judged images to sum up")
    total = sum(task.total for task in tasks.values())
    return Summary(
        total_images=total,
        total_prompts=len(prompts),
        image_accuracy=sum(task.correct for task in tasks.values()) / total,
        prompt_accuracy=sum(prompts.values()) / len(prompts),
        tasks=tasks,
        overall=sum(task.score for task in tasks.values()) / len(tasks),
    )
