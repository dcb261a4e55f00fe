"""LongText-Bench's prompts: the published file, read as it is.

Source: X-Omni 2b8237b, textbench: `text_prompts.jsonl` and `text_prompts_zh.jsonl`, 160 rows each. Not bundled; see `local.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from evals.datasets.language import expect_language
from evals.datasets.local import data_file
from evals.errors import DataError
from evals.types import Sample

FILES = {"en": "text_prompts.jsonl", "zh": "text_prompts_zh.jsonl"}
_FIELDS = {"prompt_id": int, "prompt": str, "text": list, "category": str, "length": str}


class LongTextDataset:
    """The 160 prompts of one language; a sample's task is its category, its tag the length class.

    `metadata` is the official row with our `language` added. Ids are the official `prompt_id` (they have gaps), four digits.

    Args:
        language: `en` or `zh`.
        folder: a folder with the published file; None looks where `uniar-eval data` puts it.
    """

    def __init__(self, *, language: str = "en", folder: str | None = None) -> None:
        if language not in FILES:
            raise DataError(f"longtext: language: got {language}; expected one of {', '.join(FILES)}.")
        self.language = language
        self.folder = folder

    def load(self) -> Iterator[Sample]:
        """Yield samples in file order.

        Raises:
            DataError: no file, or a line that is no row of the benchmark.
        """
        path = data_file("longtext", FILES[self.language], folder=self.folder)
        try:
            # Not splitlines(): a text may hold a line separator that is no newline.
            lines = path.read_text("utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: got {error}; expected UTF-8 text. Fetch it again.") from error
        rows = [(f"{path}:{n}", _row(line, f"{path}:{n}")) for n, line in enumerate(lines, 1) if line.strip()]
        expect_language([(where, row["text"]) for where, row in rows], self.language)
        for _, row in rows:
            yield Sample(
                sample_id=f"{row['prompt_id']:04d}",
                task=row["category"],
                prompt=row["prompt"],
                metadata={**row, "language": self.language},
                tags=(row["length"],),
            )


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: got no JSON ({error}); expected a row of LongText-Bench. Fetch the file again.") from error
    for field, kind in _FIELDS.items():
        value = row.get(field) if isinstance(row, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool) or (field == "prompt_id" and value < 0):
            raise DataError(f"{where}: {field}: got {value!r}; expected {kind.__name__} of a LongText-Bench row. Fetch the file again.")
    if not row["text"] or not all(isinstance(text, str) for text in row["text"]):
        raise DataError(f"{where}: text: got {row['text']!r}; expected a list with at least one text. Fetch the file again.")
    return row
