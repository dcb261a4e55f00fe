"""Files that are either whole or absent: write to a temporary name, fsync, rename, fsync the folder.

After a kill or power loss at any moment a reader sees the old file or the new one, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PART = ".part"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically; its folder is made when absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_json(path: Path, data: Any) -> None:
    """Write JSON, indented, key order kept, atomically; a number that is not finite is an error of ours."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode("utf-8", "surrogatepass"))


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write JSON lines, key order kept, atomically."""
    write_bytes(path, b"".join(line(row) for row in rows))


def line(row: Any) -> bytes:
    """Return one JSON line with its newline; escaped to ASCII, so that any text survives any reader."""
    return f"{json.dumps(row, allow_nan=False)}\n".encode("ascii")


def sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename or a new file durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(root: Path) -> None:
    """Remove temporary files that a killed process left under `root`; call it only under the run's lock."""
    for folder in ("images", "codes", "scores"):
        for part in (root / folder).rglob(f".*{_PART}"):
            part.unlink(missing_ok=True)
    for part in root.glob(f".*{_PART}"):
        part.unlink(missing_ok=True)
