"""WISE's prompts out of its published JSON files, in both versions.

Source: PKU-YuanGroup/WISE eb51174, `data/*.json` (legacy, the paper's) and `data_verified/*_verified.json`. Rows are
`{Prompt, Explanation, Category, Subcategory, prompt_id}`; the category of the scores goes by `prompt_id`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.datasets.local import data_file, read_json
from evals.errors import DataError
from evals.types import Sample

PARTS: tuple[str, ...] = ("cultural_common_sense", "spatio-temporal_reasoning", "natural_science")
FIELDS: tuple[str, ...] = ("Prompt", "Explanation", "prompt_id")
"""What a row must have."""
PROMPTS = 1000


class WiseDataset:
    """One sample a prompt, in the order of the ids, its category as the task."""

    def __init__(self, *, version: str = "legacy", folder: str | None = None) -> None:
        """Name the version.

        Args:
            version: `legacy` (1000 prompts of the paper) or `verified` (April 2026).
            folder: a copy of the benchmark's repository; None looks under the data root.

        Raises:
            DataError: an unknown version.
        """
        if version not in ("legacy", "verified"):
            raise DataError(f"wise: version: got {version}; expected legacy or verified. Change the suite.")
        self.version = version
        self.folder = folder

    def load(self) -> Iterator[Sample]:
        """Yield samples by prompt id; ids are four digits, the official image is `<prompt_id>.png`.

        Raises:
            DataError: a file that is missing or malformed; an id that is absent, comes twice or is outside 1 to 1000.
        """
        from evals.scorers.wise_rules import category_of

        rows: dict[int, dict[str, Any]] = {}
        for part in PARTS:
            for path, row in self._rows(part):
                number = row["prompt_id"]
                if number in rows:
                    raise DataError(f"{path}: prompt_id: got {number} twice; expected each id once. Fetch the file again.")
                if category_of(number, self.version) is None:
                    raise DataError(f"{path}: prompt_id: got {number}; expected 1 to 1000. Fetch the file again.")
                rows[number] = row
        lacking = next((number for number in range(1, PROMPTS + 1) if number not in rows), None)
        if lacking is not None:
            # The official script refuses to sum up fewer, and a cut file must not pass for the benchmark.
            raise DataError(
                f"wise: prompt_id: got {len(rows)} prompts in the three files, without {lacking}; expected 1 to {PROMPTS}. "
                "Fetch the files again; `--limit` takes the first of each category."
            )
        for number, row in sorted(rows.items()):
            category = category_of(number, self.version)
            assert category is not None
            metadata = {**row, "category": category.name, "category_weight": category.weight}
            yield Sample(sample_id=f"{number:04d}", task=category.name, prompt=row["Prompt"], metadata=metadata)

    def _rows(self, part: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        if self.version == "legacy":
            names = (f"WISE_legacy/data/{part}.json", f"data/{part}.json", f"{part}.json")
        else:
            names = (f"data_verified/{part}_verified.json", f"{part}_verified.json")
        path = data_file("wise", *names, folder=self.folder)
        for index, row in enumerate(read_json(path, list, "a list of rows")):
            lacking = [field for field in FIELDS if not isinstance(row, dict) or field not in row]
            if lacking:
                raise DataError(f"{path}: row {index}: got no {lacking[0]}; expected {', '.join(FIELDS)}. Fetch the file again.")
            if not isinstance(row["prompt_id"], int) or isinstance(row["prompt_id"], bool) or not isinstance(row["Prompt"], str):
                raise DataError(
                    f"{path}: row {index}: got another kind of prompt_id or Prompt; expected a number and text. Fetch it again."
                )
            yield path, row
