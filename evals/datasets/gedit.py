"""GEdit-Bench out of its published parquet files, or out of a folder with `metadata.jsonl` and pictures.

Source: stepfun-ai/GEdit-Bench, split train: task_type, key, instruction, instruction_language (`en` or `cn`), input_image,
Intersection_exist. Rows are read as a stream. Pictures inside parquet are written to a cache beside the data root once, since
samples name their input by path.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from evals.datasets.local import benchmark_folder, data_root
from evals.datasets.tables import parquet_rows
from evals.errors import DataError
from evals.types import Sample

FIELDS = ("task_type", "key", "instruction", "instruction_language", "input_image")
LANGUAGES = ("en", "cn")
_KEY = re.compile(r"[A-Za-z0-9._-]+")


class GEditDataset:
    """One language of GEdit-Bench, the task type as the task; `root` is the folder of the source images."""

    def __init__(self, *, language: str = "en", folder: str | None = None) -> None:
        """Name the data.

        Args:
            language: `en` or `cn`, as the data have it.
            folder: a copy of the benchmark; None looks under the data root.

        Raises:
            DataError: another language.
        """
        if language not in LANGUAGES:
            told = " The official command line offers zh, which finds no row: the data say cn." if language == "zh" else ""
            raise DataError(f"gedit: language: got {language}; expected en or cn.{told} Change the suite.")
        self.language = language
        self.folder = folder

    @property
    def _base(self) -> Path:
        return benchmark_folder("gedit", self.folder)

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        exported = self._base / "metadata.jsonl"
        if exported.is_file():
            return (exported,)
        found = tuple(sorted(self._base.glob("*.parquet")) + sorted(self._base.glob("data/*.parquet")))
        if not found:
            raise DataError(
                f"gedit: got no data/*.parquet and no metadata.jsonl in {self._base}; expected the benchmark's published files. Run "
                "`uniar-eval data fetch gedit`, or `uniar-eval data fetch gedit --from PATH` with a copy of it."
            )
        return found

    @cached_property
    def root(self) -> Path:
        """The folder of the source images: that of `metadata.jsonl`, or the cache of the parquet files' pictures.

        Raises:
            DataError: no data.
        """
        if self._files[0].suffix == ".jsonl":
            return self._base
        state = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in self._files]
        return data_root().parent / "sources" / f"gedit-{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"

    def load(self) -> Iterator[Sample]:
        """Yield the language's samples in file order; the id is the official key.

        Raises:
            DataError: a file or a row that is malformed, with its number, or a picture that cannot be read.
        """
        from evals.scorers.gedit_rules import TYPES

        for where, row in self._rows():
            _check(where, row, TYPES)
            if row["instruction_language"] != self.language:
                continue
            metadata = {name: row[name] for name in FIELDS if name != "input_image"}
            metadata["Intersection_exist"] = bool(row.get("Intersection_exist"))
            metadata["n_types"] = len(TYPES)
            yield Sample(
                sample_id=row["key"],
                task=row["task_type"],
                prompt=row["instruction"],
                metadata=metadata,
                image=self._picture(where, row),
            )

    def _rows(self) -> Iterator[tuple[str, Any]]:
        if self._files[0].suffix == ".jsonl":
            yield from _json_rows(self._files[0])
            return
        for path in self._files:
            # input_image_raw, each picture once more, is not read.
            yield from parquet_rows(
                path, columns=FIELDS, optional=("Intersection_exist",), instead="give a folder with metadata.jsonl and the pictures"
            )

    def _picture(self, where: str, row: Mapping[str, Any]) -> str:
        given = row["input_image"]
        if isinstance(given, str):
            if PurePosixPath(given).is_absolute() or ".." in PurePosixPath(given).parts:
                raise DataError(f"{where}: input_image: got {given!r}; expected a path inside the folder. Mend the row.")
            if not (self.root / given).is_file():
                raise DataError(f"{where}: input_image: got no file {given} in {self.root}; expected a picture. Copy it there.")
            return given
        name = f"{row['task_type']}/{row['instruction_language']}/{row['key']}.png"
        if not (self.root / name).is_file():
            _write(self.root / name, given, where)
        return name


def _check(where: str, row: Any, types: tuple[str, ...]) -> None:
    for name in FIELDS[:-1]:
        if not isinstance(row, Mapping) or not isinstance(row.get(name), str) or not row[name].strip():
            raise DataError(f"{where}: {name}: got no text; expected {', '.join(FIELDS)}. Fetch the file again.")
    if row["task_type"] not in types:
        raise DataError(f"{where}: task_type: got {row['task_type']}; expected one of {', '.join(types)}. Fetch the file again.")
    if row["instruction_language"] not in LANGUAGES:
        raise DataError(f"{where}: instruction_language: got {row['instruction_language']}; expected en or cn. Fetch the file again.")
    if not _KEY.fullmatch(row["key"]):
        raise DataError(f"{where}: key: got {row['key']!r}; expected letters, digits, dots, dashes, underscores. Fetch the file again.")
    picture = row.get("input_image")
    if isinstance(picture, Mapping):
        picture = picture.get("bytes")
    if not isinstance(picture, str | bytes) or not picture:
        raise DataError(f"{where}: input_image: got none; expected a picture. Fetch the file again.")


def _write(path: Path, picture: Any, where: str) -> None:
    from PIL import Image

    data = picture["bytes"] if isinstance(picture, Mapping) else picture
    try:
        with Image.open(io.BytesIO(data)) as image:
            # The official script saves what the library decoded, as PNG.
            found = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{where}: input_image: got a picture that cannot be read ({error}); expected one. Fetch the file again."
        ) from error
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found.save(part, "PNG")
        os.replace(part, path)
    except OSError as error:
        raise DataError(
            f"{path}: got {error.strerror}; expected a folder that can be written, for the source images. Set UNIAR_EVAL_DATA to one."
        ) from error


def _json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield f"{path}: row {number}", json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}: row {number}: got no JSON ({error}); expected an object. Mend the row.") from error
