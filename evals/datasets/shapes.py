"""GenEval-mini: the official prompt forms over the mini world's shapes and colours.

Same generator as the 553 prompts (`evals.datasets.geneval`), another vocabulary. It is small, so single_object repeats
its prompts (each repeat is a sample of its own, with its own seeds) and the other tasks are cut to an equal number of
rows. Leaves drawing and detecting to `uniar.data.shapes` and `evals.perception.shapes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from evals.datasets.geneval import TASKS, Row, generate_rows
from evals.errors import DataError
from evals.types import Sample

SEEN, UNSEEN = "seen", "unseen"
DRAWS = 400
"""Draws a task, enough that a vocabulary of eight shapes yields every counting row."""


def is_unseen(
    row: Row,
    held_out_pair: Callable[[str, str], bool],
    held_out_relation: Callable[[str, str, str], bool],
) -> bool:
    """Whether a row asks for a (shape, colour) pair or a placed shape pair that training never showed."""
    include = row["include"]
    for clause in include:
        if "color" in clause and held_out_pair(clause["class"], clause["color"]):
            return True
        if "position" in clause:
            relation, reference = clause["position"]
            if held_out_relation(clause["class"], relation, include[reference]["class"]):
                return True
    return False


def mixed_rows(rows: Sequence[Row], unseen: Callable[[Row], bool], *, count: int, unseen_count: int) -> list[Row]:
    """The first rows in their order, with `unseen_count` unseen ones among them where the task has any.

    Raises:
        DataError: fewer rows than asked for.
    """
    fresh = [row for row in rows if unseen(row)][:unseen_count]
    known = [row for row in rows if not unseen(row)][: count - len(fresh)]
    if len(fresh) + len(known) < count:
        raise DataError(
            f"shapes-geneval: prompts_per_task: got {count}; expected at most {len(fresh) + len(known)} for "
            f"{rows[0]['tag']}, as the vocabulary has no more. Lower it."
        )
    chosen = {id(row) for row in fresh + known}
    return [row for row in rows if id(row) in chosen]


class ShapesGenEvalDataset:
    """Six GenEval tasks over the mini world, each sample tagged `seen` or `unseen`."""

    def __init__(self, *, seed: int = 43, prompts_per_task: int = 20, unseen_per_task: int = 6) -> None:
        """Fix the draw.

        Args:
            seed: of the generator.
            prompts_per_task: rows kept in each of the six tasks.
            unseen_per_task: how many of them are unseen, in the tasks that can be: colors, position, color_attr.

        Raises:
            DataError: the two numbers do not fit each other.
        """
        if not 0 <= unseen_per_task <= prompts_per_task or prompts_per_task < 1:
            raise DataError(
                f"shapes-geneval: unseen_per_task: got {unseen_per_task} of {prompts_per_task} prompts a task; "
                "expected 0 to prompts_per_task, which is at least 1. Lower it."
            )
        self.seed = seed
        self.prompts_per_task = prompts_per_task
        self.unseen_per_task = unseen_per_task

    @property
    def classes(self) -> tuple[str, ...]:
        """The world's shapes."""
        from uniar.data.shapes import SHAPES

        return tuple(SHAPES)

    def load(self) -> Iterator[Sample]:
        """Yield samples in task order, ids five digits."""
        from uniar.data.shapes import COLORS, SHAPES, is_held_out_pair, is_held_out_relation

        def unseen(row: dict[str, Any]) -> bool:
            return is_unseen(row, is_held_out_pair, is_held_out_relation)

        rows = generate_rows(
            SHAPES,
            COLORS,
            seed=self.seed,
            prompts_per_task=DRAWS,
            uncolored=(),
            single_rounds=-(-self.prompts_per_task // len(SHAPES)),
        )
        index = 0
        for task in TASKS:
            group = [row for row in rows if row["tag"] == task]
            for row in mixed_rows(group, unseen, count=self.prompts_per_task, unseen_count=self.unseen_per_task):
                tags = (UNSEEN if unseen(row) else SEEN,)
                yield Sample(sample_id=f"{index:05d}", task=task, prompt=row["prompt"], metadata=row, tags=tags)
                index += 1
