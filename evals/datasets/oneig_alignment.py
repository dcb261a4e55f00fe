"""OneIG-Bench's alignment prompts with their questions, out of the published files.

Source: OneIG-Benchmark 41b4983: `OneIG-Bench.csv` (ids start again in each category) and `scripts/alignment/Q_D/<class>.json`, where
each prompt's questions and dependencies are JSON texts inside JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.datasets.language import expect_language
from evals.datasets.local import data_file, read_json
from evals.datasets.oneig_text import PROMPTS, read_table
from evals.errors import DataError
from evals.types import Sample

CLASSES = {"Anime_Stylization": "anime", "Portrait": "human", "General_Object": "object", "Multilingualism": "multilingualism"}
"""Category of the table -> class of the question files and of the image folders."""


class OneIGAlignmentDataset:
    """One sample a prompt of the classes that have questions; the task is the class, the id `anime-000`.

    Args:
        language: `en` (three classes) or `zh` (four).
        folder: a copy of the benchmark; None looks under the data root.

    Raises:
        DataError: another language.
    """

    def __init__(self, *, language: str = "en", folder: str | None = None) -> None:
        if language not in PROMPTS:
            raise DataError(f"oneig-alignment: language: got {language}; expected one of {', '.join(PROMPTS)}.")
        self.language, self.folder = language, folder

    def load(self) -> Iterator[Sample]:
        """Yield samples in table order.

        Raises:
            DataError: a file that is missing or malformed, or a prompt without questions.
        """
        name, column = PROMPTS[self.language]
        prompts = data_file("oneig", name, folder=self.folder)
        rows = [row for row in read_table(prompts, ("category", "id", column)) if row["category"] in CLASSES]
        wanted = [c for c in CLASSES.values() if self.language == "zh" or c != "multilingualism"]
        rows = [row for row in rows if CLASSES[row["category"]] in wanted]
        if not rows:
            raise DataError(f"{prompts}: category: got none of {', '.join(CLASSES)}; expected their rows. Fetch it again.")
        expect_language([(f"{prompts}: {row['category']} {row['id']}", row[column]) for row in rows], self.language)
        end = "" if self.language == "en" else "_zh"
        graphs = {name: self._graphs(name, end) for name in dict.fromkeys(CLASSES[row["category"]] for row in rows)}
        for row in rows:
            name, number = CLASSES[row["category"]], row["id"].zfill(3)
            path, found = graphs[name]
            if number not in found:
                raise DataError(
                    f"{path}: got no prompt {number}; expected the questions of every {row['category']} prompt. Fetch it again."
                )
            questions, dependencies = _graph(found[number], f"{path}: {number}")
            metadata = {
                **{key: value for key, value in row.items() if key},
                "id": number,
                "language": self.language,
                "questions": questions,
                "dependencies": dependencies,
            }
            yield Sample(sample_id=f"{name}-{number}", task=name, prompt=row[column], metadata=metadata)

    def _graphs(self, name: str, end: str) -> tuple[Path, dict[str, Any]]:
        path = data_file("oneig", f"scripts/alignment/Q_D/{name}{end}.json", folder=self.folder)
        return path, read_json(path, dict, "prompts with questions")


def _graph(entry: Any, where: str) -> tuple[dict[str, str], dict[str, list[int]]]:
    out = []
    for field in ("question", "dependency"):
        given = entry.get(field) if isinstance(entry, dict) else None
        try:
            found = json.loads(given) if isinstance(given, str) else given
        except ValueError as error:
            raise DataError(f"{where}: {field}: got no JSON ({error}); expected a table by question. Fetch it again.") from error
        if not isinstance(found, dict) or not found:
            raise DataError(f"{where}: {field}: got none; expected a table by question. Fetch it again.")
        out.append(found)
    questions = {str(number): str(text) for number, text in out[0].items()}
    try:
        dependencies = {str(number): [int(parent) for parent in parents] for number, parents in out[1].items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: dependency: got {error}; expected lists of question numbers. Fetch it again.") from error
    return questions, dependencies
