"""Append-only JSON lines: one finished thing a line, written whole and fsynced before the next begins.

A kill can tear only the last line; a torn one has no newline, is ignored by readers and cut off by the next writer.
A damaged line with a newline was not torn by us, so it is an error with its number, never skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from evals.errors import StoreError
from evals.store.atomic import line, sync_folder
from evals.types import Output


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, row) of every whole line; a torn last line is left out.

    Raises:
        StoreError: a whole line that is not a JSON table, with its number.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n"):
                return
            try:
                row = json.loads(raw)
            except ValueError as error:
                raise _damaged(path, number, "broken JSON") from error
            if not isinstance(row, dict):
                raise _damaged(path, number, "no table")
            yield number, row


def read_outputs(path: Path) -> dict[tuple[str, int], Output]:
    """Return the last journal line of every (sample id, repeat).

    Raises:
        StoreError: a damaged line, with its number.
    """
    found: dict[tuple[str, int], Output] = {}
    for number, row in read_rows(path):
        try:
            output = Output.from_json(row)
        except (TypeError, ValueError) as error:
            raise _damaged(path, number, str(error)) from error
        found[output.sample_id, output.repeat] = output
    return found


class Journal:
    """Writer of a JSON-lines file; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Journal:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self._path.exists()
        self._file = self._path.open("ab", buffering=0)
        if fresh:
            sync_folder(self._path.parent)
        else:
            cut_torn_tail(self._path)
        return self

    def append(self, row: dict[str, Any]) -> None:
        """Write one line in one call and wait until it is on disk."""
        assert self._file is not None, "the journal is not open"
        append_line(self._file, row)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def append_line(file: BinaryIO, row: dict[str, Any]) -> None:
    """Write one line to an unbuffered file opened for appending, and wait until it is on disk.

    Raises:
        OSError: the disk refused; nothing of the line is left, for the next one to be glued to.
    """
    start, data = file.seek(0, os.SEEK_END), memoryview(line(row))
    try:
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(start)
        raise


def cut_torn_tail(path: Path) -> None:
    """Cut off what a kill left of the last line, if anything."""
    with path.open("rb+") as file:
        data = file.read()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            file.truncate(end)
            os.fsync(file.fileno())


def _damaged(path: Path, number: int, why: str) -> StoreError:
    return StoreError(
        f"{path}:{number}: got a damaged line ({why}); expected one record as JSON. "
        "Restore the file from a copy, or remove the line to redo that item."
    )
