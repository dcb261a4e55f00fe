"""`AblationPage`: the page of a grid of cells, made of its table alone (`ablation.json`, written by `evals.ablation.table`).

Differences to the control, value against cost, tasks, seeds, what failed and how it was computed. Nothing is measured or tested here.
It attaches as the reporter `ablation`, by which `uniar-eval ablate` finds it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.errors import StoreError
from evals.store import atomic
from reports import ablation_charts as charts
from reports import pages
from reports.ablation_charts import signed
from reports.ablation_curves import curves
from reports.ablation_table import read
from reports.text import minus, plain, visible, words

ALPHA = 0.05
COUNTED = ("won", "lost", "tied")
COSTS = (
    ("parameters", "Parameters", "parameters"),
    ("train_s", "Training, s", "seconds of training"),
    ("tokens", "Tokens an image", "visual tokens an image"),
    ("write_ms", "Write, ms", "milliseconds to write the codes"),
    ("show_ms", "Show, ms", "milliseconds to show the image"),
    ("image_ms", "Image, ms", "milliseconds an image"),
)
"""Key, heading, and name on an axis."""
TRADED = ("image_ms", "train_s", "parameters")
"""Costs that the plane may show; the first that is known does."""
HEATS = (0.1, 0.25, 0.5)
"""Shares of the largest difference at which a task's tint grows deeper."""


class AblationPage:
    """Write the page of a grid."""

    def write(self, folder: Path) -> Path:
        """Write `ablation.html` beside the table and return its path.

        Args:
            folder: of the grid; holds `ablation.json`.

        Raises:
            StoreError: no table, a damaged one, one of another version, or a page that cannot be written.
        """
        found = read(folder / "ablation.json")
        out = folder / "ablation.html"
        page = pages.render_page(
            "ablation.html.j2", styles=(*pages.STYLES, "ablation.css"), scripts=("leaderboard.js",), home="", **_page(found)
        )
        try:
            atomic.write_bytes(out, page)
        except OSError as error:
            raise StoreError(f"{out}: got {error.strerror}; expected a file that can be written.") from error
        return out


# -- views -------------------------------------------------------------------------------------------------------------


def holds(effect: Mapping[str, Any] | None) -> bool:
    """Return whether an effect holds after correction: p by Holm below 0.05, and an interval without 0."""
    if effect is None or effect["p_holm"] is None or effect["low"] is None or effect["high"] is None:
        return False
    return bool(effect["p_holm"] < ALPHA and (effect["low"] > 0 or effect["high"] < 0))


def _page(found: Mapping[str, Any]) -> dict[str, Any]:
    cells = found["cells"]
    effects = [cell["effect"] for cell in cells if cell["effect"] is not None]
    missing = [(cell, seed) for cell in cells for seed in cell["seeds"] if seed["status"] != "done"]
    names = [_name(cell) for cell in cells]
    value = words(found["value"] or "value")
    return {
        "title": visible(found["title"], 200),
        "question": visible(found["question"], 1_000),
        "suite": visible(found["suite_title"] or found["suite"], 200),
        "protocol": visible(found["protocol"] or "", 100),
        "size": visible(found["size"], 100),
        "seeds": [str(seed) for seed in found["seeds"]],
        "control": visible(found["control"], 200),
        "headline": words(found["headline"] or ""),
        "value": value,
        "better": "higher" if _higher(found) else "lower",
        "done": sum(cell["status"] == "done" for cell in cells),
        "failed_cells": sum(cell["status"] == "failed" for cell in cells),
        "pending_cells": sum(cell["status"] == "pending" for cell in cells),
        "holding": sum(holds(effect) for effect in effects),
        "effects": len(effects),
        "mini": found["mini"],
        "complete": found["complete"],
        "trained": found["trained"],
        "notes": [visible(note, 2_000) for note in found["notes"]],
        "rows": [_row(cell) for cell in cells],
        "forest": _forest(found, names) if effects else "",
        "trade": _trade(found, names),
        "tasks": _tasks(found),
        "strip": _strip(cells, names, value) if len(found["seeds"]) > 1 and any(_values(cell) for cell in cells) else "",
        "replicates": [_replicates(cell) for cell in cells],
        "one_seed_trained": found["trained"] and len(found["seeds"]) == 1,
        "costs": _costs(cells),
        "curves": curves(cells, _named),
        "made": _made(cells),
        "missing": {
            kind: [
                _named(cell) | {"seed": str(seed["seed"]), "reason": visible(seed["reason"], 2_000)}
                for cell, seed in missing
                if (seed["status"] == "failed") == (kind == "failed")
            ]
            for kind in ("failed", "pending")
        },
        "runs": [{"name": _name(cell), "paths": [visible(seed["run"], 400) for seed in cell["seeds"]]} for cell in cells],
        "facts": _facts(found),
        "command": visible(shlex.join(found["command"]), 4_000),
        "settings": visible(json.dumps(_settings(found), indent=2, ensure_ascii=False), 200_000),
    }


def _higher(found: Mapping[str, Any]) -> bool:
    """Whether higher values are better; `scale` is the worst and the best value."""
    scale = found["scale"] or (0.0, 1.0)
    return bool(scale[-1] >= scale[0])


def _name(cell: Mapping[str, Any]) -> str:
    return visible(cell["name"], 120)


def _named(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": _name(cell), "control": cell["control"]}


def _shown(value: str, sort: object, interval: str = "") -> dict[str, str]:
    """A number in a table: its text, empty where there is none, what it is sorted by, and a small figure below it."""
    return {"value": value, "sort": "" if sort is None else str(sort), "interval": interval}


def _number(value: float | None) -> str:
    return "" if value is None else minus(f"{value:.3f}")


def _interval(part: Mapping[str, Any], form: Any = _number) -> str:
    return "" if part["low"] is None or part["high"] is None else f"{form(part['low'])} to {form(part['high'])}"


def _p(value: float | None) -> str:
    return "none" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def own(settings: Mapping[str, Any]) -> str:
    """Return a cell's own settings as a line; a key is its last part where that tells it from the others.

    >>> own({"generate.temperature": 1.0, "generate.guidance_scale": 2.5})
    'temperature 1.0, guidance scale 2.5'
    """
    last = [key.rpartition(".")[2] for key in settings]
    keys = [short if last.count(short) == 1 else key for key, short in zip(settings, last, strict=True)]
    told = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in settings.values()]
    return ", ".join(f"{words(key)} {visible(value, 200)}" for key, value in zip(keys, told, strict=True))


def _state(cell: Mapping[str, Any]) -> str:
    """What a cell lacks: nothing, all, or the runs of some seeds."""
    done = sum(seed["status"] == "done" for seed in cell["seeds"])
    if cell["status"] == "done":
        return ""
    return visible(cell["status"], 40) if not done else f"{visible(cell['status'], 40)}, {done} of {len(cell['seeds'])} seeds done"


def _row(cell: Mapping[str, Any]) -> dict[str, Any]:
    effect, level = cell["effect"], cell["level"]
    found = effect or {"delta": None, "low": None, "high": None, "p_holm": None, "counts": {}}
    delta, p, counts = found["delta"], found["p_holm"], found["counts"]
    return _named(cell) | {
        "own": visible(own(cell["own"]), 1_000),
        "holds": holds(effect),
        "state": _state(cell),
        "failed": cell["status"] == "failed",
        "value": _shown(_number(level["value"]), level["value"], _interval(level)),
        "delta": _shown("" if delta is None else signed(delta), delta, _interval(found, signed) or "no interval"),
        "p": _shown("" if effect is None else _p(p), p),
        "counts": [(key.capitalize(), _shown(f"{counts[key]:,}" if counts else "", counts.get(key))) for key in COUNTED],
        "scored": f"{level['outputs']:,}" if level["planned"] else "",
        "planned": f"{level['planned']:,}",
        "short": level["outputs"] < level["planned"],
        "scored_sort": str(level["outputs"]) if level["planned"] else "",
    }


def _forest(found: Mapping[str, Any], names: Sequence[str]) -> Any:
    rows = []
    for cell, name in zip(found["cells"], names, strict=True):
        effect = cell["effect"]
        if effect is None:
            note = "control" if cell["control"] else "no pair" if cell["status"] == "done" else visible(cell["status"], 16)
            points = (0.0,) if cell["control"] else ()
            rows.append(charts.Row(label=name, note=note, told=f"{name}: {note}.", points=points, solid=cell["control"]))
            continue
        verdict = "holds after correction" if holds(effect) else "does not hold after correction"
        told = f"{name}: {signed(effect['delta'])}, {_ranged(effect, signed)}, p by Holm {_p(effect['p_holm'])}, {verdict}."
        rows.append(
            charts.Row(
                label=name, note=signed(effect["delta"]), told=told, points=(effect["delta"],), low=effect["low"], high=effect["high"],
                solid=holds(effect),
            )
        )  # fmt: skip
    left, right = ("\u2190 worse", "better \u2192") if _higher(found) else ("\u2190 better", "worse \u2192")
    title = "Differences to the control, with 95% intervals"
    return charts.rows_chart(rows, title=title, ident="forest", zero=True, left=left, right=right)


def _ranged(part: Mapping[str, Any], form: Any = _number) -> str:
    interval = _interval(part, form)
    return f"95% interval {interval}" if interval else "no interval"


def _trade(found: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """Value against the first cost that is known; None where there is none."""
    cells = found["cells"]
    measured = [cell for cell in cells if cell["level"]["value"] is not None]
    kind = next((key for key in TRADED if any(cell["cost"][key] is not None for cell in measured)), None)
    if kind is None:
        return None
    points = [(cell["cost"][kind], cell["level"]["value"]) for cell in cells]
    best = charts.front(points, higher=_higher(found))
    known = [at for at, (cost, value) in enumerate(points) if cost is not None and value is not None]
    heading, axis = next((heading, axis) for key, heading, axis in COSTS if key == kind)
    spots = [
        charts.Spot(
            label=names[at],
            told=f"{names[at]}: {_cost(points[at][0], kind)} {axis}, value {_number(points[at][1])}, {_ranged(cells[at]['level'])}, "
            f"{'not beaten' if at in best else 'beaten'}.",
            cost=points[at][0],
            value=points[at][1],
            low=cells[at]["level"]["low"],
            high=cells[at]["level"]["high"],
            best=at in best,
            control=cells[at]["control"],
        )
        for at in known
    ]
    value = f"{charts.fitted(words(found['value'] or 'value'), 180)}, {'higher' if _higher(found) else 'lower'} is better"
    return {
        "chart": charts.plane(spots, title=f"Value against {axis}", ident="plane", cost=axis, value=value, short=_compact),
        "axis": axis,
        "heading": heading,
        "rows": [
            {
                **_named(cells[at]),
                "cost": _shown(_cost(points[at][0], kind), points[at][0]),
                "value": _shown(_number(points[at][1]), points[at][1], _interval(cells[at]["level"])),
                "best": at in best,
            }
            for at in sorted(known, key=lambda at: points[at][0])
        ],
        "lacking": [names[at] for at in range(len(cells)) if at not in known],
        "timed": kind != "parameters",
    }


def _cost(value: float | None, key: str) -> str:
    """Times to a tenth, counts whole where they are."""
    if value is None:
        return ""
    if key in ("parameters", "tokens") and value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}" if value >= 1 else f"{value:.3g}"


def _compact(value: float) -> str:
    """A cost at a tick.

    >>> _compact(7_500_000.0), _compact(1250.0), _compact(0.5)
    ('7.5M', '1,250', '0.5')
    """
    for size, mark in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if mark == 'k' else size):.4g}{mark}"
    return f"{value:,.6g}"


def _tasks(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Differences by task; None where no cell has any."""
    cells = [cell for cell in found["cells"] if cell["effect"] is not None]
    known = [{task["task"]: task for task in cell["effect"]["tasks"]} for cell in cells]
    tasks = list(dict.fromkeys(task for own in known for task in own))
    if not tasks:
        return None
    most = max(abs(task["delta"]) for own in known for task in own.values()) or 1.0
    better = 1 if _higher(found) else -1
    rows = [
        _named(cell) | {"cells": [{"label": words(task), **_task(own.get(task), most * better)} for task in tasks]}
        for cell, own in zip(cells, known, strict=True)
    ]
    base = [(words(task), _base(task, known)) for task in tasks]
    return {"columns": [label for label, _ in base], "control": visible(found["control"], 200), "base": base, "rows": rows}


def _base(task: str, known: Sequence[Mapping[str, Any]]) -> str:
    """The control's value of a task, where it is the same beside every cell: what is paired may differ."""
    values = {_number(own[task]["first"]) for own in known if task in own}
    return values.pop() if len(values) == 1 else ""


def _task(task: Mapping[str, Any] | None, most: float) -> dict[str, Any]:
    """One difference; `most` is the largest of all, negative where lower values are better."""
    if task is None:
        return {**_shown("", None), "heat": "", "apart": False}
    depth = sum(abs(task["delta"] / most) >= edge for edge in HEATS)
    return {
        **_shown(signed(task["delta"]), task["delta"], _interval(task, signed)),
        "heat": f"heat-{'better' if task['delta'] * most > 0 else 'worse'}-{depth}" if depth else "",
        "apart": task["low"] is not None and task["high"] is not None and (task["low"] > 0 or task["high"] < 0),
    }


def _values(cell: Mapping[str, Any]) -> list[float]:
    return [seed["value"] for seed in cell["seeds"] if seed["value"] is not None]


def _strip(cells: Sequence[Mapping[str, Any]], names: Sequence[str], value: str) -> Any:
    rows = []
    for cell, name in zip(cells, names, strict=True):
        told = ", ".join(f"seed {seed['seed']} {_number(seed['value']) or visible(seed['status'], 40)}" for seed in cell["seeds"])
        middle = cell["level"]["value"]
        sentence = f"{name}: {_number(middle) or 'no value'}; {told}."
        note = _number(middle) or visible(cell["status"], 16)
        rows.append(charts.Row(label=name, note=note, told=sentence, points=tuple(_values(cell)), middle=middle))
    return charts.rows_chart(rows, title=f"{value} of each seed", ident="strip")


def _replicates(cell: Mapping[str, Any]) -> dict[str, Any]:
    effect, values = cell["effect"], _values(cell)
    spread = max(values) - min(values) if len(values) > 1 else None
    return _named(cell) | {
        "seeds": [
            (
                f"Seed {seed['seed']}",
                _shown(
                    _number(seed["value"]) or visible(seed["status"], 40),
                    seed["value"],
                    "" if seed["difference"] is None else signed(seed["difference"]),
                ),
            )
            for seed in cell["seeds"]
        ],
        "range": _shown(_number(spread), spread),
        "over": "" if effect is None or effect["low"] is None else "seeds" if effect["wider_by_seeds"] else "prompts",
    }


def _costs(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    known = [(key, heading) for key, heading, _ in COSTS if any(cell["cost"][key] is not None for cell in cells)]
    rows = [
        _named(cell) | {"cells": [(heading, _shown(_cost(cell["cost"][key], key), cell["cost"][key])) for key, heading in known]}
        for cell in cells
    ]
    timed = any(key.endswith("_ms") for key, _ in known)
    return {"columns": [heading for _, heading in known], "rows": rows, "timed": timed} if known else None


def _made(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the last call made and found; None where it tells nothing."""
    kinds = list(dict.fromkeys(kind for cell in cells for seed in cell["seeds"] for kind in seed["made"]))
    rows = [
        _named(cell) | {"seed": str(seed["seed"]), "cells": [(words(kind), plain(seed["made"].get(kind, 0))) for kind in kinds]}
        for cell in cells
        for seed in cell["seeds"]
        if seed["made"]
    ]
    return {"columns": [words(kind) for kind in kinds], "rows": rows} if kinds else None


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = [
        ("Ablation", f"{found['ablation']}, version {found['version']}"),
        ("Size", found["size"]),
        ("Suite", found["suite"]),
        ("Protocol", found["protocol"] or "not known yet"),
        ("Profile", found["profile"] or "of the suite"),
        ("Limit", "none" if found["limit"] is None else str(found["limit"])),
        ("Seeds", ", ".join(map(str, found["seeds"]))),
        ("Control", found["control"]),
        ("Trained", "yes" if found["trained"] else "no"),
        ("Also measured", ", ".join(map(str, found.get("also", ()))) or "nothing"),
        ("Written", found["created"]),
        ("This call", f"{found['seconds']:,.1f} s"),
    ]
    return [(name, visible(value, 400)) for name, value in told]


def _settings(found: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the grid, without what it found."""
    keys = ("ablation", "version", "size", "suite", "profile", "limit", "seeds", "control")
    # Tables of before these were told have only what differs.
    told = {c["name"]: {key: c[key] for key in ("settings", "train", "model") if c.get(key)} or c["own"] for c in found["cells"]}
    return {key: found[key] for key in keys} | {"cells": told}
