"""OneIG-Bench's prompts by dimension, out of the published files: one run's images can serve several dimensions.

Source: OneIG-Benchmark 41b4983: `OneIG-Bench.csv`, `scripts/reasoning/gt_answer.json`, `scripts/style/style.csv`; the questions of the
dimension alignment are read by `oneig_alignment`. Ids start again in each category, so a sample is `anime-000`. Not bundled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.datasets.language import expect_language
from evals.datasets.local import data_file, read_json
from evals.datasets.oneig_alignment import CLASSES as QUESTIONED
from evals.datasets.oneig_alignment import OneIGAlignmentDataset
from evals.datasets.oneig_text import PROMPTS, read_table
from evals.errors import DataError
from evals.types import Sample

CLASSES = {**QUESTIONED, "Text_Rendering": "text", "Knowledge_Reasoning": "reasoning"}
"""Category of the table -> class of the image folders."""
DIMENSIONS = ("alignment", "reasoning", "style", "diversity")
ANSWERS = {"en": "scripts/reasoning/gt_answer.json", "zh": "scripts/reasoning/gt_answer_zh.json"}
STYLES = "scripts/style/style.csv"
_NO_STYLE = frozenset({"", "nan", "none", "na", "n/a", "null"})
"""What an empty cell of the style table may read, in any case."""


class OneIGDataset:
    """One sample a prompt that any of the dimensions looks at, in table order; the task is the class, the id `anime-000`.

    `metadata` is the row with `language`, and of the chosen dimensions `questions` and `dependencies` (alignment), `answer` (reasoning)
    and `style` (style: only prompts that name one). Diversity takes every prompt of the table.

    Args:
        dimensions: some of `DIMENSIONS`.
        language: `en` or `zh`.
        folder: a copy of the benchmark; None looks where `uniar-eval data` puts it.

    Raises:
        DataError: another language or dimension.
    """

    def __init__(self, *, dimensions: Sequence[str], language: str = "en", folder: str | None = None) -> None:
        if language not in PROMPTS:
            raise DataError(f"oneig: language: got {language}; expected one of {', '.join(PROMPTS)}.")
        odd = [one for one in dimensions if one not in DIMENSIONS]
        if odd or not dimensions or isinstance(dimensions, str):
            got = dimensions if isinstance(dimensions, str) else odd[0] if odd else "none"
            raise DataError(f"oneig: dimensions: got {got}; expected a list of {', '.join(DIMENSIONS)}. Text has the dataset oneig-text.")
        self.dimensions, self.language, self.folder = tuple(dimensions), language, folder

    def load(self) -> Iterator[Sample]:
        """Yield samples in table order.

        Raises:
            DataError: a file that is missing or malformed, or a prompt without its answer.
        """
        name, column = PROMPTS[self.language]
        prompts = data_file("oneig", name, folder=self.folder)
        rows = [row for row in read_table(prompts, ("category", "id", column)) if row["category"] in CLASSES]
        if not rows:
            raise DataError(f"{prompts}: category: got none of {', '.join(CLASSES)}; expected their rows. Fetch it again.")
        expect_language([(f"{prompts}: {row['category']} {row['id']}", row[column]) for row in rows], self.language)
        parts = self._parts()
        found = False
        for row in rows:
            label, number = CLASSES[row["category"]], row["id"].zfill(3)
            sample_id = f"{label}-{number}"
            own = {key: value for part in parts for key, value in part.get(sample_id, {}).items()}
            if label == "reasoning" and "reasoning" in self.dimensions and "answer" not in own:
                raise DataError(f"{ANSWERS[self.language]}: got no answer {number}; expected one a reasoning prompt. Fetch both again.")
            if not own and "diversity" not in self.dimensions:
                continue
            found = True
            kept = {key: value for key, value in row.items() if key}
            metadata = {**kept, "id": number, "language": self.language, **own}
            yield Sample(sample_id=sample_id, task=label, prompt=row[column], metadata=metadata)
        if not found:
            raise DataError(f"{prompts}: got no prompt of {', '.join(self.dimensions)}; expected some. Fetch it again.")

    def _parts(self) -> list[dict[str, dict[str, Any]]]:
        # Sample id -> what a dimension adds to its row.
        found: list[dict[str, dict[str, Any]]] = []
        if "alignment" in self.dimensions:
            asked = OneIGAlignmentDataset(language=self.language, folder=self.folder).load()
            found.append({s.sample_id: {key: s.metadata[key] for key in ("questions", "dependencies")} for s in asked})
        if "reasoning" in self.dimensions:
            answers = _answers(data_file("oneig", ANSWERS[self.language], folder=self.folder))
            found.append({f"reasoning-{number}": {"answer": text} for number, text in answers.items()})
        if "style" in self.dimensions:
            styles = _styles(data_file("oneig", STYLES, folder=self.folder))
            found.append({f"anime-{number}": {"style": style} for number, style in styles.items()})
        return found


def _answers(path: Path) -> dict[str, str]:
    data = read_json(path, dict, "answers by id")
    odd = next((number for number, text in data.items() if not isinstance(text, str) or not text.strip()), None)
    if odd is not None:
        raise DataError(f"{path}: {odd}: got {data[odd]!r}; expected the answer as text. Fetch it again.")
    return {str(number).zfill(3): text for number, text in data.items()}


def _styles(path: Path) -> dict[str, str]:
    # `Pop Art` of the table is `pop_art` of the references.
    named = ((row["id"].zfill(3), row["class"].strip()) for row in read_table(path, ("id", "class")))
    return {number: style.lower().replace(" ", "_") for number, style in named if style.lower() not in _NO_STYLE}
