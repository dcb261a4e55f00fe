"""The table of a grid as JSON data: each cell's number, its effect against the control, what it cost, what failed and why.

Written as `ablation.json` (schema version 1); the page, the CSV, Parquet and LaTeX files are made of it alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evals.ablation import curves
from evals.ablation.effects import Effect, Level, effects, level_of
from evals.ablation.schema import Ablation, Cell
from evals.ablation.stages import places
from evals.analysis.verdicts import Verdicts, open_verdicts
from evals.store import manifest

SCHEMA = 1


def identity(ablation: Ablation) -> dict[str, Any]:
    """Return what makes two calls the same grid, as plain JSON data."""
    return {
        "ablation": ablation.name,
        "version": ablation.version,
        "size": ablation.size,
        "suite": ablation.suite,
        "profile": ablation.profile,
        "limit": ablation.limit,
        "seeds": list(ablation.seeds),
        "control": ablation.control,
        "cells": [
            {"name": c.name, "settings": _plain(c.settings), "train": [[t.recipe, list(t.settings)] for t in c.train], "model": c.model}
            for c in ablation.cells
        ],
    }


def build(
    ablation: Ablation,
    out: Path,
    status: Mapping[tuple[str, int], Mapping[str, Any]],
    *,
    seconds: float,
    command: Sequence[str],
    stages: Path | None = None,
) -> dict[str, Any]:
    """Return the table of what is finished.

    Args:
        ablation: the grid.
        out: its folder.
        status: (cell, seed) -> outcome of `evals.ablation.run.measure`; what is lacking is pending.
        seconds: of this call.
        command: the command line.
        stages: folder of the trainings (`evals.ablation.stages.places`), for their curves; below `out` by default.

    Raises:
        DataError: cells that measure different things.
    """
    runs = {cell.name: _runs(cell, ablation, out, status) for cell in ablation.cells}
    control = runs[ablation.control]
    others = {name: found for name, found in runs.items() if name != ablation.control and found}
    found = effects(control, others, trained=ablation.trained) if control else {}
    first = next((verdicts[0] for verdicts in runs.values() if verdicts), None)
    cells = [_cell(cell, ablation, runs[cell.name], found.get(cell.name), status, stages or out / "stages") for cell in ablation.cells]
    return {
        "schema_version": SCHEMA,
        **identity(ablation),
        "title": ablation.title,
        "question": ablation.question,
        "notes": list(ablation.notes),
        "trained": ablation.trained,
        "suite_title": None if first is None else first.title,
        "protocol": None if first is None else first.protocol,
        # Before anything is finished only the file's own word counts.
        "mini": (ablation.profile or "" if first is None else first.profile).startswith("mini"),
        "value": None if first is None else first.value,
        "headline": None if first is None else first.headline,
        "scale": None if first is None else list(first.scale),
        "complete": all(cell["status"] == "done" for cell in cells),
        "cells": cells,
        "also": [other.name for other in ablation.also],
        "command": list(command),
        "created": manifest.now(),
        "seconds": round(seconds, 3),
    }


def _runs(cell: Cell, ablation: Ablation, out: Path, status: Mapping[tuple[str, int], Mapping[str, Any]]) -> list[Verdicts]:
    done = [seed for seed in ablation.seeds if status.get((cell.name, seed), {}).get("status") == "done"]
    return [open_verdicts(out / "cells" / cell.name / str(seed)) for seed in done]


def _cell(
    cell: Cell, ablation: Ablation, runs: Sequence[Verdicts], effect: Effect | None,
    status: Mapping[tuple[str, int], Mapping[str, Any]], stages: Path,
) -> dict[str, Any]:  # fmt: skip
    level = level_of(runs) if runs else Level(value=None, low=None, high=None, outputs=0, planned=0, seeds=())
    outcomes = [{"seed": seed, **status.get((cell.name, seed), {"status": "pending", "reason": "not begun"})} for seed in ablation.seeds]
    kinds = {outcome["status"] for outcome in outcomes}
    return {
        "name": cell.name,
        "own": _plain(cell.own),
        "settings": _plain(cell.settings),
        "train": [[stage.recipe, list(stage.settings)] for stage in cell.train],
        "model": cell.model,
        "control": cell.name == ablation.control,
        "status": "failed" if "failed" in kinds else "pending" if "pending" in kinds else "done",
        "seeds": [
            {
                "seed": outcome["seed"],
                "status": outcome["status"],
                "reason": outcome["reason"],
                "value": next((run.known for run in runs if run.seed == outcome["seed"]), None),
                "difference": None if effect is None else effect.by_seed.get(outcome["seed"]),
                "run": f"cells/{cell.name}/{outcome['seed']}",
                "made": outcome.get("made", {}),
            }
            for outcome in outcomes
        ],
        "level": {**asdict(level), "seeds": list(level.seeds)},
        "effect": None if effect is None else {**asdict(effect), "by_seed": list(effect.by_seed.values()), "tasks": list(effect.tasks)},
        "cost": _cost(outcomes),
        "curves": _curves(cell, ablation.seeds, stages),
    }


def _curves(cell: Cell, seeds: Sequence[int], stages: Path) -> list[dict[str, Any]]:
    """Those of every training that has logged a step; of one that failed or goes on too, since they tell most about it."""
    found = []
    for seed in seeds:
        folders = places(cell.train, start=cell.model, seed=seed, folder=stages)
        for number, (stage, place) in enumerate(zip(cell.train, folders, strict=True)):
            curve = curves.read(place / "run" / "log.jsonl")
            found += [] if curve is None else [{"stage": Path(stage.recipe).stem, "number": number, "seed": seed, **curve}]
    return found


def _cost(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Means over seeds; a number that was not measured is None."""
    costs = [outcome["cost"] for outcome in outcomes if outcome.get("cost")]

    def mean(name: str) -> float | None:
        values = [cost[name] for cost in costs if name in cost]
        return math.fsum(values) / len(values) if values else None

    write, show = mean("write_s"), mean("show_s")
    trained = [math.fsum(stage["seconds"] for stage in o["stages"]) for o in outcomes if o.get("stages")]
    return {
        "parameters": mean("parameters"),
        "train_s": math.fsum(trained) / len(trained) if trained else None,
        "tokens": mean("tokens"),
        "write_ms": None if write is None else round(1000 * write, 3),
        "show_ms": None if show is None else round(1000 * show, 3),
        "image_ms": None if write is None or show is None else round(1000 * (write + show), 3),
    }


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    import json

    return dict(json.loads(json.dumps(dict(settings), default=str)))
