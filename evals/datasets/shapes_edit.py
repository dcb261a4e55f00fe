"""Edits of the mini world, in the rows of ImgEdit-Bench or of GEdit-Bench.

Instructions and scenes are those of `uniar.data.shapes.sample_edit`, on which the bundled checkpoint was trained; source images
are drawn once into a folder named after what decides them. Five of ImgEdit's nine types fit: add, remove, replace, recolor
(adjust), background; moving a shape is none of them. Judging is left to `evals.judges.shapes_edit`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.datasets import mini_pictures
from evals.errors import DataError
from evals.types import Sample

if TYPE_CHECKING:
    pass

TYPES: dict[str, dict[str, str]] = {
    "imgedit": {"add": "add", "remove": "remove", "replace": "replace", "recolor": "adjust", "background": "background"},
    "gedit": {
        "add": "subject-add",
        "remove": "subject-remove",
        "replace": "subject-replace",
        "recolor": "color_alter",
        "background": "background_change",
    },
}
"""Benchmark -> kind of the world's edit -> type of the benchmark."""
_SIDE = 64


class ShapesEditDataset:
    """Edits of one kind each, some to scenes that training never showed (tag `unseen`)."""

    def __init__(self, *, benchmark: str = "imgedit", seed: int = 0, samples_per_type: int = 12, unseen_per_type: int = 4) -> None:
        """Fix the draw.

        Args:
            benchmark: `imgedit` or `gedit`: names of the types and form of the rows.
            seed: of scenes and instructions.
            samples_per_type: edits of each of the five types.
            unseen_per_type: how many of them end in a scene with a held-out combination.

        Raises:
            DataError: an unknown benchmark, or numbers that do not fit each other.
        """
        if benchmark not in TYPES:
            raise DataError(f"shapes-edit: benchmark: got {benchmark}; expected imgedit or gedit. Change the suite.")
        if not 0 <= unseen_per_type <= samples_per_type or samples_per_type < 1:
            raise DataError(
                f"shapes-edit: unseen_per_type: got {unseen_per_type} of {samples_per_type} edits a type; expected 0 to "
                "samples_per_type, which is at least 1. Lower it."
            )
        self.benchmark = benchmark
        self.seed = seed
        self.count = samples_per_type
        self.unseen = unseen_per_type

    @cached_property
    def root(self) -> Path:
        """The folder of the source images; made by `load`."""
        return mini_pictures.folder_of("shapes-edit", _SIDE, self.seed, self.count, self.unseen)

    def load(self) -> Iterator[Sample]:
        """Yield samples by type and draw their source images; ids are five digits.

        Raises:
            DataError: the folder cannot be written.
        """
        import numpy as np

        from uniar.data.shapes import render, sample_edit

        for place, (kind, name) in enumerate(TYPES[self.benchmark].items()):
            for number in range(self.count):
                split = "held_out" if number < self.unseen else "train"
                made = sample_edit(np.random.default_rng([self.seed, place, number]), split=split, kind=kind)
                key = f"{place * self.count + number:05d}"
                mini_pictures.keep(self.root / f"{key}.png", render(made.source, _SIDE))
                yield Sample(
                    sample_id=key,
                    task=name,
                    prompt=made.instruction,
                    metadata=self._row(key, name, made.instruction),
                    image=f"{key}.png",
                    tags=("unseen" if number < self.unseen else "seen",),
                )

    def _row(self, key: str, name: str, instruction: str) -> dict[str, Any]:
        if self.benchmark == "imgedit":
            return {"key": key, "id": f"{key}.png", "prompt": instruction, "edit_type": name}
        row = {"task_type": name, "key": key, "instruction": instruction, "instruction_language": "en"}
        return {**row, "n_types": len(TYPES["gedit"])}
