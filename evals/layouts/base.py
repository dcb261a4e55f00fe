"""What an official image layout is: where a picture of a sample lies, in both directions.

A layout knows names and grids only; decoding is `evals.store.pictures`', writing files `evals.export`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from evals.errors import DataError
from evals.types import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A sample with the files of its outputs."""

    sample: Sample
    images: tuple[Path | None, ...]
    """PNG of each repeat; None where there is no output."""
    source: Path | None = None
    """Input image (editing)."""


class Part(NamedTuple):
    """One file of a layout."""

    name: str
    """Relative path."""
    images: tuple[Path | None, ...] = ()
    """One picture, or the cells of a grid by row, None for a black cell."""
    text: str | None = None
    """Content of a file that is no picture."""


class Found(NamedTuple):
    """Where a layout looked for one picture."""

    wanted: str
    """Relative path, in words for the reader of a report."""
    path: Path | None = None
    """None: there is none."""
    cell: int | None = None
    """Which cell of a grid, by row; None: the whole picture."""
    problem: str | None = None
    """One sentence, when what is there cannot be used (two files for one picture)."""


class Layout:
    """One benchmark's layout over one folder. Subclasses say how files are named."""

    name: ClassVar[str]
    per_prompt: ClassVar[int | None] = None
    """Most pictures a prompt that it holds; None: any number."""
    grid: tuple[int, int] | None = None
    """(columns, rows) of one file; None: one picture a file."""
    square: ClassVar[bool] = False
    """Whether the benchmark cuts its grid into squares."""
    format: ClassVar[str] = "png"
    options: ClassVar[tuple[str, ...]] = ()
    """Names of what may be said about a folder that is read."""

    def __init__(self, root: Path, **options: str) -> None:
        self.root = root
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            known = ", ".join(self.options) or "none"
            raise DataError(f"layout {self.name}: got the option {unknown[0]}; expected one of: {known}.")
        self._listed: dict[str, list[str]] = {}

    def parts(self, pictures: Sequence[Picture], *, model: str) -> Iterator[Part]:
        """Yield the files of an export, in plan order.

        Raises:
            DataError: a sample lacks what its file is named by.
        """
        raise NotImplementedError

    def find(self, sample: Sample, repeat: int) -> Found:
        """Say where one picture lies in the folder.

        Raises:
            DataError: the sample lacks what its file is named by.
        """
        raise NotImplementedError

    @classmethod
    def fits(cls, metadata: Mapping[str, object]) -> bool:
        """Whether a row of a benchmark looks like one of this layout's."""
        return False

    def _names(self, folder: str = ".") -> list[str]:
        # Names of the files of a folder, sorted; listed once.
        if folder not in self._listed:
            path = self.root / folder
            self._listed[folder] = sorted(p.name for p in path.iterdir() if p.is_file()) if path.is_dir() else []
        return self._listed[folder]

    def _at(self, wanted: str, *, cell: int | None = None) -> Found:
        path = self.root / wanted
        return Found(wanted, path if path.is_file() else None, cell)

    def _field(self, sample: Sample, *keys: str) -> str:
        for key in keys:
            value = sample.metadata.get(key)
            if value is not None and not isinstance(value, (dict, list, bool)):
                return file_part(str(value), f"{sample.sample_id}: metadata.{key}")
        raise DataError(
            f"layout {self.name}: {sample.sample_id}: metadata: got no {keys[0]}; expected it, as files are named by it. "
            "This run is of another benchmark."
        )


def file_part(text: str, where: str) -> str:
    """Return a text unchanged when it can be one part of a path.

    Raises:
        DataError: it could leave the folder, or is too long for a file name.
    """
    if not text or "/" in text or "\\" in text or "\0" in text or set(text) <= {"."} or len(text.encode("utf-8", "replace")) > 240:
        raise DataError(f'{where}: got "{text[:80]}"; expected a text that can be part of a file name.')
    return text


def number_of(name: str) -> int | None:
    """Return a file stem as a number, None when it is none.

    >>> number_of("0007"), number_of("a7"), number_of("\u0667")
    (7, None, None)
    """
    return int(name) if name.isascii() and name.isdigit() and len(name) <= 9 else None
