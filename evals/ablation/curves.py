"""The curves of a training: what its log tells of the steps that it logs, thinned to windows that a page can draw."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

POINTS = 40
"""Windows of a curve at most; a point is the mean of its window."""
LARGEST = 1e18
"""What lies beyond it is a training that has diverged; the page refuses a table with such a number."""
LEAST = 1e-5
"""A measure that never reaches it is a term that this training does not have, such as the text loss of captions alone."""
_BESIDE = ("step", "lr", "grad_norm", "loading")


def read(log: Path) -> dict[str, Any] | None:
    """Return the curves of a training.

    Args:
        log: its `log.jsonl`, one object a logged step; lines that a killed writer left broken are passed over.

    Returns:
        `steps` (last logged one of each window, ascending, at most `POINTS`) and `measures`, each with `name`, `values` (mean of
        each window) and `last` (mean over the last fifth of the logged steps), in the log's order; None where nothing is logged.
        A measure that some step lacks, or that is nothing throughout (below `LEAST`), is left out.
    """
    rows = sorted(_rows(log), key=lambda row: float(row["step"]))
    names = [name for name in rows[-1] if _is_measure(name) and all(_fits(row.get(name)) for row in rows)] if rows else []
    names = [name for name in names if any(abs(row[name]) >= LEAST for row in rows)]
    if not names:
        return None
    width = math.ceil(len(rows) / POINTS)
    windows = [rows[at : at + width] for at in range(0, len(rows), width)]
    end = rows[-math.ceil(len(rows) / 5) :]
    return {
        "steps": [window[-1]["step"] for window in windows],
        "measures": [
            {"name": name, "values": [_mean(window, name) for window in windows], "last": _mean(end, name)} for name in names
        ],
    }  # fmt: skip


def ends(found: Iterable[Mapping[str, Any]]) -> dict[tuple[int, str], list[float]]:
    """Return where the trainings of a cell ended: (number of the stage, measure) -> `last` of each seed, from a table's `curves`."""
    told: dict[tuple[int, str], list[float]] = {}
    for curve in found:
        for measure in curve["measures"]:
            told.setdefault((curve["number"], measure["name"]), []).append(measure["last"])
    return told


def _rows(log: Path) -> list[dict[str, Any]]:
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and _fits(row.get("step")):
            found.append(row)
    return found


def _is_measure(name: str) -> bool:
    """Losses and what was measured with them; not counts, rates, settings, nor the parts by dataset."""
    return name not in _BESIDE and not name.startswith(("n_", "in_step_")) and not name.endswith("_per_s") and "[" not in name


def _fits(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    # Six digits are more than a drawing or a comparison of trainings can use.
    return float(f"{math.fsum(row[name] for row in rows) / len(rows):.6g}")
