"""How far a run is, read from its folder without touching it: finished outputs, whether a process works on it, its number.

A run that goes on is known by its lock: on Linux the kernel lists who holds it, so nobody has to try the lock and get in a
starting run's way. Elsewhere a journal that grew within a minute stands for it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from evals.errors import UserError
from evals.store.layout import Layout
from evals.store.reader import RunReader
from reports import runs
from reports.text import visible
from reports.views import title

RECENT = 60.0
"""Seconds since the last output within which a run counts as going on where the kernel lists no locks."""


class Watch:
    """Rows of many runs; journals are read on from where they were left, so that a long one costs once."""

    def __init__(self) -> None:
        self._journals: dict[Path, _Tail] = {}
        self._guard = threading.Lock()

    def row(self, path: Path, name: str) -> dict[str, Any]:
        """Return what the list says of a run; a damaged one has its `problem`, never an exception."""
        shown = {
            "name": visible(name, 200), "title": "", "model": "", "status": "broken", "done": 0, "failed": 0, "expected": 0,
            "value": "", "interval": "", "created": "", "problem": "",
        }  # fmt: skip
        try:
            run = RunReader(path)
            with self._guard:
                done, failed = self._journals.setdefault(path, _Tail()).read(run.layout.journal)
            return shown | _facts(run, done, failed)
        except (UserError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            return shown | {"problem": visible(error, 400)}


class _Tail:
    """Outputs that a journal tells, without reading what was read before."""

    def __init__(self) -> None:
        self._at, self._inode, self._outcomes = 0, 0, {}  # type: int, int, dict[tuple[str, int], bool]

    def read(self, journal: Path) -> tuple[int, int]:
        """Return the numbers of finished and of failed outputs."""
        try:
            with journal.open("rb") as file:
                facts = os.fstat(file.fileno())
                if facts.st_ino != self._inode or facts.st_size < self._at:
                    self._at, self._inode, self._outcomes = 0, facts.st_ino, {}
                file.seek(self._at)
                for line in file:
                    # A torn last line is read again when it is whole.
                    if not line.endswith(b"\n"):
                        break
                    self._at += len(line)
                    row = json.loads(line)
                    self._outcomes[str(row["sample_id"]), int(row["repeat"])] = row["outcome"] == "ok"
        except FileNotFoundError:
            self._outcomes = {}
        good = sum(self._outcomes.values())
        return good, len(self._outcomes) - good


def _facts(run: RunReader, done: int, failed: int) -> dict[str, Any]:
    results, expected = run.results, int(run.manifest.get("n_expected") or 0)
    head = results.get("headline") or {}
    value, low, high = (head.get(key) for key in ("value", "low", "high"))
    created = str(run.manifest.get("created") or "")
    state_word = "running" if working(run.layout) else str(results.get("status") or "incomplete")
    return {
        "title": title(run.manifest),
        "model": visible(runs.model_name(run), 200),
        "status": state_word if state_word in ("running", "complete") else "incomplete",
        "done": done,
        "failed": failed,
        "expected": expected,
        "value": "" if value is None else f"{value:.3f}",
        "interval": "" if low is None or high is None else f"{low:.3f} to {high:.3f}",
        "created": visible(created[:16].replace("T", " "), 40),
    }


def working(layout: Layout) -> bool:
    """Return whether a process holds the run's lock."""
    try:
        facts = layout.lock.stat()
    except OSError:
        return False
    held = _held()
    if held is not None:
        major, minor, inode = os.major(facts.st_dev), os.minor(facts.st_dev), facts.st_ino
        # Devices without a major number (overlay, btrfs) have another number in the kernel's list than in `stat`.
        return any(row == (major, minor, inode) or (major == 0 and row[2] == inode) for row in held)
    try:
        return time.time() - layout.journal.stat().st_mtime < RECENT
    except OSError:
        return False


def _held(table: Path = Path("/proc/locks")) -> set[tuple[int, int, int]] | None:
    """Return (major, minor, inode) of every file that somebody holds by flock; None where the kernel lists none.

    A line is `1: FLOCK  ADVISORY  WRITE 1234 08:01:123456 0 EOF`, device numbers hexadecimal; `->` marks a waiting one.
    """
    try:
        lines = table.read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    found = set()
    for line in lines:
        parts = line.split()
        if len(parts) >= 6 and parts[1] == "FLOCK":
            major, minor, inode = parts[5].split(":")
            found.add((int(major, 16), int(minor, 16), int(inode)))
    return found


def state(path: Path) -> tuple[Any, ...]:
    """Return what changes when a run's records change: sizes and times of what its page shows."""
    layout = Layout(path)
    files = [layout.manifest, layout.samples, layout.journal, layout.results, layout.added]
    files += sorted((path / "scores").glob("*.jsonl"))
    found: list[tuple[str, int, int]] = []
    for file in files:
        try:
            facts = file.stat()
        except OSError:
            continue
        found.append((file.name, facts.st_size, facts.st_mtime_ns))
    return tuple(found)
