"""OneIG-Bench's text prompts: the Text_Rendering rows of the prompt table, joined with the table of what must be written.

Source: OneIG-Benchmark 41b4983: `OneIG-Bench.csv` (`OneIG-Bench-ZH.csv`) and `scripts/text/text_content.csv`
(`text_content_zh.csv`). The cell `text_content` stays the literal text that the official code compares. Not bundled; see `local.py`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.datasets.language import expect_language
from evals.datasets.local import data_file
from evals.errors import DataError
from evals.types import Sample

PROMPTS = {"en": ("OneIG-Bench.csv", "prompt_en"), "zh": ("OneIG-Bench-ZH.csv", "prompt_cn")}
CONTENTS = {"en": "scripts/text/text_content.csv", "zh": "scripts/text/text_content_zh.csv"}
CATEGORY = "Text_Rendering"


class OneIGTextDataset:
    """The 200 text prompts of one language, task `text`; tagged by prompt length where the table has it (English).

    `metadata` is the row of the prompt table with `text_content` and our `language` added. Ids are the official three digits.

    Args:
        language: `en` or `zh`.
        folder: a copy of the benchmark's repository; None looks where `uniar-eval data` puts it.
    """

    def __init__(self, *, language: str = "en", folder: str | None = None) -> None:
        if language not in PROMPTS:
            raise DataError(f"oneig-text: language: got {language}; expected one of {', '.join(PROMPTS)}.")
        self.language = language
        self.folder = folder

    def load(self) -> Iterator[Sample]:
        """Yield samples in the order of the prompt table.

        Raises:
            DataError: a file that is missing or lacks a column, or a prompt without its content.
        """
        name, column = PROMPTS[self.language]
        prompts = data_file("oneig", name, folder=self.folder)
        contents = data_file("oneig", CONTENTS[self.language], folder=self.folder)
        cells = {row["id"].zfill(3): row["text_content"] for row in read_table(contents, ("id", "text_content"))}
        rows = [row for row in read_table(prompts, ("category", "id", column)) if row["category"] == CATEGORY]
        if not rows:
            raise DataError(f"{prompts}: category: got no {CATEGORY}; expected the rows of the text dimension. Fetch it again.")
        expect_language([(f"{prompts}: id {row['id']}", row[column]) for row in rows], self.language)
        for row in rows:
            # A spreadsheet turns 007 into 7; the official id has three digits.
            number = row["id"].zfill(3)
            if number not in cells:
                raise DataError(f"{contents}: id: got no row {number}; expected one a {CATEGORY} prompt of {name}. Fetch both again.")
            row = {key: value for key, value in row.items() if key}
            metadata = {**row, "id": number, "text_content": cells[number], "language": self.language}
            length = row.get("prompt_length")
            yield Sample(sample_id=number, task="text", prompt=row[column], metadata=metadata, tags=(length,) if length else ())


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of one of the benchmark's CSV files.

    Raises:
        DataError: unreadable, a column that is absent, or a row cut short, with its number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            names = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: got {error}; expected a UTF-8 table. Fetch it again.") from error
    absent = [column for column in columns if column not in names]
    if absent:
        raise DataError(f"{path}: got no column {absent[0]}; expected {', '.join(columns)}. Fetch it again.")
    for index, row in enumerate(rows):
        if any(not isinstance(row[column], str) for column in columns):
            raise DataError(f"{path}: row {index}: got a row cut short; expected {', '.join(columns)}. Fetch it again.")
    return rows
