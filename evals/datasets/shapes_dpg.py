"""DPG-mini: captions of the mini world, the long ones foremost, taken apart into questions that depend on each other.

The form is DPG-Bench's: rows of a table with id, dependency, category tuple and question, grouped by the same rules (the first row is
dropped officially here too; it is one that nothing depends on). Captions are drawn as training draws them, from what it shows. Leaves
answering to `evals.judges.shapes_yes_no`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evals.datasets.geneval import NUMBER_WORDS, plural, with_article
from evals.errors import DataError
from evals.scorers import dpg_rules as rules
from evals.types import Sample

TASKS: tuple[str, ...] = ("long", "color_attr", "position", "counting")
"""Forms of captions; a long one tells colour, size and place of every object, and the background."""
Row = dict[str, Any]


class ShapesDpgDataset:
    """The forms in equal numbers, no caption twice."""

    def __init__(self, *, seed: int = 0, prompts_per_task: int = 6) -> None:
        """Fix the draw.

        Args:
            seed: of the captions.
            prompts_per_task: captions of each form; counting has no more than 24.

        Raises:
            DataError: another number of prompts.
        """
        if not 1 <= prompts_per_task <= 24:
            raise DataError(f"shapes-dpg: prompts_per_task: got {prompts_per_task}; expected 1 to 24. Change it.")
        self.seed = seed
        self.count = prompts_per_task

    def load(self) -> Iterator[Sample]:
        """Yield samples by form; `metadata` has `item_id` and `questions`, as DPG-Bench's."""
        captions: dict[str, tuple[str, str]] = {}
        rows: list[Row] = []
        for task, caption, scene in self._drawn():
            item = f"shapes{len(captions):04d}"
            captions[item] = (task, caption)
            rows += [{"item_id": item, **row} for row in questions_of(scene, task, caption)]
        for item, questions in rules.items(rows).items():
            task, caption = captions[item]
            metadata = {"item_id": item, "questions": [question.to_json() for question in questions]}
            yield Sample(sample_id=item, task=task, prompt=caption, metadata=metadata)

    def _drawn(self) -> Iterator[tuple[str, str, Any]]:
        import numpy as np

        from uniar.data.shapes import sample_captioned

        rng = np.random.default_rng(self.seed)
        for task in TASKS:
            seen: set[str] = set()
            while len(seen) < self.count:
                made = sample_captioned(rng, split="train", task=task)
                shapes = [o.shape for o in made.scene.objects]
                # "The star" must name one object, but for counting, where nothing is asked of one.
                if made.caption not in seen and (task == "counting" or len(set(shapes)) == len(shapes)):
                    seen.add(made.caption)
                    yield task, made.caption, made.scene


def questions_of(scene: Any, task: str, caption: str) -> list[Row]:
    """Take a caption apart into rows of DPG-Bench's table, without the item's id.

    Args:
        scene: what the caption tells of, a `uniar.data.shapes.Scene`.
        task: one of `TASKS`.
        caption: the caption.

    Returns:
        Rows that the scene answers with yes: background, then each object's presence with its properties, then relations.
    """
    from uniar.data.shapes import relations

    rows: list[Row] = []

    def ask(category: str, about: str, question: str, *parents: int) -> int:
        rows.append(
            {
                "text": caption,
                "proposition_id": str(len(rows) + 1),
                "dependency": ", ".join(map(str, parents or (0,))),
                "tuple": f"{category} ({about})",
                "question_natural_language": question,
            }
        )
        return len(rows)

    objects = scene.objects
    if task == "counting":
        shape, count = objects[0].shape, len(objects)
        one = ask("entity - whole", plural(shape), f"Is there {with_article(shape)}?")
        ask("other - count", f"{plural(shape)}, =={count}", f"Are there {NUMBER_WORDS[count]} {plural(shape)}?", one)
        return rows
    if task == "long":
        ask("global - background", scene.background, f"Is the background {scene.background}?")
    there = []
    for o in objects:
        there.append(ask("entity - whole", o.shape, f"Is there {with_article(o.shape)}?"))
        if task in ("long", "color_attr"):
            ask("attribute - color", f"{o.shape}, {o.color}", f"Is the {o.shape} {o.color}?", there[-1])
        if task == "long":
            ask("attribute - size", f"{o.shape}, {o.size}", f"Is the {o.shape} {o.size}?", there[-1])
            place = f"{'in' if o.slot == 'center' else 'at'} the {o.slot}"
            ask("relation - spatial", f"{o.shape}, {place}", f"Is the {o.shape} {place}?", there[-1])
    if task in ("long", "position"):
        for i in range(len(objects) - 1):
            # Clear of the rule's edge, where a pixel would decide; the relation that a caption names always is.
            named = [_relation(caption)] if task == "position" else relations(objects[i], objects[i + 1], least=0.58)[:1]
            for relation in named:
                a, b = objects[i].shape, objects[i + 1].shape
                ask("relation - spatial", f"{a}, {b}, {relation}", f"Is the {a} {relation} the {b}?", there[i], there[i + 1])
    return rows


def _relation(caption: str) -> str:
    from uniar.data.shapes import RELATIONS

    return next(relation for relation in RELATIONS if f" {relation} " in caption)
