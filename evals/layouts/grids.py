"""Layouts with one grid of four pictures a prompt: OneIG-Bench and DPG-Bench.

Sources: OneIG-Benchmark 41b4983 and UniAR 09341a0 (writing: 2x2, WebP quality 95); ELLA 3c228f1 `compute_dpg_bench.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evals.errors import DataError
from evals.layouts.base import Found, Layout, Part, Picture, file_part
from evals.types import Sample

CLASSES = {
    "Anime_Stylization": "anime",
    "Portrait": "human",
    "General_Object": "object",
    "Text_Rendering": "text",
    "Knowledge_Reasoning": "reasoning",
    "Multilingualism": "multilingualism",
}
"""Category of OneIG's table -> folder."""
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class GridLayout(Layout):
    """Four pictures a prompt in one file, by row; a missing picture is a black cell."""

    per_prompt = 4
    grid = (2, 2)
    options = ("grid",)

    def __init__(self, root: Path, *, grid: str = "2x2", **options: str) -> None:
        super().__init__(root, **options)
        columns, _, rows = grid.partition("x")
        if columns not in "1234" or rows not in "1234" or not columns or not rows:
            raise DataError(f"layout {self.name}: grid: got {grid}; expected COLUMNSxROWS, 1 to 4 each, for example 2x2.")
        self.grid = (int(columns), int(rows))

    def _cell(self, found: Found, repeat: int) -> Found:
        columns, rows = self.grid
        if repeat >= columns * rows:
            return Found(f"cell {repeat} of {found.wanted}")
        # A grid of one is a plain picture: black is then a picture too.
        return found if columns * rows == 1 or found.path is None else found._replace(cell=repeat)


class OneIGLayout(GridLayout):
    """`<class>/<model>/<id>.webp`."""

    name = "oneig"
    format = "webp"
    options = ("grid", "model")

    def __init__(self, root: Path, *, model: str | None = None, grid: str = "2x2", **options: str) -> None:
        super().__init__(root, grid=grid, **options)
        self._model = model

    def parts(self, pictures: Sequence[Picture], *, model: str) -> Iterator[Part]:
        """Yield one grid a prompt, also where every cell is black (the official code then meets an empty prompt)."""
        for picture in pictures:
            yield Part(f"{self._class(picture.sample)}/{file_part(model, 'model')}/{self._id(picture.sample)}.webp", picture.images)

    def find(self, sample: Sample, repeat: int) -> Found:
        """As there, exactly one file may begin with the id."""
        folder = self._class(sample)
        models = sorted(path.name for path in (self.root / folder).iterdir() if path.is_dir()) if (self.root / folder).is_dir() else []
        if self._model is None and len(models) > 1:
            raise DataError(
                f"{self.root}/{folder}: got folders of {len(models)} models ({', '.join(models[:3])}); expected one. "
                f"Write images:oneig,model={models[0]}:{self.root}."
            )
        model = self._model or (models[0] if models else "MODEL")
        number = self._id(sample)
        names = [name for name in self._names(f"{folder}/{model}") if name.startswith(number)]
        wanted = f"{folder}/{model}/{number}.webp"
        if len(names) > 1:
            return Found(
                wanted, problem=f"Two files for one prompt: {folder}/{model}/{names[0]} and {names[1]}; the official code skips it."
            )
        return self._cell(self._at(f"{folder}/{model}/{names[0]}"), repeat) if names else Found(wanted)

    @classmethod
    def fits(cls, metadata: Mapping[str, object]) -> bool:
        """Rows of a category of the table."""
        return "id" in metadata and metadata.get("category") in CLASSES

    def _id(self, sample: Sample) -> str:
        return self._field(sample, "id", "prompt_id").zfill(3)

    def _class(self, sample: Sample) -> str:
        category = str(sample.metadata.get("category"))
        folder = CLASSES.get(category, sample.task if sample.task in CLASSES.values() else None)
        if folder is None and "text_content" in sample.metadata:
            # Rows of the text dimension whose category is another thing (the mini world's).
            folder = "text"
        if folder is None:
            raise DataError(f"layout oneig: {sample.sample_id}: metadata.category: got {category}; expected one of {', '.join(CLASSES)}.")
        return folder


class DPGLayout(GridLayout):
    """`<item_id>.png`, cells of `resolution` x `resolution` pixels at (0, 0), (r, 0), (0, r), (r, r)."""

    name = "dpg"
    square = True

    def parts(self, pictures: Sequence[Picture], *, model: str) -> Iterator[Part]:
        """Yield one grid an item."""
        for picture in pictures:
            yield Part(f"{self._field(picture.sample, 'item_id')}.png", picture.images)

    def find(self, sample: Sample, repeat: int) -> Found:
        """Any picture format is taken; the first in the order of names."""
        item = self._field(sample, "item_id")
        names = [name for name in self._names() if name.rpartition(".")[0] == item and name[len(item) :].lower() in _SUFFIXES]
        return self._cell(self._at(names[0]), repeat) if names else Found(f"{item}.png")

    @classmethod
    def fits(cls, metadata: Mapping[str, object]) -> bool:
        """Rows with item_id."""
        return "item_id" in metadata
