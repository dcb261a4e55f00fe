"""Is what lies in a data folder the benchmark? Hashes, rows, fields, languages and pictures; every broken thing by file and row."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from evals.datasets.adopting import inside, read_lock
from evals.datasets.catalogue import Benchmark, File, Folder
from evals.datasets.language import expect_language
from evals.errors import DataError
from evals.store import atomic
from evals.store.pictures import open_image


class Report(NamedTuple):
    """What a check found."""

    files: int
    """Files that are there."""
    rows: int
    images: int
    problems: tuple[str, ...]


def check(entry: Benchmark, root: Path, *, only: Callable[[str], bool] = lambda name: True) -> Report:
    """Look at every file of a benchmark in its data folder.

    Raises:
        DataError: the lock file is damaged.
    """
    lock = read_lock(root)
    files = rows = images = 0
    problems: list[str] = []
    for file in entry.files:
        if not only(file.name):
            continue
        path = inside(root, file.name)
        if not path.is_file():
            problems.append(f"{file.name}: got no such file; expected the benchmark's. Run `uniar-eval data fetch {entry.name}`.")
            continue
        files += 1
        problems += _hash(file.name, path, file.sha256, lock)
        try:
            found = list(read_rows(path, file.kind, file.name))
        except DataError as error:
            problems.append(str(error))
            continue
        rows += len(found)
        problems += _rows(file, found)
        if file.images:
            count, wrong = _pictures(file, found, root)
            images += count
            problems += wrong
    for folder in entry.folders:
        count, wrong = _folder(folder, root, lock, only)
        files += count
        problems += wrong
    return Report(files, rows, images, tuple(problems))


def _hash(name: str, path: Path, known: str | None, lock: dict[str, Any]) -> Iterator[str]:
    recorded = lock.get(name, {}).get("sha256")
    if known is None and recorded is None:
        return
    got = atomic.sha256(path)
    if known is not None and got != known:
        yield f"{name}: sha256: got {got}; expected {known}. Fetch it again."
    elif recorded is not None and got != recorded:
        yield f"{name}: sha256: got {got}; expected {recorded}, as it was fetched. It was changed since: fetch it again."


def read_rows(path: Path, kind: str, shown: str) -> Iterator[tuple[str, Any]]:
    """Yield (where, row) of a file: JSON lines, entries of a JSON list or table, rows of a CSV, lines, or nothing.

    Raises:
        DataError: the file as a whole cannot be read; a broken line is a row `None` of kind `jsonl`.
    """
    if kind == "binary":
        return
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown}: got {error}; expected UTF-8 text. Fetch it again.") from error
    if kind == "lines":
        yield from ((f"{shown}:{n}", line) for n, line in enumerate(text.splitlines(), 1) if line.strip())
    elif kind == "jsonl":
        for n, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield f"{shown}:{n}", _json(line)
    elif kind == "csv":
        try:
            reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
            yield from ((f"{shown}:row {n}", row) for n, row in enumerate(reader, 1))
        except csv.Error as error:
            raise DataError(f"{shown}: got {error}; expected a table. Fetch it again.") from error
    elif kind == "json":
        data = _json(text)
        if not isinstance(data, (list, dict)):
            raise DataError(f"{shown}: got no JSON list or table; expected one. Fetch it again.")
        pairs = data.items() if isinstance(data, dict) else enumerate(data, 1)
        yield from ((f"{shown}:{key}", row) for key, row in pairs)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _rows(file: File, found: list[tuple[str, Any]]) -> Iterator[str]:
    if file.rows is not None and len(found) != file.rows:
        yield f"{file.name}: got {len(found)} rows; expected {file.rows}. Fetch it again."
    texts: list[tuple[str, Any]] = []
    for where, row in found:
        if file.fields:
            if not isinstance(row, dict):
                yield f"{where}: got no row; expected one with {', '.join(file.fields)}."
                continue
            absent = [field for field in file.fields if row.get(field) in (None, "")]
            if absent:
                yield f"{where}: {absent[0]}: got nothing; expected a value."
                continue
        texts.append((where, row if file.prompt is None else row.get(file.prompt) if isinstance(row, dict) else None))
    if file.language is not None:
        try:
            expect_language(texts, file.language)
        except DataError as error:
            # A Chinese file under the English name: one sentence, not one a row.
            yield str(error)


def _pictures(file: File, found: list[tuple[str, Any]], root: Path) -> tuple[int, list[str]]:
    named = [(where, row[file.image_field]) for where, row in found if isinstance(row, dict) and isinstance(row.get(file.image_field), str)]
    home = next((home for home in file.images if named and (root / home / named[0][1]).is_file()), file.images[0])
    count, wrong = 0, []
    for where, name in named:
        try:
            open_image(inside(root / home, name), shown=f"{where}: {home}/{name}")
            count += 1
        except DataError as error:
            wrong.append(str(error))
    return count, wrong


def _folder(folder: Folder, root: Path, lock: dict[str, Any], only: Callable[[str], bool]) -> tuple[int, list[str]]:
    homes = folder.remote if folder.name == "." else (folder.name,)
    there = (path for home in homes for path in (root / home).rglob("*") if path.is_file())
    names = sorted({path.relative_to(root).as_posix() for path in there})
    names = [name for name in names if folder.holds(name) and only(name)]
    wrong = [
        f"{name}: got no such file; expected it, as it was fetched. Fetch it again."
        for name in lock
        if folder.holds(name) and only(name) and not inside(root, name).is_file()
    ]
    kind = " or ".join(folder.suffixes)
    # A choice of files says nothing about the whole folder.
    if only(f"{folder.name}/"):
        if not names:
            wrong.append(f"{folder.name}: got no {kind} file; expected the benchmark's. Run `uniar-eval data fetch` with its name.")
        elif folder.count is not None and len(names) != folder.count:
            wrong.append(f"{folder.name}: got {len(names)} files; expected {folder.count}. Fetch it again.")
    for name in names:
        wrong += _hash(name, inside(root, name), None, lock)
        if not inside(root, name).stat().st_size:
            wrong.append(f"{name}: got an empty file; expected content. Fetch it again.")
    return len(names), wrong
