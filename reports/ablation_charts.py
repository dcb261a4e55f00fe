"""The drawings of an ablation's page, inline SVG in the manner of `reports/charts.py`: positions in percent, text in CSS pixels.

One row a cell for differences and for seeds; a plane for value against cost, whose labels are placed for the narrowest screen: since
points part as the drawing grows and text does not, what is apart there is apart everywhere.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from reports.charts import opened
from reports.text import minus

ROW, TOP, AXIS = 50, 8, 30
NAME = 235
"""CSS pixels of a row's label at most: on a phone its number stands beside it."""
EDGES = (7.0, 93.0)
"""Percent of the width between which the rows' marks lie, so that half a tick's label fits beside them."""
PLANE = (15.0, 96.0)
"""The same of the plane, whose ticks stand at its left."""
HEIGHT, PLANE_TOP = 400, 30
NARROW = 330
"""CSS pixels of the narrowest drawing for which labels are placed."""
TICKS = 42
"""CSS pixels at the plane's left that belong to the ticks' labels."""
LABEL, LINE = 140, 15
"""CSS pixels that a point's label may take, and its height."""
_WIDTHS = (("fijlrtI.,:;-'|!()[] ", 5.5), ("mwMW@%", 13.0), ("abcdeghknopqsuvxyz", 8.2), ("", 10.0))
"""Upper bounds for a bold letter of 13 pixels in the usual fonts."""
LONG_AXIS = 20
"""Highest over lowest cost from which the cost's axis is logarithmic."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One cell in a drawing of rows."""

    label: str
    note: str
    """At the right: its number, or why there is none."""
    told: str
    """Its sentence in the description."""
    points: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    middle: float | None = None
    """A tick among several points."""
    solid: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """One cell in the plane."""

    label: str
    told: str
    cost: float
    value: float
    low: float | None = None
    high: float | None = None
    best: bool = False
    """Whether no other cell beats it (`front`)."""
    control: bool = False


def signed(value: float) -> str:
    """Return three decimals with a sign; a true minus sign is as wide as the plus sign.

    >>> signed(-0.25), signed(-0.0001)
    ('\u22120.250', '+0.000')
    """
    return minus(f"{round(value, 3) + 0.0:+.3f}")


def front(points: Sequence[tuple[float | None, float | None]], *, higher: bool = True) -> list[int]:
    """Return which points no other one beats: none is cheaper and as good, or as cheap and better.

    Args:
        points: cost and value of each; one that lacks either neither beats nor is listed.
        higher: whether the higher value is the better one.

    Returns:
        Indices by cost; of equal points all.
    """
    # Means of equal outputs differ in the last digits.
    sign = 1 if higher else -1
    known = [(cost, round(sign * value, 9), at) for at, (cost, value) in enumerate(points) if cost is not None and value is not None]
    best = [
        (cost, at) for cost, value, at in known if not any((c <= cost and v > value) or (c < cost and v >= value) for c, v, _ in known)
    ]
    return [at for _, at in sorted(best)]


def rows_chart(rows: Sequence[Row], *, title: str, ident: str, zero: bool = False, left: str = "", right: str = "") -> Markup:
    """Draw a row for each cell: its interval and its points on one axis, which spans them all.

    Args:
        rows: from top to bottom.
        title: accessible name; the description has each row's sentence.
        ident: prefix of the ids inside, unique in the page.
        zero: differences: the axis contains 0, has a line there, and signs at its ticks.
        left: what lies at the axis' left end.
        right: and at its right end.

    Returns:
        An `<svg>` element, every label escaped.
    """
    bottom = TOP + ROW * len(rows)
    ends = [end for row in rows for end in (*row.points, row.low, row.high) if end is not None] + ([0.0] if zero else [])
    height = bottom + AXIS + (20 if left or right else 0)
    out = opened("rows", height, title=title, ident=ident, told=" ".join(row.told for row in rows))
    low, high = spanned(ends)
    x = scaled(low, high, EDGES)
    for tick in ticks(low, high, 4):
        label = "0" if tick == 0.0 else minus(f"{tick:{'+' if zero else ''}.10g}")
        out += line_of("zero" if zero and tick == 0.0 else "grid", x(tick), x(tick), 0, bottom + 4)
        out += text_of("axis", x(tick), bottom + 20, "middle", label)
    out += text_of("axis", 0, bottom + 40, "start", left) + text_of("axis", "100%", bottom + 40, "end", right)
    for at, row in enumerate(rows):
        out += _row(row, TOP + ROW * at, x)
    return out + Markup("</svg>")


def _row(row: Row, top: int, x: Callable[[float], str]) -> Markup:
    middle, state = top + 28, "solid" if row.solid else "open"
    out = text_of("bar-label", 0, top + 14, "start", fitted(row.label, NAME, size=15))
    out += text_of("row-note row-solid" if row.solid and row.points else "row-note", "100%", top + 14, "end", row.note)
    if row.low is not None and row.high is not None:
        out += line_of(f"whisker {state}", x(row.low), x(row.high), middle, middle)
    if row.middle is not None:
        out += line_of("middle", x(row.middle), x(row.middle), middle - 9, middle + 9)
    # Equal points of several seeds stand a little below each other.
    step = min(5.0, 12 / max(1, len(row.points) - 1))
    for at, point in enumerate(row.points):
        down = middle + step * (at - (len(row.points) - 1) / 2)
        radius = 5 if len(row.points) == 1 else 3.5
        out += Markup('<circle class="point {}" cx="{}" cy="{:g}" r="{}"/>').format(state, x(point), down, radius)
    return out


def plane(spots: Sequence[Spot], *, title: str, ident: str, cost: str, value: str, short: Callable[[float], str]) -> Markup:
    """Draw value against cost, the best for their cost solid and joined by a line, intervals as whiskers.

    Args:
        spots: at least one.
        title: accessible name; the description has each cell's sentence.
        ident: prefix of the ids inside, unique in the page.
        cost: label of the horizontal axis.
        value: label of the vertical axis.
        short: a cost as a tick's label.

    Returns:
        An `<svg>` element, every label escaped.
    """
    costs = [spot.cost for spot in spots]
    long = min(costs) > 0 and max(costs) / min(costs) >= LONG_AXIS
    told = cost + (", logarithmic" if long else "")
    out = opened("plane", HEIGHT + AXIS + 20, title=title, ident=ident, told=" ".join(spot.told for spot in spots))
    low, high = spanned([end for spot in spots for end in (spot.value, spot.low, spot.high) if end is not None])
    level = scaled(low, high, (float(HEIGHT - 8), float(PLANE_TOP + 14)), unit="")
    # A share of the width beside the outermost points keeps them off the frame.
    ends = [math.log10(end) for end in costs] if long else costs
    first, last = spanned(ends, share=0.06)
    along = scaled(first, last, PLANE)

    def x(cost: float) -> str:
        return along(math.log10(cost) if long else cost)

    for tick in ticks(low, high, 5):
        out += line_of("grid", 0, "100%", level(tick), level(tick))
        out += text_of("axis", 0, f"{float(level(tick)) - 4:.1f}", "start", minus(f"{tick:.10g}"))
    for tick in powers(10**first, 10**last) if long else ticks(first, last, 4):
        out += line_of("tick", x(tick), x(tick), HEIGHT, HEIGHT + 5)
        out += text_of("axis", x(tick), HEIGHT + 20, "middle", short(tick))
    out += line_of("floor", 0, "100%", HEIGHT, HEIGHT)
    out += text_of("axis", 0, 12, "start", value) + text_of("axis", "100%", HEIGHT + 42, "end", told)
    for before, after in pairwise(sorted((spot for spot in spots if spot.best), key=lambda spot: spot.cost)):
        out += line_of("front", x(before.cost), x(after.cost), level(before.value), level(after.value))
    for spot in spots:
        if spot.low is not None and spot.high is not None:
            out += line_of(f"whisker {_state(spot)}", x(spot.cost), x(spot.cost), level(spot.low), level(spot.high))
    places = [(float(x(spot.cost)[:-1]), float(level(spot.value))) for spot in spots]
    labels = place(places, [fitted(spot.label, LABEL) for spot in spots], first=[at for at, spot in enumerate(spots) if spot.best])
    for spot, (across, down), label in zip(spots, places, labels, strict=True):
        out += _spot(spot, across, down, label)
    return out + Markup("</svg>")


def _state(spot: Spot) -> str:
    return "solid" if spot.best else "open"


def _spot(spot: Spot, across: float, down: float, label: Label | None) -> Markup:
    """A drawing of its own at the point, so that what stands beside it can be told in pixels."""
    out = Markup('<svg class="spot" x="{:.2f}%" y="{:.1f}" overflow="visible">').format(across, down)
    if label is not None:
        side = 1 if label.right else -1
        if abs(label.down) > LINE:
            out += line_of("leader", 0, 8 * side, 0, label.down)
        kind = "spot-label spot-best" if spot.best else "spot-label"
        out += text_of(kind, 11 * side, label.down + 4.5, "start" if label.right else "end", label.text)
    out += Markup('<circle class="ring" r="9"/>') if spot.control else ""
    return out + Markup('<circle class="point {}" r="5"/></svg>').format(_state(spot))


@dataclass(frozen=True, slots=True)
class Label:
    """Where a point's label stands."""

    text: str
    right: bool
    """Of the point, else left."""
    down: float
    """Pixels below the point's middle."""


_Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def place(points: Sequence[tuple[float, float]], labels: Sequence[str], *, first: Sequence[int] = ()) -> list[Label | None]:
    """Put each label beside its point where it meets no point and no other label; None where no place is left.

    Args:
        points: percent across, pixels down.
        labels: one a point.
        first: indices of those that choose first.
    """
    dots = [(across * NARROW / 100, down) for across, down in points]
    taken: list[_Box] = [(left - 9, top - 9, left + 9, top + 9) for left, top in dots]
    found: list[Label | None] = [None] * len(points)
    for at in (*first, *(at for at in range(len(points)) if at not in set(first))):
        for label, box in _choices(labels[at], *dots[at]):
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                found[at] = label
                taken.append(box)
                break
    return found


def _choices(text: str, left: float, top: float) -> Iterator[tuple[Label, _Box]]:
    """Places inside the drawing, the nearest first."""
    wide = width(text)
    for step in sorted(range(-14, 15), key=lambda step: (abs(step), step > 0)):
        middle = top + step * LINE
        for right in (True, False):
            begin = left + 10 if right else left - 10 - wide
            box = (begin, middle - LINE / 2, begin + wide, middle + LINE / 2)
            if box[0] >= TICKS and box[2] <= NARROW and box[1] >= PLANE_TOP and box[3] <= HEIGHT:
                yield Label(text, right, step * LINE), box


def width(text: str, *, size: int = 13) -> float:
    """Return how many CSS pixels a text takes at most, roughly: a label may stand too far away, but not on another."""
    return sum(_letter(character) for character in text) * size / 13


def _letter(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 14.0
    return next(pixels for letters, pixels in _WIDTHS if character in letters or not letters)


def fitted(text: str, pixels: float, *, size: int = 13) -> str:
    """Return as much of a text as fits, its last sign telling that some is lacking.

    >>> fitted("temperature", 40)
    'tem\u2026'
    """
    if width(text, size=size) <= pixels:
        return text
    kept = next(end for end in range(len(text), -1, -1) if width(text[:end] + "\u2026", size=size) <= pixels or not end)
    return f"{text[:kept]}\u2026"


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return about so many round numbers that lie between two.

    >>> ticks(-0.448, 0.781, 4)
    [-0.25, 0.0, 0.25, 0.5, 0.75]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * m for m in (1, 2, 2.5, 5, 10)), key=lambda step: abs(math.log(step / rough)))
    return [round(step * at, 12) + 0.0 for at in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def powers(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis: 1, 2 and 5 of each power of ten, or the powers alone where there are many.

    >>> powers(3, 120)
    [5.0, 10.0, 20.0, 50.0, 100.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if high / low < 300 else (1,)
    every = 1 if last - first <= 6 else math.ceil((last - first) / 5)
    made = [step * 10.0**power for power in range(first, last + 1, every) for step in steps]
    return [value for value in made if low <= value <= high]


def spanned(ends: Sequence[float], share: float = 0.0) -> tuple[float, float]:
    """What an axis must contain; never an empty stretch."""
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        room = 0.1 * max(abs(low), abs(high)) or 0.1
        return low - room, high + room
    room = share * (high - low)
    return low - room, high + room


def scaled(low: float, high: float, edges: tuple[float, float], unit: str = "%") -> Callable[[float], str]:
    def place(value: float) -> str:
        share = (value - low) / (high - low)
        return f"{edges[0] + (edges[1] - edges[0]) * share:.{2 if unit else 1}f}{unit}"

    return place


def line_of(kind: str, x1: object, x2: object, y1: object, y2: object) -> Markup:
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(kind, x1, x2, y1, y2)


def text_of(kind: str, x: object, y: object, anchor: str, text: str) -> Markup:
    if not text:
        return Markup("")
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)

