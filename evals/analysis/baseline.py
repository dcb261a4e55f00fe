"""A baseline: a run's verdicts in a small JSON file that is committed, so that a later gate stays paired without the run folder.

It holds no prompt, image or reply: sample ids, one character a verdict (or one number), what was measured, and by what. A sample is
one line, so that a change of the baseline reads as a change of verdicts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.analysis.verdicts import Key, Verdicts
from evals.errors import DataError
from evals.metrics.aggregate import Row
from evals.store import atomic
from evals.types import Outcome

KIND, SCHEMA_VERSION = "uniar-eval baseline", 1
LETTERS = {
    Outcome.GENERATION_ERROR: "g",
    Outcome.MISSING: "m",
    Outcome.JUDGE_ERROR: "j",
    Outcome.JUDGE_UNPARSED: "u",
    Outcome.UNDECIDED: "d",
    Outcome.OFF_SCALE: "o",
    Outcome.REFUSED: "r",
    Outcome.SCORER_ERROR: "s",
    Outcome.NOT_APPLICABLE: "n",
}
"""Outcomes without a value in a line of verdicts; `1` and `0` are the verdicts."""
_OUTCOMES = {letter: outcome for outcome, letter in LETTERS.items()}
_FACTS = (
    "model", "weights", "suite", "title", "profile", "protocol", "seed", "value", "headline", "known", "low", "high", "created", "commit",
    "outputs_sha256",
)  # fmt: skip


def save(run: Verdicts, path: Path) -> None:
    """Write a finished run's verdicts.

    Args:
        run: of a run folder, or of another baseline.
        path: of the file; what is there is replaced.

    Raises:
        DataError: the run is not complete, or the path is a folder.
    """
    if path.is_dir():
        raise DataError(f"{path}: got a folder; expected a file name for the baseline, as in {path / 'geneval.json'}.")
    if run.status != "complete":
        raise DataError(f"{run.path}: got an incomplete run ({' '.join(run.reasons)}); expected a complete one. Run its command again.")
    atomic.write_bytes(path, _text(run).encode("utf-8"))


def read(path: Path) -> Verdicts:
    """Read a baseline file.

    Raises:
        DataError: no baseline, damaged, or of another version.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: got {error}; expected a baseline written by `uniar-eval baseline save`.") from error
    if not isinstance(data, dict) or data.get("kind") != KIND or data.get("schema_version") != SCHEMA_VERSION:
        version = data.get("schema_version") if isinstance(data, dict) else None
        raise DataError(
            f"{path}: got no baseline of version {SCHEMA_VERSION} (version {version}); expected one. Write it again: baseline save."
        )
    try:
        return Verdicts(
            path=path,
            **{name: data[name] for name in _FACTS},
            measurement=data["measurement"],
            sampling=data["sampling"],
            scale=(float(data["scale"][0]), float(data["scale"][1])),
            status="complete",
            table=_table(data),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            f"{path}: got a damaged baseline ({type(error).__name__}: {error}); expected one written by baseline save."
        ) from error


def _text(run: Verdicts) -> str:
    recipe = run.recipe()
    columns = [run.value, *(name for name in (recipe.values if recipe else ()) if name != run.value)]
    head = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        **{name: getattr(run, name) for name in _FACTS},
        "scale": list(run.scale),
        "sampling": dict(run.sampling),
        "measurement": dict(run.measurement),
        "columns": columns,
        "repeats": run.repeats,
        "task_weights": {row.task: row.metadata["category_weight"] for row in run.table.values() if "category_weight" in row.metadata},
        "prompts": {row.sample_id: row.prompt for row in run.table.values() if row.sample_id != row.prompt},
    }
    verdicts = len(columns) == 1 and all(row.value in (None, 0.0, 1.0) for row in run.table.values())
    samples: dict[str, list[Row]] = {}
    for row in run.table.values():
        samples.setdefault(row.sample_id, []).append(row)
    # Plan order is kept by listing the samples with their tasks: a later run is compared in the same order.
    lines = [
        f"  {json.dumps([name, own[0].task, ''.join(map(_letter, own)) if verdicts else [_cell(row, columns) for row in own]])}"
        for name, own in samples.items()
    ]
    opening = json.dumps(head, indent=1, ensure_ascii=True, allow_nan=False)
    return opening.removesuffix("\n}") + ',\n "samples": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def _letter(row: Row) -> str:
    return LETTERS[row.outcome] if row.value is None else str(int(row.value))


def _cell(row: Row, columns: Sequence[str]) -> Any:
    """Number, list of numbers, or the outcome that kept it from having one."""
    if row.value is None:
        return row.outcome.value
    numbers = [row.value, *(row.values.get(name) for name in columns[1:])]
    return numbers if len(columns) > 1 else numbers[0]


def _table(data: Mapping[str, Any]) -> dict[Key, Row]:
    columns, prompts, weights = data["columns"], data["prompts"], data["task_weights"]
    scale = (float(data["scale"][0]), float(data["scale"][1]))
    table: dict[Key, Row] = {}
    for name, task, cells in data["samples"]:
        if len(cells) != data["repeats"]:
            raise ValueError(f"{name} has {len(cells)} verdicts, not {data['repeats']}")
        metadata = {"category_weight": weights[task]} if task in weights else {}
        for repeat, cell in enumerate(cells):
            outcome, numbers = _parsed(cell)
            values = {} if numbers is None else {key: number for key, number in zip(columns, numbers, strict=True) if number is not None}
            value = None if numbers is None else numbers[0]
            table[name, repeat] = Row(prompts.get(name, name), task, (), outcome, value, "", values, metadata, name, {}, scale)
    return table


def _parsed(cell: Any) -> tuple[Outcome, list[float] | None]:
    if isinstance(cell, str):
        if cell in ("0", "1"):
            return Outcome.OK, [float(cell)]
        return _OUTCOMES.get(cell) or Outcome(cell), None
    return Outcome.OK, [None if number is None else float(number) for number in (cell if isinstance(cell, list) else [cell])]  # type: ignore[misc]
