"""Results that others have told: `published.csv`, a line a number, each with its source.

A row carries a protocol name of ours only where the benchmark fixes prompts, samples and judge and the source says nothing
else; else a name of its own, so that it can never be ranked with a run of ours. An empty protocol means that the source does
not tell what decides: such a row is shown and ranked nowhere.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evals.errors import DataError

SHIPPED = Path(__file__).parent / "published.csv"
COLUMNS = (
    "model", "kind", "suite", "protocol", "version", "title", "metric", "task", "value", "low", "high", "n", "better", "scale", "source",
    "second_hand", "note",
)  # fmt: skip
KINDS = ("published", "re-run")
"""By the model's authors or quoted from them; measured again by others."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SCALE = re.compile(r"(-?[\d.]+)\.\.(-?[\d.]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One number that others have told."""

    model: str
    kind: str
    """One of `KINDS`."""
    suite: str
    protocol: str
    """Empty when the source does not tell it."""
    version: int
    """Of the suite."""
    title: str
    """What the board is called when no suite of ours has this protocol."""
    metric: str
    """`overall` for the number at the top."""
    task: str
    """`*` for the whole suite."""
    value: float
    low: float | None
    high: float | None
    n: int | None
    """Prompts behind the number, where told."""
    lower_is_better: bool
    scale: tuple[float, float] | None
    """Worst and best possible value, where there is one."""
    source: str
    second_hand: bool
    """Known through somebody's note of the source only."""
    note: str
    shown: str
    """The number as the file writes it: its digits are the source's."""


def read(path: Path) -> list[Published]:
    """Return the file's numbers in its order.

    Raises:
        DataError: no file, other columns, or a line that does not fit, with its number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise DataError(f"{path}:1: got the columns {', '.join(table.fieldnames or ()) or 'none'}; expected {', '.join(COLUMNS)}.")
            rows = [_row(f"{path}:{table.line_num}", row) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: got {error}; expected a readable CSV file in UTF-8 with the columns {', '.join(COLUMNS)}.") from error
    _check_heads(path, rows)
    return rows


def key_of(row: Published) -> tuple[str, ...]:
    """What makes one line of a leaderboard: numbers that share it belong together."""
    return (row.model, row.kind, row.suite, row.protocol, str(row.version), row.source, row.note)


def _row(where: str, row: dict[str, str]) -> Published:
    if None in row or None in row.values():
        raise DataError(f"{where}: got another number of fields; expected {len(COLUMNS)}. Put text with commas into quotes.")
    for name in ("model", "suite", "title", "metric", "task", "source"):
        if not row[name].strip():
            raise DataError(f"{where}: {name}: got nothing; expected a text. Every row tells whose number it is and where it stands.")
    for name in ("suite", "protocol"):
        if row[name] and not _NAME.fullmatch(row[name]):
            raise DataError(f'{where}: {name}: got "{row[name]}"; expected letters, digits, dots, dashes and underscores.')
    for name, words in (("kind", KINDS), ("better", ("higher", "lower")), ("second_hand", ("yes", "no"))):
        if row[name] not in words:
            raise DataError(f'{where}: {name}: got "{row[name]}"; expected {" or ".join(words)}.')
    value = _number(where, row, "value")
    if value is None:
        raise DataError(f"{where}: value: got nothing; expected a number. Leave the line out when the source has none.")
    scale = _scale(where, row["scale"])
    if scale is not None and row["metric"] == "overall" and not min(scale) <= value <= max(scale):
        raise DataError(f"{where}: value: got {row['value']}; expected a number on the scale {row['scale']}.")
    n, version = _number(where, row, "n"), _number(where, row, "version")
    return Published(
        model=row["model"].strip(),
        kind=row["kind"],
        suite=row["suite"],
        protocol=row["protocol"],
        version=int(version or 1),
        title=row["title"],
        metric=row["metric"],
        task=row["task"],
        value=value,
        low=_number(where, row, "low"),
        high=_number(where, row, "high"),
        n=None if n is None else int(n),
        lower_is_better=row["better"] == "lower",
        scale=scale,
        source=row["source"].strip(),
        second_hand=row["second_hand"] == "yes",
        note=row["note"].strip(),
        shown=row["value"].strip(),
    )


def _number(where: str, row: dict[str, str], name: str) -> float | None:
    text = row[name].strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f'{where}: {name}: got "{text}"; expected a number.')
    return value


def _scale(where: str, text: str) -> tuple[float, float] | None:
    if not text:
        return None
    found = _SCALE.fullmatch(text)
    if not found or float(found[1]) == float(found[2]):
        raise DataError(f'{where}: scale: got "{text}"; expected WORST..BEST as in 0..1, or nothing.')
    return float(found[1]), float(found[2])


def _check_heads(path: Path, rows: list[Published]) -> None:
    for group in groups(rows):
        heads = [row for row in group if row.metric == "overall" and row.task == "*"]
        if len(heads) != 1:
            raise DataError(
                f"{path}: {group[0].model}, {group[0].suite}, {group[0].source}: got {len(heads)} rows with metric overall and task *; "
                "expected one. Two results of one source differ in their note."
            )


def groups(rows: list[Published]) -> Iterator[list[Published]]:
    """Yield the rows of each leaderboard line, in the order of their first appearance."""
    found: dict[tuple[str, ...], list[Published]] = {}
    for row in rows:
        found.setdefault(key_of(row), []).append(row)
    yield from found.values()
