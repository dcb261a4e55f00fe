"""Line charts as inline SVG, in the manner of `reports/charts.py`: positions in percent, text in CSS pixels, colours by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from reports.charts import opened

LEFT, RIGHT = 12.0, 96.0
"""Percent of the width between which the points lie; on a phone the ticks' labels fit before the first."""
TOP, AXIS = 18, 28
MARKS = 6
"""Labels below the axis, at most: more would run into each other on a phone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point of a line."""

    label: str
    at: float
    """Place on the horizontal axis."""
    value: float | None
    """None: there is no point, and the line has a gap."""
    low: float | None = None
    high: float | None = None
    complete: bool = True
    """False draws an open point: the number will change."""


def line_chart(points: Sequence[Point], *, title: str, ident: str, height: int = 280) -> Markup:
    """Draw a line with 95% whiskers; the vertical axis spans the values and need not begin at zero.

    Args:
        points: from left to right.
        title: accessible name; the description lists every number.
        ident: prefix of the ids inside, unique in the page.
        height: of the plot, CSS pixels, without the axis.

    Returns:
        An `<svg>` element, every label escaped.
    """
    known = [point for point in points if point.value is not None]
    out = opened("trend", height + AXIS, title=title, ident=ident, told=_describe(points))
    if not known:
        return out + Markup('<text class="bar-note" x="0" y="{}">No value yet.</text></svg>').format(TOP)
    ends = [v for p in known for v in (p.value, p.low, p.high) if v is not None]
    ticks = _ticks(min(ends), max(ends), 4 if height > 200 else 3)
    low, high = ticks[0], ticks[-1]
    left, right = min(p.at for p in points), max(p.at for p in points)

    def x(at: float) -> str:
        share = 0.5 if right == left else (at - left) / (right - left)
        return f"{LEFT + (RIGHT - LEFT) * share:.2f}%"

    def y(value: float) -> str:
        return f"{TOP + (height - TOP) * (1 - (value - low) / (high - low)):.1f}"

    for tick in ticks:
        out += Markup('<line class="axis-line" x1="0" x2="100%" y1="{}" y2="{}"/><text class="axis" x="0" y="{:.1f}">{}</text>').format(
            y(tick), y(tick), float(y(tick)) - 4, f"{tick:.10g}"
        )
    every = math.ceil(len(points) / MARKS)
    for index, point in enumerate(points):
        # The last point is always named; the one before it gives way when it would run into it.
        last = index == len(points) - 1
        if last or (index % every == 0 and len(points) - 1 - index >= every):
            # The first and the last label lie inside the drawing.
            anchor = "middle" if len(points) == 1 or 0 < index < len(points) - 1 else "end" if last else "start"
            out += Markup('<text class="axis" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                x(point.at), height + 22, anchor, point.label
            )
    for before, after in pairwise(points):
        if before.value is not None and after.value is not None:
            out += Markup('<line class="line" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
                x(before.at), y(before.value), x(after.at), y(after.value)
            )
    for point in known:
        assert point.value is not None
        if point.low is not None and point.high is not None:
            out += Markup('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                x(point.at), x(point.at), y(point.low), y(point.high)
            )
    for point in known:
        assert point.value is not None
        kind = "point" if point.complete else "open"
        out += Markup('<circle class="{}" cx="{}" cy="{}" r="5"/>').format(kind, x(point.at), y(point.value))
    return out + Markup("</svg>")


def _describe(points: Sequence[Point]) -> str:
    told = []
    for point in points:
        number = "no value" if point.value is None else f"{point.value:.3f}"
        interval = "" if point.low is None or point.high is None else f", 95% interval {point.low:.3f} to {point.high:.3f}"
        told.append(f"{point.label}: {number}{interval}{'' if point.complete else ', incomplete'}.")
    return " ".join(told)


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers that span the values.

    >>> _ticks(0.61, 0.78, 4)
    [0.6, 0.65, 0.7, 0.75, 0.8]
    """
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough - 1e-12), power * 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * index, 12) for index in range(first, max(last, first + 1) + 1)]
