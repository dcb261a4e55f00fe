"""`ComparePage`: two runs or more on one page, output beside output at equal seeds, won and lost ones to be filtered.

The numbers are those of `evals.analysis.compare`; nothing is measured here. The page attaches as a reporter of the name `compare`, by
which `uniar-eval compare --html` finds it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from evals.analysis.compare import Against, Comparison, Delta
from evals.analysis.pairing import LOST, TIED, UNPAIRED, WON
from evals.analysis.verdicts import Key, Verdicts
from evals.errors import DataError
from evals.metrics.aggregate import Row
from evals.store import atomic
from evals.store.reader import RunReader
from evals.types import Outcome, Output, Sample
from reports import charts, media, pages
from reports.text import minus, visible, words

LABELS = {LOST: "Lost", WON: "Won", TIED: "Tied", UNPAIRED: "Not a pair"}
"""From the second run's side; also the order of the filters."""
ROW, TOP, AXIS = 44, 8, 28


class ComparePage:
    """Write the page of a comparison.

    Args:
        comparison: of run folders.
        out: the page; thumbnails of large runs go into a folder beside it, `NAME-files`.
    """

    def __init__(self, *, comparison: Comparison, out: Path) -> None:
        self._comparison, self._out = comparison, out

    def write(self, run_dir: Path) -> Path:
        """Write the page and return its path.

        Args:
            run_dir: of the first run.

        Raises:
            DataError: a baseline file, which holds no outputs, or a page that would be a folder.
        """
        found, out = self._comparison, self._out
        if out.is_dir():
            raise DataError(f"{out}: got a folder; expected a file name for the page. Give --html {out / 'compare.html'}.")
        paths = [run_dir, *(other.run.path for other in found.others)]
        for path in paths:
            if path.is_file():
                raise DataError(f"{path}: got a baseline file; expected run folders, since a baseline holds no outputs to show.")
        out.parent.mkdir(parents=True, exist_ok=True)
        data = _data(found, [RunReader(path) for path in paths], out)
        atomic.write_bytes(out, _page(found, data))
        return out


def delta_chart(deltas: Sequence[Delta], *, title: str, ident: str) -> Markup:
    """Draw differences with 95% whiskers around a line at 0.

    Args:
        deltas: from top to bottom.
        title: accessible name; the description lists every number.
        ident: prefix of the ids inside, unique in the page.

    Returns:
        An `<svg>` element, every label escaped.
    """
    reach = max((abs(end) for delta in deltas for end in (delta.delta, delta.low, delta.high) if end is not None), default=0.0) or 1.0
    bottom = TOP + ROW * len(deltas)

    def x(value: float) -> str:
        return f"{50 + 46 * value / reach:.2f}%"

    told = " ".join(f"{_label(delta)}: {_signed(delta.delta)}, {_interval(delta) or 'no interval'}." for delta in deltas)
    out = charts.opened("deltas", bottom + AXIS, title=title, ident=ident, told=told)
    out += Markup('<line class="zero" x1="50%" x2="50%" y1="0" y2="{}"/>').format(bottom)
    for end, place, anchor in ((-reach, "4%", "start"), (0.0, "50%", "middle"), (reach, "96%", "end")):
        number = _signed(end) if end else "0"
        out += Markup('<text class="axis" x="{}" y="{}" text-anchor="{}">{}</text>').format(place, bottom + 20, anchor, number)
    for at, delta in enumerate(deltas):
        middle = TOP + ROW * at + 30
        out += Markup('<text class="bar-label" x="0" y="{}">{}</text>').format(middle - 14, _label(delta))
        if delta.low is not None and delta.high is not None:
            out += Markup('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(x(delta.low), x(delta.high), middle, middle)
        out += Markup('<circle class="point" cx="{}" cy="{}" r="5"/>').format(x(delta.delta), middle)
    return out + Markup("</svg>")


def _names(found: Comparison) -> list[str]:
    """What the runs are called; where two have the same model, the folder tells them apart."""
    runs = [found.first, *(other.run for other in found.others)]
    models = [run.model for run in runs]
    return [visible(run.model if models.count(run.model) == 1 else f"{run.model} ({run.path.resolve().name})", 120) for run in runs]


def _page(found: Comparison, data: Mapping[str, Any]) -> bytes:
    first, names = found.first, _names(found)
    return pages.render_page(
        "compare.html.j2",
        styles=(*pages.STYLES, "compare.css"),
        scripts=("cards.js", "compare.js"),
        title=visible(first.title, 200),
        home="",
        mini=first.profile == "mini" or first.profile.startswith("mini-"),
        first=names[0],
        protocol=visible(first.protocol, 100),
        better="higher" if first.better > 0 else "lower",
        others=[_section(other, at, first, names) for at, other in enumerate(found.others)],
        data=pages.embed_json(data),
    )


def _section(other: Against, at: int, first: Verdicts, names: Sequence[str]) -> dict[str, Any]:
    deltas = [*([other.overall] if other.overall is not None else []), *other.tasks]
    counts = other.overall.counts if other.overall is not None else other.matched.counts(first.better)
    return {
        "ident": f"run-{at}",
        "name": names[at + 1],
        "path": visible(other.run.path, 200),
        "of": visible(other.overall_of, 300),
        "notes": [visible(note, 600) for note in other.notes],
        "overall": _row(other.overall) if other.overall is not None else None,
        "counts": {LABELS[name]: f"{counts[name]:,}" for name in (WON, LOST, TIED)},
        "rows": [_row(delta) for delta in deltas],
        "chart": delta_chart(deltas, title=f"Differences, {names[at + 1]} minus {names[0]}", ident=f"deltas-{at}"),
    }


def _row(delta: Delta) -> dict[str, Any]:
    return {
        "label": _label(delta),
        "task": "" if delta.strata > 1 or delta.name == "overall" else visible(delta.name, 200),
        "first": f"{delta.first:.3f}",
        "second": f"{delta.second:.3f}",
        "delta": _signed(delta.delta),
        "interval": _interval(delta) or "none",
        "p": "none" if delta.p_holm is None else "<0.001" if delta.p_holm < 0.001 else f"{delta.p_holm:.3f}",
        **{name: f"{delta.counts[name]:,}" for name in (WON, LOST, TIED)},
        "prompts": f"{delta.prompts:,}",
    }


def _data(found: Comparison, runs: Sequence[RunReader], out: Path) -> dict[str, Any]:
    samples = runs[0].samples()
    files = out.with_name(f"{out.stem}-files")
    keys = list(found.first.table)
    numbers = {sample.sample_id: at for at, sample in enumerate(samples)}
    tasks = list(dict.fromkeys(sample.task for sample in samples))
    sources = media.source_pictures(runs[0], samples, report_dir=files)
    verdicts = [found.first, *(other.run for other in found.others)]
    order = list(LABELS)
    shown = []
    for at, (run, own) in enumerate(zip(runs, verdicts, strict=True)):
        folder = f"{at}-{media.THUMBNAIL_SIDE}"
        outputs = run.outputs()
        pictures = media.pictures(outputs, resolve=run.resolve, report_dir=files, folder_name=folder)
        made = {(output.sample_id, output.repeat): output for output in outputs}
        shown.append(
            {
                "name": _names(found)[at],
                "thumbs": f"{quote(files.name)}/{folder}/",
                "originals": _relative(run.path, out.parent),
                "items": [_item(own.table.get(key), made.get(key), pictures.get(f"{key[0]}/{key[1]}"), own) for key in keys],
            }
        )
    return {
        "tasks": [{"key": visible(task, 200), "label": words(task)} for task in tasks],
        "samples": [[sample.sample_id, tasks.index(sample.task), visible(sample.prompt), _source(sample, sources)] for sample in samples],
        "sources": f"{quote(files.name)}/{media.SOURCE_DIR}/",
        "results": [{"key": key, "label": LABELS[key]} for key in order],
        "plan": [[numbers[name], repeat] for name, repeat in keys],
        "runs": shown,
        "pairs": [_results(other, keys, order, found.first.better) for other in found.others],
    }


def _results(other: Against, keys: Sequence[Key], order: Sequence[str], better: int) -> list[list[float]]:
    """For each planned output [index of the result, by how much the second is better]."""
    matched = other.matched
    known = {
        key: [order.index(name), round(better * apart, 6)]
        for key, name, apart in zip(matched.keys, matched.results(better), matched.apart(), strict=True)
    }
    return [known.get(key, [order.index(UNPAIRED), 0.0]) for key in keys]


def _item(row: Row | None, output: Output | None, picture: media.Picture | None, run: Verdicts) -> dict[str, Any]:
    """Short keys and no empty values: a page has tens of thousands of these."""
    item: dict[str, Any] = {"v": _worth(row, run)}
    if row is not None and row.reason:
        item["r"] = visible(row.reason, 2_000)
    if output is None:
        return item | {"e": "The run has not made this output."}
    item |= {"seed": str(output.seed), "p": output.image or "", "x": visible(output.text or ""), "e": visible(output.error or "", 600)}
    if picture is not None:
        item |= {"i": picture.source, "w": picture.width, "h": picture.height, "o": int(picture.original)}
        item["e"] = item["e"] or picture.problem
    return {key: entry for key, entry in item.items() if entry not in ("", 0)}


def _worth(row: Row | None, run: Verdicts) -> str:
    if row is None or row.value is None:
        return words((row.outcome if row is not None else Outcome.MISSING).value)
    if run.scale == (0.0, 1.0) and row.value in (0.0, 1.0):
        return "correct" if row.value else "incorrect"
    return f"{row.value:.3g}"


def _source(sample: Sample, sources: Mapping[str, media.Picture]) -> list[Any] | None:
    picture = sources.get(sample.sample_id)
    return None if picture is None or not picture.source else [picture.source, picture.width, picture.height]


def _relative(run: Path, folder: Path) -> str:
    """Address of a run folder as seen from the page; empty where there is no way to it (another drive)."""
    try:
        way = os.path.relpath(run.resolve(), folder.resolve())
    except ValueError:
        return ""
    return "/".join(quote(part) for part in Path(way).parts) + "/"


def _label(delta: Delta) -> str:
    return words(delta.name)


def _signed(value: float) -> str:
    return minus(f"{value:+.3f}")


def _interval(delta: Delta) -> str:
    return "" if delta.low is None or delta.high is None else f"{_signed(delta.low)} to {_signed(delta.high)}"
