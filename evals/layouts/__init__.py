"""The image layouts of the official tools, to write (`uniar-eval export`) and to read (`--model images:DIR`)."""

from __future__ import annotations

from evals.layouts.base import Found, Layout, Part, Picture
from evals.layouts.flat import CompBenchLayout, ImgEditLayout, LongTextLayout, WiseLayout
from evals.layouts.folders import GEditLayout, GenEvalLayout
from evals.layouts.grids import DPGLayout, OneIGLayout

LAYOUTS: dict[str, type[Layout]] = {
    layout.name: layout
    for layout in (
        GenEvalLayout,
        OneIGLayout,
        LongTextLayout,
        ImgEditLayout,
        GEditLayout,
        DPGLayout,
        WiseLayout,
        CompBenchLayout,
    )
}
"""By name, as `--layout` and `images:LAYOUT:DIR` call them."""

__all__ = ["LAYOUTS", "Found", "Layout", "Part", "Picture"]
