"""Conversations about images that the model writes itself: GenEval rows, their questions, and rounds of changes.

Source: prompts of `evals.datasets.geneval`, or of the mini world; questions and changes are derived from their rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evals.datasets.geneval import official_rows
from evals.datasets.shapes import ShapesGenEvalDataset
from evals.datasets.shared_questions import questions_of, recolored
from evals.errors import DataError
from evals.types import Sample
from evals.vocabulary import COLORS, GENEVAL_CLASSES

ROUNDS = ("written", "changed once", "changed twice")
"""Tasks by number of changes."""


class SharedContextDataset:
    """One sample a prompt and number of changes; the last image of each is asked about.

    Args:
        world: `coco` (GenEval's 553 prompts) or `shapes` (the mini world).
        seed: of the prompt generator; choices of absent classes and new colours come from (seed, number of the prompt).
        prompts_per_task: prompts of each GenEval task; 0 takes all.
        changes: largest number of changes, 0 to 2. Only prompts that name a single object of a class can be changed.
        absent: classes asked about that the prompt does not name.
        suffix: appended to every question.

    Raises:
        DataError: a number or a world that cannot be used.
    """

    def __init__(
        self,
        *,
        world: str = "coco",
        seed: int = 43,
        prompts_per_task: int = 0,
        changes: int = 2,
        absent: int = 1,
        suffix: str = "",
    ) -> None:
        if world not in ("coco", "shapes"):
            raise DataError(f"shared-context: world: got {world}; expected coco or shapes.")
        if not 0 <= changes < len(ROUNDS):
            raise DataError(f"shared-context: changes: got {changes}; expected 0 to {len(ROUNDS) - 1}.")
        if prompts_per_task < 0 or absent < 0:
            raise DataError(f"shared-context: got prompts_per_task {prompts_per_task}, absent {absent}; expected 0 or more.")
        self._world, self._seed, self._per_task = world, seed, prompts_per_task
        self._changes, self._absent, self._suffix = changes, absent, suffix

    def load(self) -> Iterator[Sample]:
        """Yield the samples, all prompts without a change first."""
        rows, classes = self._rows()
        for changes in range(self._changes + 1):
            for number, (row, tags) in enumerate(rows):
                made = self._conversation(number, row, classes, changes)
                if made is not None:
                    yield Sample(
                        sample_id=f"{number:05d}-{changes}",
                        task=ROUNDS[changes],
                        prompt=" / ".join(turn["prompt"] for turn in made["turns"]),
                        metadata=made,
                        tags=(row["tag"], *tags),
                    )

    def _rows(self) -> tuple[list[tuple[dict[str, Any], tuple[str, ...]]], Sequence[str]]:
        if self._world == "shapes":
            per_task = self._per_task or 20
            data = ShapesGenEvalDataset(seed=self._seed, prompts_per_task=per_task, unseen_per_task=min(6, per_task))
            return [(sample.metadata, sample.tags) for sample in data.load()], data.classes
        counts: dict[str, int] = {}
        rows = []
        for row in official_rows(seed=self._seed):
            counts[row["tag"]] = counts.get(row["tag"], 0) + 1
            if not self._per_task or counts[row["tag"]] <= self._per_task:
                rows.append((row, ()))
        return rows, GENEVAL_CLASSES

    def _conversation(self, number: int, row: dict[str, Any], classes: Sequence[str], changes: int) -> dict[str, Any] | None:
        import numpy as np

        draw = np.random.default_rng([self._seed, number])
        named = {clause["class"] for clause in row["include"]}
        others = [name for name in classes if name not in named]
        absent = [others[i] for i in draw.choice(len(others), size=min(self._absent, len(others)), replace=False)]
        single = [i for i, clause in enumerate(row["include"]) if clause["count"] == 1]
        turns: list[dict[str, Any]] = [{"prompt": row["prompt"]}]
        for _ in range(changes):
            if not single:
                return None
            # What is asked before a change stays in the context: the model edits what it has talked about.
            turns[-1]["ask"] = [questions_of(row, absent=(), suffix=self._suffix)[0]["question"]]
            index = single[int(draw.integers(len(single)))]
            now = row["include"][index].get("color")
            color = [c for c in COLORS if c != now][int(draw.integers(len(COLORS) - (now is not None)))]
            turns.append({"prompt": f"make the {row['include'][index]['class']} {color}"})
            row = recolored(row, index, color)
        return {"row": row, "turns": turns, "questions": questions_of(row, absent=absent, suffix=self._suffix)}
