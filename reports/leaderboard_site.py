"""The leaderboard as a static site: an overview, a page a board, a page a model, and the same numbers as CSV and JSON.

Everything opens from disk: one style and three scripts stand in each page, allowed by their hashes alone. What is written
depends on the entries only, so the same call gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from evals.errors import DataError
from evals.store import atomic
from reports import leaderboard, pages
from reports.leaderboard import HEAD, KINDS, Board, Entry, Number, Place
from reports.text import coverage_text, visible

SCHEMA_VERSION = 1
MATRIX_MODELS = 5
"""Models from which on a board has a column in the overview though no run of ours is on it."""
FIELDS = (
    "board", "title", "suite", "protocol", "version", "rank", "rank_low", "rank_high", "model", "kind", "column", "value", "low", "high",
    "n", "n_expected", "n_samples", "comparable", "reason", "source", "second_hand", "note", "id",
)  # fmt: skip
_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula (OWASP, CSV injection)."""


def write(entries: Sequence[Entry], out: Path) -> Path:
    """Write the site and return its first page.

    Args:
        entries: own and published.
        out: made when absent; pages of an earlier site that no longer fit are removed.

    Raises:
        DataError: `out` holds something else than a leaderboard.
    """
    _refuse_foreign(out)
    boards = leaderboard.boards(entries)
    models = _models(boards)
    names = {model: f"{leaderboard.slug_of(model)}-{_short(model)}" for model in models}
    rows = [row for board in boards for row in _rows(board)]
    files: dict[str, bytes] = {
        "leaderboard.csv": _csv(rows),
        "leaderboard.json": _json(boards, rows),
        "index.html": pages.render_page("leaderboard_index.html.j2", scripts=("leaderboard.js",), **_index(boards, models, names)),
    }
    for board in boards:
        mine = [row for row in rows if row["board"] == board.slug]
        files[f"boards/{board.slug}.csv"] = _csv(mine)
        files[f"boards/{board.slug}.json"] = _json([board], mine)
        files[f"boards/{board.slug}.html"] = pages.render_page(
            "leaderboard_board.html.j2", scripts=("leaderboard.js",), **_board(board, boards, names)
        )
    for model, places in models.items():
        files[f"models/{names[model]}.html"] = pages.render_page(
            "leaderboard_model.html.j2", scripts=("leaderboard.js",), **_model(model, places)
        )
    for name, data in files.items():
        atomic.write_bytes(out / name, data)
    for folder in ("boards", "models"):
        for path in (out / folder).iterdir() if (out / folder).is_dir() else ():
            if f"{folder}/{path.name}" not in files and path.suffix in (".html", ".csv", ".json"):
                path.unlink()
    return out / "index.html"


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: got a file; expected a folder for the site. Give another --out.")
    if out.is_dir() and any(out.iterdir()):
        try:
            earlier = json.loads((out / "leaderboard.json").read_text("utf-8")).get("made_by")
        except (OSError, ValueError, AttributeError):
            earlier = None
        if earlier != "uniar-eval leaderboard":
            raise DataError(f"{out}: got a folder with other files; expected an empty one or an earlier leaderboard. Give another --out.")


def _models(boards: Iterable[Board]) -> dict[str, list[tuple[Board, Place, str]]]:
    """Model -> where it stands: on its own boards with a rank, else with the reason why there is none."""
    found: dict[str, dict[str, tuple[Board, Place, str]]] = {}
    for board in boards:
        for place, reason in [*((place, "") for place in board.ranked), *((p, u.reason) for u in board.unlike for p in u.places)]:
            mine = found.setdefault(place.entry.model, {})
            # Ranked once at most; without a rank the board of the same protocol tells most.
            old = mine.get(place.entry.ident)
            if old is None or (old[1].rank is None and (place.rank is not None or _closer(board, old[0], place.entry))):
                mine[place.entry.ident] = (board, place, reason)
    return {model: list(found[model].values()) for model in sorted(found, key=lambda name: (name.lower(), name))}


def _closer(board: Board, other: Board, entry: Entry) -> bool:
    return board.protocol == entry.protocol != other.protocol


# ---- what the templates show ------------------------------------------------------------------------------------------


def shown(number: Number | None) -> str:
    """A value with the digits of its source, or three of them; nothing when there is none."""
    if number is None:
        return ""
    return number.shown or (f"{number.value:.3f}" if abs(number.value) < 100 else f"{number.value:.1f}")


def _cell(number: Number | None, entry: Entry) -> dict[str, Any]:
    if number is None:
        return {"value": "", "sort": "", "interval": ""}
    interval = "" if number.low is None or number.high is None else f"{number.low:.3f} to {number.high:.3f}"
    return {"value": shown(number), "sort": repr(number.value), "interval": interval}


def _line(board: Board, place: Place, names: Mapping[str, str], boards: Mapping[str, Board] | None = None) -> dict[str, Any]:
    entry = place.entry
    short = entry.n is not None and entry.n_expected is not None and entry.n < entry.n_expected
    home = (boards or {}).get(entry.ident)
    head = entry.numbers.get(HEAD)
    return {
        "ident": entry.ident,
        "model": visible(entry.model, 200),
        "model_page": f"../models/{names[entry.model]}.html",
        "kind": entry.kind,
        "kind_label": KINDS[entry.kind],
        "second_hand": entry.second_hand,
        "rank": "" if place.rank is None else str(place.rank),
        "ranks": "" if place.interval is None else "{} to {}".format(*place.interval),
        "head": _cell(head, entry),
        "bar": bar(head, board.scale),
        "cells": [(board.column_label(key), _cell(entry.numbers.get(key), entry)) for key in board.columns if key != HEAD],
        "prompts": "" if not entry.n_samples else f"{entry.n_samples:,}",
        "coverage": "" if not entry.n_expected else coverage_text((entry.n or 0) / entry.n_expected),
        "short": short,
        "source": visible(entry.source, 400),
        "note": visible(entry.note, 600),
        "home": f"{home.slug}.html#{entry.ident}" if home is not None and home.slug != board.slug else "",
        "search": visible(f"{entry.model} {entry.source}", 600).lower(),
    }


def bar(number: Number | None, scale: tuple[float, float] | None) -> Markup:
    """A small bar with its 95% interval, positions in percent; empty without a scale. The numbers stand beside it."""
    if number is None or scale is None:
        return Markup("")

    def at(value: float) -> str:
        return f"{100 * min(1.0, max(0.0, (value - scale[0]) / (scale[1] - scale[0]))):.2f}%"

    out = Markup(
        '<svg class="mini-bar" width="100%" height="14" aria-hidden="true" focusable="false">'
        '<rect class="bar-track" x="0" y="2" width="100%" height="10" rx="2"/>'
        '<rect class="bar-fill" x="0" y="2" width="{}" height="10" rx="2"/>'
    ).format(at(number.value))
    if number.low is not None and number.high is not None:
        low, high = at(number.low), at(number.high)
        for x1, x2, y1, y2 in ((low, high, 7, 7), (low, low, 3, 11), (high, high, 3, 11)):
            out += Markup('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(x1, x2, y1, y2)
    return out + Markup("</svg>")


def _homes(boards: Iterable[Board]) -> dict[str, Board]:
    """Entry -> the board of its own measurement."""
    found: dict[str, Board] = {}
    for board in boards:
        for place in board.ranked:
            found[place.entry.ident] = board
        for unlike in board.unlike:
            for place in unlike.places:
                if not place.entry.complete and place.entry.protocol == board.protocol:
                    found.setdefault(place.entry.ident, board)
    return found


def _board(board: Board, boards: Sequence[Board], names: Mapping[str, str]) -> dict[str, Any]:
    homes = _homes(boards)
    kinds = [place.entry.kind for place in (*board.ranked, *(p for u in board.unlike for p in u.places))]
    columns = [{"label": board.column_label(key), "value": key.startswith("value:")} for key in board.columns if key != HEAD]
    return {
        "title": visible(board.title, 200),
        "home": "../index.html",
        "board": {
            "slug": board.slug,
            "suite": visible(board.suite, 100),
            "protocol": visible(board.protocol or "not told", 100),
            "version": board.version,
            "changes": [visible(change, 300) for change in board.changes],
            "better": "lower is better" if board.lower_is_better else "higher is better",
            "ranks_note": visible(board.ranks_note, 600),
            "source": visible(board.protocol_source, 400),
            "notes": [visible(note, 1000) for note in board.protocol_notes],
        },
        "columns": columns,
        "has_ranks": any(place.interval for place in board.ranked),
        "has_bars": board.scale is not None,
        "ranked": [_line(board, place, names) for place in board.ranked],
        "unlike": [
            {"reason": visible(group.reason, 1000), "lines": [_line(board, place, names, homes) for place in group.places]}
            for group in board.unlike
        ],
        "kinds": [(kind, KINDS[kind], kinds.count(kind)) for kind in KINDS if kind in kinds],
        "siblings": [
            {"title": visible(other.title, 200), "href": f"{other.slug}.html", "count": len(other.ranked)}
            for other in boards
            if other.suite == board.suite and other.slug != board.slug
        ],
    }


def _index(boards: Sequence[Board], models: Mapping[str, Sequence[Any]], names: Mapping[str, str]) -> dict[str, Any]:
    from evals.suite import load

    # Own runs first, then what a suite here can measure, then what is known from others only.
    known = load.packaged()
    order = sorted(boards, key=lambda b: (not any(place.entry.kind == "own" for place in b.ranked), b.suite not in known))
    columns = [board for board in order if _in_matrix(board)]
    matrix: list[dict[str, Any]] = []
    for model, places in models.items():
        by_board: dict[str, list[Place]] = {}
        for board, place, _ in places:
            if place.rank is not None:
                by_board.setdefault(board.slug, []).append(place)
        cells = [_matrix_cell(by_board.get(board.slug, []), board) for board in columns]
        if not any(cell["value"] for cell in cells):
            continue
        page, label = f"models/{names[model]}.html", visible(model, 200)
        matrix.append({"model": label, "page": page, "cells": cells, "search": label.lower()})
    return {
        "title": "Leaderboard",
        "home": "",
        "matrix_models": MATRIX_MODELS,
        "columns": [{"title": visible(board.title, 200), "href": f"boards/{board.slug}.html"} for board in columns],
        "matrix": matrix,
        "boards": [
            {
                "title": visible(board.title, 200),
                "href": f"boards/{board.slug}.html",
                "protocol": visible(board.protocol or "not told", 100),
                "ranked": len(board.ranked),
                "own": sum(place.entry.kind == "own" for place in board.ranked),
                "unlike": sum(len(group.places) for group in board.unlike),
                "first": visible(board.ranked[0].entry.model, 200) if board.ranked else "",
                "first_value": shown(board.ranked[0].entry.numbers[HEAD]) if board.ranked else "",
            }
            for board in order
        ],
        "counts": {
            "boards": len(boards),
            "models": len(models),
            **{kind: len({p.entry.ident for _, p, _ in _flat(models) if p.entry.kind == kind}) for kind in KINDS},
        },
    }


def _in_matrix(board: Board) -> bool:
    """Boards with an own run or with several models; a column with one or two names compares nothing."""
    return any(place.entry.kind == "own" for place in board.ranked) or len({p.entry.model for p in board.ranked}) >= MATRIX_MODELS


def _flat(models: Mapping[str, Sequence[Any]]) -> list[Any]:
    return [place for places in models.values() for place in places]


def _matrix_cell(places: Sequence[Place], board: Board) -> dict[str, Any]:
    """All results of a model on a board: one value, or the span of several sources and runs."""
    if not places:
        return {"value": "", "sort": "", "href": "", "own": False}
    numbers = [place.entry.numbers[HEAD] for place in places]
    low, high = min(numbers, key=lambda n: n.value), max(numbers, key=lambda n: n.value)
    value = shown(low) if low.value == high.value else f"{shown(low)}–{shown(high)}"
    best = (low if board.lower_is_better else high).value
    first = places[0].entry.ident
    return {
        "value": value,
        "sort": repr(best),
        "href": f"boards/{board.slug}.html#{first}",
        "own": any(place.entry.kind == "own" for place in places),
    }


def _model(model: str, places: Sequence[tuple[Board, Place, str]]) -> dict[str, Any]:
    lines = []
    for board, place, reason in places:
        entry = place.entry
        facts = []
        if entry.run is not None:
            weights = entry.run.manifest.get("model") or {}
            known = (("weights", str(weights.get("sha256") or "")[:16]), ("parameters", weights.get("num_parameters")))
            facts = [(name, f"{value:,}" if isinstance(value, int) else visible(value, 100)) for name, value in known if value]
        lines.append(
            {
                **_line(board, place, {model: ""}),
                "board": visible(board.title if place.rank is not None else entry.title, 200),
                "href": f"../boards/{board.slug}.html#{entry.ident}",
                "of": len(board.ranked),
                "protocol": visible(entry.protocol or "not told", 100),
                "reason": visible(reason, 1000),
                "facts": facts,
                "subs": [
                    (key.partition(":")[2].replace("_", " "), _cell(number, entry)) for key, number in entry.numbers.items() if key != HEAD
                ],
            }
        )
    return {"title": visible(model, 200), "home": "../index.html", "lines": lines}


# ---- files ------------------------------------------------------------------------------------------------------------


def _rows(board: Board) -> list[dict[str, Any]]:
    found = []
    for place, reason in [*((place, "") for place in board.ranked), *((p, u.reason) for u in board.unlike for p in u.places)]:
        entry = place.entry
        for key, number in entry.numbers.items():
            low, high = place.interval if place.interval and key == HEAD else (None, None)
            found.append(
                dict(
                    zip(
                        FIELDS,
                        (
                            board.slug,
                            board.title,
                            entry.suite,
                            entry.protocol or None,
                            entry.version,
                            place.rank if key == HEAD else None,
                            low,
                            high,
                            entry.model,
                            entry.kind,
                            key,
                            number.value,
                            number.low,
                            number.high,
                            entry.n,
                            entry.n_expected,
                            entry.n_samples,
                            not reason,
                            reason or None,
                            entry.source,
                            entry.second_hand,
                            entry.note or None,
                            entry.ident,
                        ),
                        strict=True,
                    )
                )
            )
    return found


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(FIELDS)
    for row in rows:
        table.writerow([_plain(row[name]) for name in FIELDS])
    return buffer.getvalue().encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if text.startswith(_RISKY) else text
    return value


def _json(boards: Sequence[Board], rows: Sequence[Mapping[str, Any]]) -> bytes:
    data = {
        "schema_version": SCHEMA_VERSION,
        "made_by": "uniar-eval leaderboard",
        "boards": [
            {
                "board": board.slug, "title": board.title, "suite": board.suite, "protocol": board.protocol or None,
                "version": board.version, "changes": list(board.changes), "better": "lower" if board.lower_is_better else "higher",
                "ranks": board.ranks_note,
            }
            for board in boards
        ],
        "rows": list(rows),
    }  # fmt: skip
    return f"{json.dumps(data, indent=1)}{os.linesep}".encode("ascii")


def _short(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
