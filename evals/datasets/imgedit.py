"""ImgEdit-Bench out of its published files: the basic suite of nine edit types, and the UGE suite.

Source: PKU-YuanGroup/ImgEdit 547185d; `basic_edit.json` is `{key: {id, prompt, edit_type}}`, `UGE_edit.json` the same without
`edit_type`, `id` being the source image inside the folder of original images. The multi-turn suite is read but not run: a run
makes one edit a sample, and the official judging is by people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from evals.datasets.local import benchmark_folder, data_file, read_json
from evals.errors import DataError
from evals.types import Sample

BASIC = ("basic_edit.json", "Benchmark/Basic/basic_edit.json", "Basic/basic_edit.json")
UGE = ("UGE_edit.json", "Benchmark/UGE/UGE_edit.json", "UGE/UGE_edit.json")
ORIGINALS = (
    "Benchmark/singleturn", "singleturn", "images", "original_images", "Benchmark", "",
    "Benchmark/UGE", "UGE", "Benchmark/hard", "hard",
)  # fmt: skip
"""Where source images are looked for, the first place that holds the first one."""


class ImgEditDataset:
    """The basic suite: 737 edits, the edit type as the task; `root` is the folder of the source images."""

    names = BASIC
    benchmark = "imgedit"
    fields: tuple[str, ...] = ("id", "prompt", "edit_type")

    def __init__(self, *, folder: str | None = None, images: str | None = None) -> None:
        """Name the data.

        Args:
            folder: a copy of the benchmark; None looks under the data root.
            images: folder of the source images, absolute or inside `folder`; None looks in the usual places.
        """
        self.folder = folder
        self.images = images

    @cached_property
    def _path(self) -> Path:
        base = self._base
        return next((base / name for name in self.names if (base / name).exists()), None) or data_file(
            "imgedit", self.names[0], folder=self.folder
        )

    @property
    def _base(self) -> Path:
        return benchmark_folder("imgedit", self.folder)

    @cached_property
    def _rows(self) -> dict[str, dict[str, Any]]:
        return {key: self._checked(key, row) for key, row in read_table(self._path).items()}

    @cached_property
    def root(self) -> Path:
        """The folder of the source images.

        Raises:
            DataError: no place holds them.
        """
        first = next(iter(self._rows.values()))["id"]
        places = [self._base / name for name in ((self.images,) if self.images is not None else ORIGINALS)]
        found = next((place for place in places if (place / first).is_file()), None)
        if found is None:
            looked = str(places[0]) if len(places) == 1 else f"any usual place under {self._base}"
            raise DataError(
                f"{self.benchmark}: images: got no {first} in {looked}; expected the benchmark's source images. "
                "Name their folder with --set data.images=DIR."
            )
        return found

    def load(self) -> Iterator[Sample]:
        """Yield samples in file order; the id is the official key, so that `<key>.png` is its image.

        Raises:
            DataError: a file that is missing or malformed, or a source image that is absent.
        """
        lacking = [row["id"] for row in self._rows.values() if not (self.root / row["id"]).is_file()]
        if lacking:
            raise DataError(
                f"{self.benchmark}: images: got no {lacking[0]} in {self.root} ({len(lacking)} of {len(self._rows)} absent); expected "
                "every source image. Fetch them again, or name their folder with --set data.images=DIR."
            )
        for key, row in self._rows.items():
            task = row.get("edit_type", "uge")
            yield Sample(sample_id=key, task=task, prompt=row["prompt"], metadata={"key": key, **row}, image=row["id"])

    def _checked(self, key: str, row: Any) -> dict[str, Any]:
        from evals.scorers.imgedit_rules import TYPES

        where = f"{self._path}: {key}"
        for name in self.fields:
            if not isinstance(row, dict) or not isinstance(row.get(name), str) or not row[name].strip():
                raise DataError(f"{where}: {name}: got no text; expected {', '.join(self.fields)}. Fetch the file again.")
        if "edit_type" in self.fields and row["edit_type"] not in TYPES:
            raise DataError(f"{where}: edit_type: got {row['edit_type']}; expected one of {', '.join(TYPES)}. Fetch the file again.")
        _confined(row["id"], where)
        return row


class ImgEditUgeDataset(ImgEditDataset):
    """The UGE suite: 47 hard edits, one task."""

    names = UGE
    benchmark = "imgedit-uge"
    fields = ("id", "prompt")


class ImgEditMultiTurnDataset:
    """The multi-turn suite: read and checked, then refused, since a run cannot hand an output on as the next input."""

    def __init__(self, *, file: str, folder: str | None = None) -> None:
        """Name the data.

        Args:
            file: one of the three JSON files (content memory, content understanding, version backtracking).
            folder: a copy of the benchmark; None looks under the data root.
        """
        self.file = file
        self.folder = folder

    def load(self) -> Iterator[Sample]:
        """Refuse, after the file was read.

        Raises:
            DataError: always.
        """
        path = data_file("imgedit", self.file, folder=self.folder)
        found = read_turns(path)
        raise DataError(
            f"{path}: got {len(found)} conversations of 2 or 3 edits, each of the picture before; expected one edit a sample, which is "
            "what a run makes. Officially people judge this suite; nothing here stands for them. Run imgedit or its profile uge."
        )


def read_turns(path: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return a multi-turn file: key -> source image and the instructions in order.

    Raises:
        DataError: unreadable, or a conversation without an image or with fewer than two turns.
    """
    found = {}
    for key, row in read_table(path).items():
        turns = tuple(row[name] for name in ("turn1", "turn2", "turn3") if isinstance(row, Mapping) and isinstance(row.get(name), str))
        if not isinstance(row, Mapping) or not isinstance(row.get("id"), str) or len(turns) < 2:
            raise DataError(f"{path}: {key}: got no id with two or three turns; expected {{id, turn1, turn2[, turn3]}}. Fetch it again.")
        _confined(row["id"], f"{path}: {key}")
        found[key] = (row["id"], turns)
    return found


def read_table(path: Path) -> dict[str, Any]:
    """Return a JSON file that is a table with at least one row.

    Raises:
        DataError: something else.
    """
    data: dict[str, Any] = read_json(path, dict, "a table of key and item")
    if not data:
        raise DataError(f"{path}: got an empty table; expected a table of key and item. Fetch the file again.")
    return data


def _confined(name: str, where: str) -> None:
    parts: Sequence[str] = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or "\0" in name:
        raise DataError(f"{where}: id: got {name!r}; expected a path inside the folder of source images. Fetch the file again.")
