"""GenEval with the rewritten (long) prompts: another protocol over the same 553 rows, never one number with the short prompts.

Source: UniAR 09341a0 `eval/prompts/geneval_long.jsonl` (prompts identical to BAGEL's long file), rows `{idx, prompt, meta}`; `meta`
is the official row with `prompt` rewritten and the official one as `short_prompt`. Not bundled; see `local.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.datasets.geneval import Row, official_rows
from evals.datasets.local import data_file
from evals.errors import DataError
from evals.types import Sample

BENCHMARK = "uniar-prompts"
FILES = {"long": "geneval_long.jsonl", "short": "geneval.jsonl"}


class GenEvalRewrittenDataset:
    """The 553 prompts of UniAR's file; what is judged is checked against the official generator, row by row.

    `metadata` has the official keys in their order, `prompt` being what the model is told, and `short_prompt` after it.

    Args:
        prompts: `long` (rewritten) or `short` (the official prompts in the same form).
        folder: a folder with the file; None looks where `uniar-eval data` puts it.
    """

    def __init__(self, *, prompts: str = "long", folder: str | None = None) -> None:
        if prompts not in FILES:
            raise DataError(f"geneval-rewritten: prompts: got {prompts}; expected one of {', '.join(FILES)}.")
        self.prompts = prompts
        self.folder = folder

    def load(self) -> Iterator[Sample]:
        """Yield samples in file order; the id is the official folder name, five digits.

        Raises:
            DataError: no file, a damaged row, or one whose objects differ from the official row's.
        """
        path = data_file(BENCHMARK, FILES[self.prompts], folder=self.folder)
        official = official_rows()
        rows = read_rows(path)
        if len(rows) != len(official):
            raise DataError(f"{path}: got {len(rows)} rows; expected {len(official)}. Fetch it again: uniar-eval data fetch {BENCHMARK}.")
        for index, (row, true) in enumerate(zip(rows, official, strict=True)):
            metadata = checked(row, true, index, f"{path}:{index + 1}")
            yield Sample(sample_id=f"{index:05d}", task=true["tag"], prompt=metadata["prompt"], metadata=metadata)


def read_rows(path: Path) -> list[Any]:
    """Read JSON lines.

    Raises:
        DataError: a line that is no JSON, with its number.
    """
    rows = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: got {error}; expected UTF-8 text. Fetch it again.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise DataError(f"{path}:{number}: got no JSON ({error}); expected a row with idx, prompt and meta.") from error
    return rows


def checked(row: Any, official: Row, index: int, where: str) -> Row:
    """Return the metadata of one row.

    Args:
        row: of the file.
        official: the generator's row of the same place.
        index: place, from 0.
        where: file and line, for the sentence.

    Raises:
        DataError: the row's objects, colours, counts, tag or short prompt are not the official ones.
    """
    meta = row.get("meta") if isinstance(row, dict) else None
    if not isinstance(meta, dict) or not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
        raise DataError(f"{where}: got no row with prompt and meta; expected one of UniAR's prompt file. Fetch it again.")
    short = meta.get("short_prompt", meta.get("prompt"))
    found = {"idx": row.get("idx", index), **{key: meta.get(key) for key in ("tag", "include", "exclude")}, "short prompt": short}
    wanted = {"idx": index, **{key: official.get(key) for key in ("tag", "include", "exclude")}, "short prompt": official["prompt"]}
    for key, value in wanted.items():
        if found[key] != value and not (key == "idx" and str(found[key]) == str(index)):
            raise DataError(
                f"{where}: {key}: got {json.dumps(found[key])}; expected {json.dumps(value)}, as the official generator's row {index} has. "
                "Fetch the file again."
            )
    kept = {key: official[key] for key in ("tag", "include", "exclude") if key in official}
    return {**kept, "prompt": row["prompt"], "short_prompt": official["prompt"]}
