"""Published tables as streams: TSV with pictures in base64, parquet with picture structs, JSON lines.

A row at a time is in memory. Pictures go once, under the name of their content, to a folder that samples point into. Whatever is
broken is a `DataError` with file and row, counted from 1 without the header.

Sources: VLMEvalKit e8e78f0 (columns of its TSV files, a short image cell is the index of another row, a list literal holds several
images); the image struct {bytes, path} of the parquet files on the Hugging Face hub.
"""

from __future__ import annotations

import ast
import base64
import binascii
import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from evals.errors import DataError
from evals.store.pictures import open_image

SUFFIXES = (".tsv", ".parquet", ".jsonl")
MAX_CELL = 1 << 28
"""Longest cell of a TSV file, in characters: several large pictures in base64."""
REFERENCE = 64
"""An image cell of at most this many characters is the index of the row whose image it shares."""
_ROWS_AT_ONCE = 16
_MAGIC = ((b"\x89PNG\r\n", ".png"), (b"\xff\xd8\xff", ".jpg"))
_DIGESTS = ("md5", "sha256")


class Read(NamedTuple):
    """One row."""

    where: str
    """File and number, for messages."""
    row: dict[str, Any]
    """Cells by column, None for one that is empty or not a number; without the picture columns."""
    images: tuple[str, ...]
    """Pictures of the row in order, relative to the folder of `Pictures`."""
    asked: bool
    """Whether the file has picture columns, so that a row without a picture lacks one."""


class Pictures:
    """A folder of pictures, each kept once under the sha256 of its bytes."""

    def __init__(self, root: Path) -> None:
        """Name the folder; it is made with the first picture."""
        self.root = root

    def keep(self, data: bytes, where: str) -> str:
        """Keep a picture and return its path relative to the folder.

        PNG and JPEG stay as they came; any other format is kept as PNG.

        Raises:
            DataError: no whole picture within the bounds of `open_image`, or a folder that cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        suffix = next((suffix for magic, suffix in _MAGIC if data.startswith(magic)), None)
        name = f"{digest[:2]}/{digest}{suffix or '.png'}"
        path = self.root / name
        if path.is_file() and (suffix is None or path.stat().st_size == len(data)):
            return name
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            image = open_image(part, shown=f"{where}: image")
            if suffix is None:
                image.save(part, "PNG")
            os.replace(part, path)
        except OSError as error:
            raise DataError(
                f"{path}: got {error.strerror}; expected a folder that can be written, for the images. Set UNIAR_EVAL_DATA to one."
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return name


def read_table(path: Path, pictures: Pictures, *, columns: Sequence[Sequence[str]] = (("image",), ("image_path",))) -> Iterator[Read]:
    """Yield the rows of a file by its suffix.

    Args:
        path: one of `SUFFIXES`.
        pictures: where the rows' pictures go.
        columns: choices of picture columns; the first choice of which the file has a column counts, and its columns are read in order.
            Pictures that the file names by path lie beside it.

    Raises:
        DataError: the file or a row is broken, with its number; a picture is lacking, damaged or outside the folder.
    """
    rows = {".tsv": _tsv, ".parquet": parquet_rows, ".jsonl": _jsonl}.get(path.suffix.lower())
    if rows is None:
        raise DataError(f"{path}: got {path.suffix or 'no suffix'}; expected one of {', '.join(SUFFIXES)}. Name another file.")
    shared: dict[str, tuple[str, ...]] = {}
    in_base64 = path.suffix.lower() == ".tsv"
    for where, row in rows(path):
        chosen = next((own for own in columns if any(name in row for name in own)), ())
        as_text = in_base64 and chosen != ("image_path",)
        cells = [row.get(name) for name in chosen]
        row = {name: value for name, value in row.items() if name not in chosen}
        reference = _reference(cells) if as_text else None
        if reference is not None:
            images = shared.get(reference) or _later(path, reference, chosen[0], pictures, where)
        else:
            images = tuple(pictures.keep(_bytes(cell, path.parent, where, as_text), where) for cell in _several(cells, chosen, where))
        if as_text and images and row.get("index") is not None:
            shared[str(row["index"])] = images
        yield Read(where, row, images, bool(chosen))


def check_hash(path: Path, expected: str) -> None:
    """Compare a file with a published hash.

    Args:
        path: the file.
        expected: `md5:...` or `sha256:...`, hexadecimal.

    Raises:
        DataError: the hash is of another form, or the file's is another.
    """
    kind, _, digest = expected.partition(":")
    if kind not in _DIGESTS or len(digest) != 2 * hashlib.new(kind, usedforsecurity=False).digest_size:
        raise DataError(f"checksum: got {expected}; expected md5: or sha256: and the hexadecimal digest. Mend the suite.")
    with path.open("rb") as file:
        got = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    if got != digest.lower():
        raise DataError(f"{path}: {kind}: got {got}; expected {digest.lower()}. Fetch the file again.")


def listed(cell: Any) -> list[str] | None:
    """Return the items of a list, or of a list written as text (Python or JSON); None for anything else.

    >>> listed("['a', \\"b's\\"]"), listed(["a"]), listed("[sic] a")
    (['a', "b's"], ['a'], None)
    """
    if isinstance(cell, list | tuple):
        return [str(item) for item in cell]
    if not isinstance(cell, str) or not (cell.strip().startswith("[") and cell.strip().endswith("]")):
        return None
    try:
        found = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return [str(item) for item in found] if isinstance(found, list) else None


# -- pictures of a row -----------------------------------------------------------------------------------------------


def _reference(cells: Sequence[Any]) -> str | None:
    """The index that a short cell names."""
    cell = cells[0] if len(cells) == 1 else None
    return cell.strip() if isinstance(cell, str) and len(cell) <= REFERENCE else None


def _later(path: Path, index: str, column: str, pictures: Pictures, where: str) -> tuple[str, ...]:
    """The pictures of a row that stands further down than the one that shares them."""
    for there, row in _tsv(path):
        if row.get("index") == index and row.get(column) is not None and len(row[column]) > REFERENCE:
            return tuple(pictures.keep(_bytes(cell, path.parent, there, True), there) for cell in _several([row[column]], (column,), there))
    raise DataError(f"{where}: {column}: got {index!r}; expected base64 or the index of a row that has it. Fetch the file again.")


def _several(cells: Sequence[Any], names: Sequence[str], where: str) -> list[Any]:
    """Pictures of the columns, in order: a cell may hold one, several, or none if none follows it."""
    found: list[Any] = []
    for place, (name, cell) in enumerate(zip(names, cells, strict=True)):
        if cell is None:
            beyond = next((other for other, later in zip(names[place:], cells[place:], strict=True) if later is not None), None)
            if beyond is not None:
                raise DataError(f"{where}: {name}: got none before {beyond}; expected images without a gap. Fetch the file again.")
            break
        found += cell if isinstance(cell, list) else listed(cell) or [cell]
    return found


def _bytes(cell: Any, folder: Path, where: str, as_text: bool) -> bytes:
    if isinstance(cell, Mapping):
        cell = cell["bytes"] if cell.get("bytes") is not None else cell.get("path")
    if isinstance(cell, bytes | bytearray) and cell:
        return bytes(cell)
    if not isinstance(cell, str) or not cell:
        raise DataError(f"{where}: image: got {type(cell).__name__}; expected a picture. Fetch the file again.")
    # Base64 has no period; the name of a picture has one.
    return _decoded(cell, where) if as_text or "." not in cell else _file(cell, folder, where)


def _decoded(cell: str, where: str) -> bytes:
    try:
        return base64.b64decode("".join(cell.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{where}: image: got no base64 ({error}); expected a picture. Fetch the file again.") from error


def _file(name: str, folder: Path, where: str) -> bytes:
    path = folder / name
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{where}: image: got {name!r}; expected a path inside {folder}. Mend the row.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{where}: image: got no {name} in {folder} ({error.strerror}); expected a picture. Copy it there.") from error


# -- rows ------------------------------------------------------------------------------------------------------------


def _present(cell: Any) -> Any:
    """A cell, None where it is empty or not a number; the words None and NA are values (pandas would drop such an option)."""
    if isinstance(cell, str):
        return None if cell.strip() in ("", "nan", "NaN") else cell
    return None if isinstance(cell, float) and cell != cell else cell


def _tsv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # The limit is one of the whole process; it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter="\t", strict=True)
            header = next(lines, None)
            if not header:
                raise DataError(f"{path}: got an empty file; expected a header and rows. Fetch the file again.")
            twice = next((name for name in header if header.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"{path}: header: got {twice} twice; expected each column once. Fetch the file again.")
            for cells in lines:
                number += 1
                where = f"{path}: row {number}"
                if len(cells) != len(header):
                    raise DataError(f"{where}: got {len(cells)} cells; expected {len(header)}. Fetch the file again.")
                yield where, {name: _present(cell) for name, cell in zip(header, cells, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: row {number + 1}: got no readable TSV ({error}); expected a row. Fetch the file again.") from error


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DataError(f"{path}: row {number}: got {type(row).__name__}; expected an object. Mend the row.")
                yield f"{path}: row {number}", {name: _present(cell) for name, cell in row.items()}
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: row {number + 1}: got no UTF-8 ({error}); expected an object. Mend the row.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: row {number}: got no readable JSON ({error}); expected an object. Mend the row.") from error


def parquet_rows(
    path: Path, *, columns: Sequence[str] = (), optional: Sequence[str] = (), instead: str = "give a TSV file"
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a parquet file, each with its file and number, without holding the file in memory.

    Args:
        path: the file.
        columns: the columns to read, which it must have; none reads all.
        optional: further columns to read where it has them.
        instead: what to do where pyarrow cannot be installed, for the message.

    Raises:
        DataError: no pyarrow, a column is lacking, or the file is damaged.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{path}: got no pyarrow on this machine; expected it, to read parquet. Run `pip install pyarrow`, or {instead}."
        ) from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            lacking = next((name for name in columns if name not in names), None)
            if lacking is not None:
                raise DataError(f"{path}: got no column {lacking}; expected {', '.join(columns)}. Fetch the file again.")
            read = [*columns, *(name for name in optional if name in names)] if columns else None
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=read):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", {name: _present(cell) for name, cell in row.items()}
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: row {number + 1}: got no readable parquet ({error}); expected rows. Fetch the file again.") from error
