"""Layouts of one flat folder: LongText-Bench, ImgEdit, WISE and T2I-CompBench.

Sources: X-Omni 2b8237b `textbench`; ImgEdit 547185d; WISE eb51174; T2I-CompBench 1b70949.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evals.errors import DataError
from evals.layouts.base import Found, Layout, Part, Picture, file_part, number_of
from evals.types import Sample


class LongTextLayout(Layout):
    """`{prompt_id}_{k}.png`. The id is what stands before the first `_`, as a number; without `_`, before the dot."""

    name = "longtext"

    def __init__(self, root: Path, **options: str) -> None:
        super().__init__(root, **options)
        self._table: dict[tuple[int, int], list[str]] | None = None

    def parts(self, pictures: Sequence[Picture], *, model: str) -> Iterator[Part]:
        """Yield pictures, counted from 0."""
        for picture in pictures:
            for repeat, path in enumerate(picture.images):
                if path is not None:
                    yield Part(f"{self._id(picture.sample)}_{repeat}.png", (path,))

    def find(self, sample: Sample, repeat: int) -> Found:
        """Numbers are counted from 0, or from 1 in a folder that has no number 0 at all."""
        if self._table is None:
            self._table = self._read()
        number = self._id(sample)
        names = self._table.get((number, repeat), [])
        if len(names) > 1:
            return Found(names[0], problem=f"Two files for one picture: {names[0]} and {names[1]}.")
        return self._at(names[0]) if names else Found(f"{number}_{repeat}.png")

    @classmethod
    def fits(cls, metadata: Mapping[str, object]) -> bool:
        """Rows with prompt_id and the texts to write."""
        return "prompt_id" in metadata and "text" in metadata

    def _id(self, sample: Sample) -> int:
        number = number_of(self._field(sample, "prompt_id"))
        if number is None:
            raise DataError(f"layout longtext: {sample.sample_id}: metadata.prompt_id: got no number; expected the official prompt_id.")
        return number

    def _read(self) -> dict[tuple[int, int], list[str]]:
        found: dict[tuple[int, int], list[str]] = {}
        for name in self._names():
            stem, dot, suffix = name.rpartition(".")
            head, under, tail = stem.partition("_")
            number, k = number_of(head), number_of(tail) if under else 0
            if dot and suffix == "png" and number is not None and k is not None:
                found.setdefault((number, k), []).append(name)
        first = min((k for _, k in found), default=0)
        return {(number, k - 1): names for (number, k), names in found.items()} if first == 1 else found


class KeyedLayout(Layout):
    """`<key>.png`, one picture an item."""

    per_prompt = 1
    keys: tuple[str, ...] = ()
    """Fields of the row that may hold the key, the first that is there."""

    def parts(self, pictures: Sequence[Picture], *, model: str) -> Iterator[Part]:
        """Yield the first picture of each item."""
        for picture in pictures:
            if picture.images and picture.images[0] is not None:
                yield Part(f"{self._field(picture.sample, *self.keys)}.png", picture.images[:1])

    def find(self, sample: Sample, repeat: int) -> Found:
        """There is one picture an item; further repeats are missing."""
        wanted = f"{self._field(sample, *self.keys)}.png"
        return self._at(wanted) if repeat == 0 else Found(f"{wanted} of repeat {repeat}")


class ImgEditLayout(KeyedLayout):
    """`<key>.png`, by the key of `basic_edit.json`."""

    name = "imgedit"
    keys = ("key", "original_id")

    @classmethod
    def fits(cls, metadata: Mapping[str, object]) -> bool:
        """Rows with edit_type."""
        return "edit_type" in metadata


class WiseLayout(KeyedLayout):
    """`<id>.png`, by prompt_id."""

    name = "wise"
    keys = ("prompt_id", "id")

    @classmethod
    def fits(cls, metadata: Mapping[str, object]) -> bool:
        """Rows with the prompt's explanation."""
        return "prompt_id" in metadata and "Explanation" in metadata


class CompBenchLayout(Layout):
    """`<prompt>_<6 digits>.png`; the digits count all pictures of a category, the prompt ends at the first `_`.

    The official tools take one category's folder at a time: more than one category in a run become sub-folders.
    """

    name = "compbench"

    def __init__(self, root: Path, **options: str) -> None:
        super().__init__(root, **options)
        self._groups: dict[str, dict[str, list[str]]] = {}

    def parts(self, pictures: Sequence[Picture], *, model: str) -> Iterator[Part]:
        """Yield pictures; a prompt's numbers follow each other, absent pictures keep their number."""
        several = len({picture.sample.task for picture in pictures}) > 1
        count: dict[str, int] = {}
        for picture in pictures:
            sample = picture.sample
            folder = f"{file_part(sample.task, sample.sample_id)}/" if several else ""
            # The dataset knows the prompt's place in its file; without it pictures are counted as they come.
            place = sample.metadata.get("prompt_index")
            start = place * len(picture.images) if isinstance(place, int) else count.get(folder, 0)
            count[folder] = start + len(picture.images)
            for repeat, path in enumerate(picture.images):
                if path is not None:
                    prompt = file_part(sample.prompt, f"layout compbench: {sample.sample_id}: prompt")
                    yield Part(f"{folder}{prompt}_{start + repeat:06d}.png", (path,))

    def find(self, sample: Sample, repeat: int) -> Found:
        """The prompt's file with the n-th number, counted from its lowest."""
        prompt = sample.prompt.partition("_")[0]
        for folder in (sample.task, f"{sample.task}/samples", ".", "samples"):
            names = self._grouped(folder).get(prompt)
            if names:
                name = _nth(names, repeat)
                if name is not None:
                    return self._at(name if folder == "." else f"{folder}/{name}")
                break
        return Found(f"{prompt}_{repeat:06d}.png")

    def _grouped(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._groups:
            found: dict[str, list[str]] = {}
            for name in self._names(folder):
                if name.endswith(".png") and name[-11:-10] == "_" and number_of(name[-10:-4]) is not None:
                    found.setdefault(name.partition("_")[0], []).append(name)
            self._groups[folder] = {key: sorted(names, key=lambda name: name[-10:]) for key, names in found.items()}
        return self._groups[folder]


def _nth(names: Sequence[str], repeat: int) -> str | None:
    numbers = [int(name[-10:-4]) for name in names]
    if numbers[-1] - numbers[0] < max(10, 2 * len(numbers)):
        # Pictures of one prompt were counted in a row, so a gap is a missing picture.
        return names[numbers.index(numbers[0] + repeat)] if numbers[0] + repeat in numbers else None
    return names[repeat] if repeat < len(names) else None
