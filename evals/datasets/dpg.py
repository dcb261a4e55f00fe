"""DPG-Bench's prompts and questions out of its published files.

Source: ELLA 3c228f1, `dpg_bench/prompts/<item_id>.txt` and `dpg_bench.csv`. All cells are read as text: where every dependency is a
single number, a reader that guesses types makes them numbers and the official loader fails. Leaves grouping and the first row, which
the official loader drops, to `evals.scorers.dpg_rules`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from evals.datasets.local import data_file
from evals.errors import DataError
from evals.scorers import dpg_rules as rules
from evals.types import Sample

TABLE, PROMPTS = "dpg_bench.csv", "prompts"
ITEMS = 1065


class DpgDataset:
    """One sample an item, in the table's order; its id is the item's, which names the official image."""

    def __init__(self, *, folder: str | None = None, items: int | None = ITEMS) -> None:
        """Name the data.

        Args:
            folder: holds `dpg_bench.csv` and `prompts/`; None looks under the data root.
            items: how many items there must be; None takes any number.
        """
        self.folder = folder
        self.items = items

    def load(self) -> Iterator[Sample]:
        """Yield samples; `metadata` has `item_id` and `questions`, the rows of the table.

        Raises:
            DataError: a file that is missing or malformed (with the row), or prompts and table that do not fit each other.
        """
        prompts, path = data_file("dpg", PROMPTS, folder=self.folder), data_file("dpg", TABLE, folder=self.folder)
        table = rules.items(_rows(path))
        if self.items is not None and len(table) != self.items:
            # A cut table must not pass for the benchmark.
            raise DataError(f"{path}: got {len(table)} items; expected {self.items}. Fetch it again: known copies are corrupt.")
        written = {file.name.removesuffix(".txt") for file in prompts.glob("*.txt")}
        for item in sorted(written - set(table)):
            raise DataError(f"{path}: got no row of {item}; expected questions about every file of {prompts.name}/. Fetch it again.")
        for item, questions in table.items():
            metadata = {"item_id": item, "questions": [question.to_json() for question in questions]}
            yield Sample(sample_id=item, task="dpg", prompt=_prompt(prompts, item), metadata=metadata)


def _prompt(folder: Path, item: str) -> str:
    path = folder / f"{item}.txt"
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: got no readable text ({error}); expected the prompt of {item}. Fetch it again.") from error
    if not text:
        raise DataError(f"{path}: got an empty file; expected the prompt of {item}. Fetch it again.")
    return text


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the table's rows, each checked; numbers in messages count data rows from 0, as the official loader does."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            lacking = [field for field in rules.FIELDS if field not in (reader.fieldnames or ())]
            if lacking:
                raise DataError(f"{path}: got no column {lacking[0]}; expected {', '.join(rules.FIELDS)}. Fetch it again.")
            for index, row in enumerate(reader):
                _check(path, index, reader.line_num, row)
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: got no readable table ({error}); expected CSV in UTF-8. Fetch it again.") from error


def _check(path: Path, index: int, line: int, row: dict[str, str]) -> None:
    where = f"{path}: row {index} (line {line})"
    if None in row or any(row[field] is None for field in rules.FIELDS):
        raise DataError(f"{where}: got another number of cells than columns; expected one each. Fetch it again.")
    for field in ("item_id", "question_natural_language", "tuple"):
        if not row[field].strip():
            raise DataError(f"{where}: {field}: got nothing; expected text. Fetch it again.")
    if re.fullmatch(r"[A-Za-z0-9._-]+", row["item_id"]) is None:
        raise DataError(f'{where}: item_id: got "{row["item_id"][:60]}"; expected letters, digits, ".", "_", "-". Fetch it again.')
    try:
        rules.read_row(row)
    except ValueError:
        told = f'"{row["proposition_id"][:30]}" and "{row["dependency"][:30]}"'
        raise DataError(
            f"{where}: proposition_id and dependency: got {told}; expected a whole number, and whole numbers by commas. Fetch it again."
        ) from None
