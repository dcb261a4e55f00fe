"""How the numbers of one suite moved over the checkpoints of a training run: one page, a line a number, intervals, a table.

Takes several run folders, or the folder of a training run: its evaluations lie in `evaluations/step-N-NAME/run`. Each suite
and protocol has a section of its own; inside one, every run must measure the same thing (`evals.likeness`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals import likeness
from evals.errors import DataError
from evals.store import atomic
from evals.store.reader import RunReader
from reports import leaderboard, lines, pages
from reports.leaderboard import HEAD, Entry
from reports.leaderboard_site import shown
from reports.text import coverage_text, visible

_STEP = re.compile(r"(?:^|[^a-z])(?:step|checkpoint|iter|global_step)[-_]?0*(\d+)(?!\d)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """One run, and where it stands on the axis."""

    step: int | None
    """Training steps, as the folder's or the model's name tells them."""
    label: str
    entry: Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One suite under one protocol."""

    title: str
    suite: str
    protocol: str
    by_step: bool
    """False: some run tells no step, so the checkpoints stand in the order they were given in."""
    checkpoints: tuple[Checkpoint, ...]
    columns: tuple[str, ...]


def collect(runs: Iterable[RunReader]) -> list[Section]:
    """Sort runs into sections, each by step.

    Raises:
        DataError: two runs of one protocol measure different things; the message names the difference.
    """
    groups: dict[tuple[str, str], list[Checkpoint]] = {}
    for run in runs:
        entry = leaderboard.of_run(run)
        step = step_of(run)
        label = f"{step:,}" if step is not None else entry.model
        groups.setdefault((entry.suite, entry.protocol), []).append(Checkpoint(step=step, label=label, entry=entry))
    return [_section(suite, protocol, points) for (suite, protocol), points in groups.items()]


def step_of(run: RunReader) -> int | None:
    """Return the training step that the run's folder tells, else its model's id; None when neither does.

    The folder nearest to the run wins: `run-step-2/evaluations/step-00000500-geneval/run` is step 500.
    """
    names = [*reversed(run.path.resolve().parts[-DEEP:]), str((run.manifest.get("model") or {}).get("id") or "")]
    found = (_STEP.search(name) for name in names)
    return next((int(match[1]) for match in found if match), None)


DEEP = 3
"""Parts of the path that may tell the step; farther up it tells of something else."""


def _section(suite: str, protocol: str, points: Sequence[Checkpoint]) -> Section:
    first = points[0].entry
    for point in points[1:]:
        told = likeness.differences(first.measurement or {}, point.entry.measurement or {}, names=("in the first", "in the second"))
        if told:
            one, other = (entry.run.path for entry in (first, point.entry) if entry.run is not None)
            raise DataError(f"{one} and {other}: got different measurements ({'; '.join(told[:4])}); expected equal ones on one line.")
    by_step = all(point.step is not None for point in points)
    ordered = sorted(points, key=lambda point: point.step or 0) if by_step else list(points)
    keys = dict.fromkeys(key for point in ordered for key in point.entry.numbers)
    columns = (HEAD, *(key for key in keys if key.startswith("task:")), *(key for key in keys if key.startswith("value:")))
    return Section(
        title=first.title,
        suite=suite,
        protocol=protocol,
        by_step=by_step,
        checkpoints=tuple(ordered),
        columns=tuple(key for key in columns if key in keys),
    )


def write(sections: Sequence[Section], out: Path) -> Path:
    """Write the page and return its path.

    Raises:
        DataError: `out` is a folder.
    """
    if out.is_dir():
        raise DataError(f"{out}: got a folder; expected a file name for the page. Give --out {out / 'trend.html'}.")
    shown_sections = [_shown(section, number) for number, section in enumerate(sections)]
    page = pages.render_page(
        "trend.html.j2",
        scripts=("leaderboard.js",),
        title="Trend",
        home="",
        sections=shown_sections,
        checkpoints=max((len(section.checkpoints) for section in sections), default=0),
    )
    atomic.write_bytes(out, page)
    return out


def as_json(sections: Sequence[Section]) -> dict[str, Any]:
    """Return the points as plain data."""
    return {
        "sections": [
            {
                "suite": section.suite,
                "protocol": section.protocol,
                "points": [
                    {
                        "step": point.step,
                        "model": point.entry.model,
                        "run": point.entry.run.path.name if point.entry.run else None,
                        "complete": point.entry.complete,
                        "numbers": {key: [n.value, n.low, n.high] for key, n in point.entry.numbers.items()},
                    }
                    for point in section.checkpoints
                ],
            }
            for section in sections
        ]
    }


def _shown(section: Section, number: int) -> dict[str, Any]:
    def chart(key: str, at: int, height: int) -> Any:
        points = [
            lines.Point(label=visible(p.label, 24), at=_at(section, index), complete=p.entry.complete, **_numbers(p.entry, key))
            for index, p in enumerate(section.checkpoints)
        ]
        axis = "training steps" if section.by_step else "checkpoints in the order given"
        return lines.line_chart(points, title=f"{_label(key)} over {axis}", ident=f"trend-{number}-{at}", height=height)

    parts = [key for key in section.columns if key != HEAD]
    return {
        "ident": f"section-{number}",
        "title": visible(section.title, 200),
        "suite": visible(section.suite, 100),
        "protocol": visible(section.protocol, 100),
        "axis": "Training steps" if section.by_step else "Checkpoints in the order given; not all tell their step",
        "head": chart(HEAD, 0, 280) if HEAD in section.columns else "",
        "parts": [{"label": _label(key), "chart": chart(key, at, 150)} for at, key in enumerate(parts, start=1)],
        "columns": [_label(key) for key in section.columns],
        "rows": [_row(section, point) for point in section.checkpoints],
        "open": any(not point.entry.complete for point in section.checkpoints),
    }


def _row(section: Section, point: Checkpoint) -> dict[str, Any]:
    entry = point.entry
    cells = []
    for key in section.columns:
        number = entry.numbers.get(key)
        interval = "" if number is None or number.low is None or number.high is None else f"{number.low:.3f} to {number.high:.3f}"
        sort = "" if number is None else repr(number.value)
        cells.append({"label": _label(key), "value": shown(number), "sort": sort, "interval": interval})
    coverage = coverage_text((entry.n or 0) / entry.n_expected) if entry.n_expected else "none"
    return {
        "label": visible(point.label, 120),
        "step": "" if point.step is None else str(point.step),
        "model": visible(entry.model, 120),
        "run": visible(_folder(entry), 200),
        "cells": cells,
        "coverage": coverage,
        "complete": entry.complete,
    }


def _folder(entry: Entry) -> str:
    """The run's folder; an evaluation of a training run is called `run`, so there the one above it says more."""
    path = entry.run.path.resolve() if entry.run else Path()
    return path.parent.name if path.name == "run" else path.name


def _at(section: Section, index: int) -> float:
    step = section.checkpoints[index].step
    return float(step if section.by_step and step is not None else index)


def _numbers(entry: Entry, key: str) -> dict[str, float | None]:
    number = entry.numbers.get(key)
    return {"value": None, "low": None, "high": None} if number is None else {"value": number.value, "low": number.low, "high": number.high}


def _label(key: str) -> str:
    return "overall" if key == HEAD else visible(key.partition(":")[2], 120).replace("_", " ")
