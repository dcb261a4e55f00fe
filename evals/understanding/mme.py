"""MME: two questions an image; a subtask scores 100 x accuracy + 100 x share of images with both right.

Perception sums ten subtasks (at most 2,000), cognition four (800). Sources: VLMEvalKit e8e78f0 `MME_rating` (which calls cognition
"reasoning", and asks of an image with other than two questions the first two only); lmms-eval 75571cf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evals.errors import DataError
from evals.understanding import yes_no

PERCEPTION = ("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")

Row = Mapping[str, Any]
"""`question_id` (of the image), `category` (subtask), `answer`, `prediction`."""


def subtask_scores(rows: Sequence[Row], *, read: Callable[[str], str] = yes_no.lmms_mme) -> dict[str, float]:
    """Return each subtask's score, 0 to 200, in the order of first appearance.

    Args:
        rows: two an image.
        read: one of the rules of `yes_no`; an answer that is neither is wrong.

    Raises:
        DataError: an image without exactly two questions.
    """
    images: dict[str, dict[Any, list[bool]]] = {}
    for row in rows:
        hit = read(row["prediction"]).lower() == row["answer"].lower().strip()
        images.setdefault(row["category"], {}).setdefault(row["question_id"], []).append(hit)
    out = {}
    for category, own in images.items():
        odd = next((name for name, hits in own.items() if len(hits) != 2), None)
        if odd is not None:
            raise DataError(f"mme: {category}: image {odd}: got {len(own[odd])} questions; expected two. Fetch the data again.")
        hits = [hit for pair in own.values() for hit in pair]
        out[category] = 100.0 * sum(hits) / len(hits) + 100.0 * sum(map(all, own.values())) / len(own)
    return out


def totals(scores: Mapping[str, float]) -> dict[str, float]:
    """Return `perception` and `cognition`: sums over the subtasks that are there."""
    return {
        name: sum(scores[part] for part in parts if part in scores)
        for name, parts in (("perception", PERCEPTION), ("cognition", COGNITION))
    }
