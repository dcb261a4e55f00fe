"""The table of a grid (`evals.ablation.table`) for a terminal, and as CSV, Parquet and LaTeX: one row a cell, the same columns."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.ablation.curves import ends
from evals.errors import StoreError
from evals.store import atomic

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("value", "low", "high", "delta", "delta_low", "delta_high", "p", "p_holm", "won", "lost", "tied", "pairs", "prompts")
COSTS = ("parameters", "train_s", "tokens", "write_ms", "show_ms", "image_ms")
_TEX = {"\\": r"\textbackslash{}", **{c: f"\\{c}" for c in "&%$#_{}"}, "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one flat row a cell: its settings, numbers, effect, cost, where its trainings ended, and status."""
    made = []
    for cell in found["cells"]:
        effect, level = cell["effect"] or {}, cell["level"]
        row = {"cell": cell["name"], "control": cell["control"], "status": cell["status"]}
        row |= {
            f"set.{key}": value if isinstance(value, (int, float, str, bool)) else json.dumps(value) for key, value in cell["own"].items()
        }
        row |= {key: level[key] for key in ("value", "low", "high")}
        row |= {"delta": effect.get("delta"), "delta_low": effect.get("low"), "delta_high": effect.get("high")}
        row |= {key: effect.get(key) for key in ("p", "p_holm", "pairs", "prompts")}
        row |= {key: (effect.get("counts") or {}).get(key) for key in ("won", "lost", "tied")}
        row |= {key: cell["cost"].get(key) for key in COSTS}
        # Means over seeds: train.STAGE.MEASURE, stages counted from 1.
        told = ends(cell.get("curves", ())).items()
        row |= {f"train.{number + 1}.{name}": math.fsum(last) / len(last) for (number, name), last in told}
        row |= {"reason": next((seed["reason"] for seed in cell["seeds"] if seed["reason"]), "")}
        made.append(row)
    return made


def frame(found: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows as a pandas frame."""
    import pandas as pd

    return pd.DataFrame(rows(found))


def csv(found: Mapping[str, Any], file: Path) -> None:
    """Write the rows as CSV.

    Raises:
        StoreError: the file cannot be written.
    """
    _write(file, frame(found).to_csv(index=False).encode("utf-8"))


def parquet(found: Mapping[str, Any], file: Path) -> None:
    """Write the rows as Parquet; settings, which may be of several kinds in one column, as JSON.

    Raises:
        StoreError: the file cannot be written.
    """
    table, stream = frame(found), io.BytesIO()
    for column in table.columns:
        if column.startswith("set."):
            table[column] = [None if value != value or value is None else json.dumps(value) for value in table[column]]
    table.to_parquet(stream, index=False)
    _write(file, stream.getvalue())


def latex(found: Mapping[str, Any], file: Path) -> None:
    """Write a LaTeX table (booktabs): cell, value, difference with interval, corrected p value, milliseconds an image.

    Raises:
        StoreError: the file cannot be written.
    """
    lines = [
        r"\begin{tabular}{lrrrrr}",
        r"\toprule",
        r"cell & value & difference & 95\% interval & $p$ (Holm) & ms per image \\",
        r"\midrule",
    ]
    for row in rows(found):
        name = _tex(row["cell"]) + (" (control)" if row["control"] else "")
        if row["status"] != "done":
            lines.append(rf"{name} & \multicolumn{{5}}{{l}}{{{_tex(row['status'])}}} \\")
            continue
        interval = "" if row["delta_low"] is None else f"[{row['delta_low']:+.3f}, {row['delta_high']:+.3f}]"
        cells = (
            name,
            _number(row["value"]),
            _number(row["delta"], "+.3f"),
            interval,
            _number(row["p_holm"]),
            _number(row["image_ms"], ".1f"),
        )
        lines.append(" & ".join(cells) + r" \\")
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        f"% {_tex(found['title'])}, {found['suite']}, protocol {found['protocol']}, size {found['size']}",
    ]
    _write(file, ("\n".join(lines) + "\n").encode("utf-8"))


def lines(found: Mapping[str, Any]) -> Iterable[str]:
    """The table for a terminal."""
    if found["mini"]:
        yield "Mini world: shapes, judged by rules. Not comparable with published numbers."
    width = max([len(cell["name"]) for cell in found["cells"]] + [10])
    yield f"{'':{width}}  {'value':>8}  {'95% interval':>16}  {'difference':>10}  {'95% interval':>18}  {'p Holm':>6}  {'ms/image':>8}"
    for row in rows(found):
        if row["status"] != "done":
            yield f"{row['cell']:{width}}  {row['status']}: {row['reason']}"
            continue
        own = "" if row["low"] is None else f"[{row['low']:.3f}, {row['high']:.3f}]"
        interval = "" if row["delta_low"] is None else f"[{row['delta_low']:+.3f}, {row['delta_high']:+.3f}]"
        difference = "control" if row["control"] else _number(row["delta"], "+.3f")
        yield (
            f"{row['cell']:{width}}  {_number(row['value']):>8}  {own:>16}  {difference:>10}  {interval:>18}  "
            f"{_number(row['p_holm']):>6}  {_number(row['image_ms'], '.1f'):>8}"
        )
    yield (
        f"{found['suite_title']}: {found['headline']} over {_counted(len(found['seeds']), 'seed')}; differences to "
        f"{found['control']} are paired by prompt, repeat and seed; p by sign flips of prompts, corrected over the cells by Holm."
    )
    if found["trained"] and len(found["seeds"]) > 1:
        yield "Cells are trained: the interval is the wider of that over prompts and that over seeds."


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else f"{value:{form}}"


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in str(text))


def _write(file: Path, data: bytes) -> None:
    try:
        atomic.write_bytes(file, data)
    except OSError as error:
        raise StoreError(f"{file}: got {error}; expected a file that can be written.") from error
