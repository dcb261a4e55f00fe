"""The curves of the trainings on an ablation's page: a panel a cell, its seeds over the control's mean, one scale for all panels.

What is drawn is what the table holds (`evals.ablation.curves`): means over windows of steps. The loss that was trained on comes last, since
cells may differ in its terms; what they all log compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from markupsafe import Markup

from evals.ablation.curves import ends
from reports.ablation_charts import line_of, powers, scaled, spanned, text_of, ticks
from reports.charts import opened
from reports.text import minus, words

TOP, HEIGHT, AXIS = 10, 130, 24
"""CSS pixels of a panel: above its highest line, between its lines, and below for the steps."""
LEFT = 15
"""Percent of the width that belong to the ticks' labels."""
STEEP = 4
"""Highest over lowest value from which a loss is drawn on a logarithmic axis."""
KNOWN = {"bit": "bit loss, nats a bit", "text": "text loss, nats a token", "loss": "loss that was trained on"}
"""Names of a log that need a word more."""

_Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What all panels of one measure share."""

    low: float
    high: float
    steps: float
    logarithmic: bool

    @classmethod
    def of(cls, lines: Sequence[_Points], *, share: bool) -> Scale:
        """Span them all; a share of 1 (an accuracy) is never logarithmic."""
        values = [value for line in lines for _, value in line]
        low, high = min(values), max(values)
        steep = not share and low > 0 and high / low >= STEEP
        low, high = spanned([math.log10(low), math.log10(high)] if steep else [low, high], 0.04)
        return cls(low=low, high=high, steps=max(step for line in lines for step, _ in line) or 1.0, logarithmic=steep)

    def down(self, value: float) -> float:
        """Pixels from the panel's top."""
        place = scaled(self.low, self.high, (float(TOP + HEIGHT), float(TOP)), unit="")
        return float(place(math.log10(value) if self.logarithmic else value))

    def ticks(self) -> list[float]:
        """Round values inside."""
        return powers(10**self.low, 10**self.high) if self.logarithmic else ticks(self.low, self.high, 3)


class Trained(NamedTuple):
    """A cell at one stage of its training."""

    label: dict[str, Any]
    """For the page: `name`, `control`."""
    curves: Sequence[Mapping[str, Any]]
    """One a seed, at least one."""
    ends: Mapping[tuple[int, str], Sequence[float]]

    def lines(self, name: str) -> dict[int, _Points]:
        """Seed -> points of a measure."""
        return {
            curve["seed"]: list(zip(curve["steps"], measure["values"], strict=False))
            for curve in self.curves
            for measure in curve["measures"]
            if measure["name"] == name and curve["steps"] and measure["values"]
        }


def curves(cells: Sequence[Mapping[str, Any]], named: Callable[[Mapping[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the stages of the trainings in order, each with the figures of its measures and a table of where they ended.

    Args:
        cells: of the table; those without curves, as of a grid that trains nothing or an old table, are left out.
        named: a cell's name for the page.

    Returns:
        For each stage `name`, `columns`, `rows` (name, then the mean of each measure at the end, with the seeds' range) and `figures`
        (`measure`, `logarithmic`, `open`, `panels`); a measure that a cell does not log is told in its row alone.
    """
    kinds = sorted({(curve["number"], curve["stage"]) for cell in cells for curve in cell["curves"]})
    return [_stage(number, stage, cells, named) for number, stage in kinds]


def _stage(
    number: int, stage: str, cells: Sequence[Mapping[str, Any]], named: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    of_stage = [(cell, [c for c in cell["curves"] if (c["number"], c["stage"]) == (number, stage)]) for cell in cells]
    own = [Trained(named(cell), found, ends(found)) for cell, found in of_stage if found]
    measures = _ordered(list(dict.fromkeys(name for trained in own for _, name in trained.ends)))
    # Where all cells log it, it compares; else the row alone tells it.
    common = [name for name in measures if all(trained.lines(name) for trained in own)]
    rows = [
        {
            **trained.label,
            "steps": max(step for curve in trained.curves for step in (0, *curve["steps"])),
            "ends": [_end(trained.ends.get((number, name), ())) for name in measures],
        }
        for trained in own
    ]
    return {
        "name": words(stage),
        "columns": [words(name) for name in measures],
        "rows": rows,
        "figures": [_figure(f"curve-{number}-{at}", number, name, own) | {"open": at == 0} for at, name in enumerate(common)],
    }


def _ordered(names: Sequence[str]) -> list[str]:
    """Parts of the loss, then what was measured beside, then their sum."""
    return sorted(names, key=lambda name: 2 if name == "loss" else int(_is_share(name)))


def _is_share(name: str) -> bool:
    return "accuracy" in name


def _end(last: Sequence[float]) -> dict[str, str]:
    """Mean of the seeds and their range, for a table."""
    if not last:
        return {"value": "", "sort": "", "interval": ""}
    mean = math.fsum(last) / len(last)
    ends = f"{_digits(min(last))} to {_digits(max(last))}" if len(last) > 1 else ""
    return {"value": _digits(mean), "sort": str(mean), "interval": ends}


def _digits(value: float) -> str:
    """Four digits, which is more than trainings agree in.

    >>> _digits(0.11127), _digits(-0.5), _digits(3.2e-07)
    ('0.1113', '\u22120.5', '3.2e\u221207')
    """
    return minus(f"{value:.4g}")


def _figure(ident: str, number: int, name: str, own: Sequence[Trained]) -> dict[str, Any]:
    """The panels of one measure."""
    lines = [trained.lines(name) for trained in own]
    scale = Scale.of([line for seeds in lines for line in seeds.values()], share=_is_share(name))
    reference = next((_mean(list(seeds.values())) for trained, seeds in zip(own, lines, strict=True) if trained.label["control"]), [])
    panels = []
    for at, (trained, seeds) in enumerate(zip(own, lines, strict=True)):
        label, end = trained.label["name"], _end(trained.ends[number, name])["value"]
        last = ", ".join(f"seed {seed} {_digits(line[-1][1])}" for seed, line in seeds.items())
        drawn = panel(
            list(seeds.values()),
            [] if trained.label["control"] else reference,
            scale,
            title=f"{words(name)}, {label}",
            ident=f"{ident}-{at}",
            told=f"{label}: {words(name)} {end} at the end; {last}.",
        )
        panels.append({**trained.label, "end": end, "drawing": drawn})
    return {"measure": words(KNOWN.get(name, name)), "logarithmic": scale.logarithmic, "panels": panels}


def _mean(lines: Sequence[_Points]) -> _Points:
    """Mean of the seeds where all of them stand at the same steps, else the first."""
    steps = [[step for step, _ in line] for line in lines]
    if any(own != steps[0] for own in steps):
        return lines[0]
    return [(step, math.fsum(line[at][1] for line in lines) / len(lines)) for at, step in enumerate(steps[0])]


def panel(lines: Sequence[_Points], reference: _Points, scale: Scale, *, title: str, ident: str, told: str) -> Markup:
    """Draw the seeds of a cell over the control's mean.

    Args:
        lines: (step, value) of each seed.
        reference: of the control; empty in its own panel.
        scale: of all panels.
        title: accessible name.
        ident: prefix of the ids inside, unique in the page.
        told: description.

    Returns:
        An `<svg>` element, every label escaped.
    """
    bottom = TOP + HEIGHT
    out = opened("curves", bottom + AXIS, title=title, ident=ident, told=told)
    for tick in scale.ticks():
        label = minus(f"{tick:.10g}")
        out += line_of("grid", f"{LEFT}%", "100%", scale.down(tick), scale.down(tick))
        out += text_of("axis", f"{LEFT - 2}%", f"{scale.down(tick) + 4:.1f}", "end", label)
    out += line_of("floor", f"{LEFT}%", "100%", bottom, bottom)
    out += text_of("axis", f"{LEFT}%", bottom + 18, "start", "0") + text_of("axis", "100%", bottom + 18, "end", f"{scale.steps:,.0f} steps")
    # The lines have a drawing of their own: it stretches with the width, text does not.
    out += Markup(
        '<svg x="{}%" y="{}" width="{}%" height="{}" viewBox="0 0 1000 {}" preserveAspectRatio="none" overflow="visible">'
    ).format(LEFT, TOP, 100 - LEFT, HEIGHT, HEIGHT)
    for kind, points in (("reference", reference), *(("seed", line) for line in lines)):
        if points:
            # A line of one point is a dot.
            drawn = " ".join(f"{1000 * step / scale.steps:.1f},{scale.down(value) - TOP:.1f}" for step, value in (points[0], *points))
            out += Markup('<polyline class="{}" points="{}"/>').format(kind, drawn)
    return out + Markup("</svg></svg>")
