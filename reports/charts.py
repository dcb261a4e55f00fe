"""Inline SVG for the pages, written by hand: bars with 95% whiskers, nothing drawn by a plotting library.

Positions are percentages and text keeps its size in CSS pixels, so one drawing is legible at 390 and at 2,560 px.
Colours come from the stylesheet's classes; the page's table carries the same numbers for those who cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

ROW_HEIGHT = 50
BAR_HEIGHT = 14
LABEL_BASELINE = 15
BAR_TOP = 23
AXIS_HEIGHT = 26


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One bar of a chart."""

    label: str
    value: float | None
    """On the chart's scale; None draws the empty track and the words `not scored`."""
    low: float | None = None
    high: float | None = None
    note: str = ""
    """Shown after the label, dimmed (coverage under 100%)."""


def interval_bars(
    bars: Sequence[Bar], *, title: str, reference: float | None = None, ident: str = "bars", scale: tuple[float, float] = (0.0, 1.0)
) -> Markup:
    """Draw horizontal bars with interval whiskers.

    Args:
        bars: from top to bottom; values, lows and highs are clipped to the scale.
        title: the drawing's accessible name; the description lists every number.
        reference: a dashed vertical line (the headline value).
        ident: prefix of the ids inside the drawing, unique in the page.
        scale: values at the left and the right end of the axis, not equal.

    Returns:
        An `<svg>` element, every label escaped.
    """
    bottom = len(bars) * ROW_HEIGHT
    parts = [opened("chart", bottom + AXIS_HEIGHT, title=title, ident=ident, told=_describe(bars))]
    parts.extend(_grid(bottom, scale))
    for row, bar in enumerate(bars):
        parts.append(_bar(bar, top=row * ROW_HEIGHT, scale=scale))
    if reference is not None:
        parts.append(_reference(bars, reference, scale))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def opened(kind: str, height: float, *, title: str, ident: str, told: str) -> Markup:
    """Open a drawing of the page's whole width, with its name and description for those who cannot see it.

    Args:
        kind: class of the stylesheet.
        height: CSS pixels.
        title: accessible name.
        ident: prefix of the ids inside, unique in the page.
        told: description: every number.
    """
    return Markup(
        '<svg class="{}" role="img" width="100%" height="{}" aria-labelledby="{}-title {}-desc">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>'
    ).format(kind, height, ident, ident, ident, title, ident, told)


def _describe(bars: Sequence[Bar]) -> str:
    sentences = []
    for bar in bars:
        if bar.value is None:
            sentences.append(f"{bar.label}: not scored.")
        elif bar.low is None or bar.high is None:
            sentences.append(f"{bar.label}: {bar.value:.3f}.")
        else:
            sentences.append(f"{bar.label}: {bar.value:.3f}, 95% interval {bar.low:.3f} to {bar.high:.3f}.")
    return " ".join(sentences)


def _percent(value: float, scale: tuple[float, float]) -> str:
    share = (value - scale[0]) / (scale[1] - scale[0])
    return f"{100 * min(1.0, max(0.0, share)):.2f}%"


def _grid(bottom: int, scale: tuple[float, float]) -> list[Markup]:
    marks = []
    for quarter in range(5):
        x = f"{25 * quarter}%"
        anchor = "start" if quarter == 0 else "end" if quarter == 4 else "middle"
        marks.append(
            Markup(
                '<line class="tick" x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<text class="axis" x="{}" y="{}" text-anchor="{}">{:g}</text>'
            ).format(x, x, bottom, bottom + 5, x, bottom + 20, anchor, scale[0] + (scale[1] - scale[0]) * quarter / 4)
        )
    return marks


def _bar(bar: Bar, *, top: int, scale: tuple[float, float]) -> Markup:
    y = top + BAR_TOP
    middle = y + BAR_HEIGHT / 2
    out = Markup(
        '<text class="bar-label" x="0" y="{}">{}<tspan class="bar-note" dx="8">{}</tspan></text>'
        '<rect class="bar-track" x="0" y="{}" width="100%" height="{}" rx="2"/>'
    ).format(top + LABEL_BASELINE, bar.label, bar.note, y, BAR_HEIGHT)
    if bar.value is None:
        return out + Markup('<text class="bar-note" x="100%" y="{}" text-anchor="end">not scored</text>').format(
            top + LABEL_BASELINE
        )
    out += Markup(
        '<text class="bar-value" x="100%" y="{}" text-anchor="end">{:.3f}</text>'
        '<rect class="bar-fill" x="0" y="{}" width="{}" height="{}" rx="2"/>'
    ).format(top + LABEL_BASELINE, bar.value, y, _percent(bar.value, scale), BAR_HEIGHT)
    if bar.low is None or bar.high is None:
        return out
    low, high = _percent(bar.low, scale), _percent(bar.high, scale)
    for x1, x2, y1, y2 in (
        (low, high, middle, middle),
        (low, low, middle - 5, middle + 5),
        (high, high, middle - 5, middle + 5),
    ):
        out += Markup('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(x1, x2, y1, y2)
    return out


def _reference(bars: Sequence[Bar], reference: float, scale: tuple[float, float]) -> Markup:
    """The line runs beside the bars only, so that it never strikes through a label."""
    x = _percent(reference, scale)
    out = Markup("")
    for row in range(len(bars)):
        y = row * ROW_HEIGHT + BAR_TOP - 4
        out += Markup('<line class="reference" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(x, x, y, y + BAR_HEIGHT + 8)
    return out
