"""Which run folders a path stands for: itself, or all below it; and what a run is called on the pages."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from evals.errors import DataError
from evals.store.reader import RunReader

DEPTH = 4
"""How deep run folders are looked for: `evaluations/step-N-NAME/run` of a training run lies three below it."""
_INSIDE = frozenset({"images", "codes", "sources", "scores", "judge", "report", "checkpoint"})
"""Folders that hold no runs, and up to tens of thousands of files."""


def find(root: Path) -> list[Path]:
    """Return the run folders at or below `root`, by path; links are not followed, a run inside a run is part of it."""
    found: list[Path] = []
    for folder, below, files in os.walk(root, onerror=lambda error: None):
        path = Path(folder)
        if "manifest.json" in files:
            found.append(path)
            below.clear()
            continue
        deep = len(path.relative_to(root).parts) >= DEPTH
        below[:] = [] if deep else sorted(name for name in below if name not in _INSIDE and not name.startswith("."))
    return sorted(found)


def open_runs(paths: Iterable[Path]) -> list[RunReader]:
    """Open every run that the paths stand for, each once.

    Args:
        paths: run folders, or folders with run folders below them.

    Raises:
        DataError: a path without any run.
        StoreError: a damaged run.
    """
    readers: dict[Path, RunReader] = {}
    for path in paths:
        folders = find(path)
        if not folders:
            raise DataError(f"{path}: got no run folder there or below; expected one with a manifest.json. uniar-eval ls runs lists runs.")
        for folder in folders:
            readers.setdefault(folder.resolve(), RunReader(folder))
    return list(readers.values())


def model_name(run: RunReader) -> str:
    """Return what the run's model is called: its id, of a path only the last part."""
    name = str((run.manifest.get("model") or {}).get("id") or "unnamed model")
    # A checkpoint's path says where somebody keeps their files; a hub's id, `owner/name`, stays whole.
    return name.rstrip("/").rpartition("/")[2] or name if name.startswith(("/", ".", "~")) else name
