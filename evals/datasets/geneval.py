"""GenEval's prompts, drawn by our own statement of the official generator.

Source: djghosh13/geneval af4902f, `prompts/create_prompts.py`; the draw order below is its own, so that seed 43 gives
the published 553 rows byte for byte. Leaves the mini world's vocabulary to `evals.datasets.shapes`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from evals.errors import DataError
from evals.types import Sample
from evals.vocabulary import COLORS, GENEVAL_CLASSES

TASKS: tuple[str, ...] = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
"""Tags in the order of the file."""
RELATIONS: tuple[str, ...] = ("left of", "right of", "above", "below")
NUMBER_WORDS: dict[int, str] = {2: "two", 3: "three", 4: "four"}

Row = dict[str, Any]


def with_article(words: str) -> str:
    """Put `a` or `an` before a noun phrase, by its first letter alone.

    >>> with_article("orange bowl"), with_article("bowl")
    ('an orange bowl', 'a bowl')
    """
    return ("an " if words[0] in "aeiou" else "a ") + words


def plural(word: str) -> str:
    """Plural as the benchmark writes it, wrong ones included ("toothbrushs" is what models are asked).

    >>> plural("bus"), plural("knife")
    ('buses', 'knifes')
    """
    return word + ("es" if word.endswith("s") else "s")


def generate_rows(
    names: Sequence[str],
    colors: Sequence[str],
    *,
    seed: int,
    prompts_per_task: int,
    uncolored: Sequence[int] = (0,),
    single_rounds: int = 1,
) -> list[Row]:
    """Draw the rows of all six tasks; equal rows are kept once, the first.

    Args:
        names: class names; at least two.
        colors: colour words; at least two.
        seed: seed of the one generator that all tasks draw from, in order.
        prompts_per_task: draws a task (single_object has one row a class instead).
        uncolored: indices of classes that never get a colour (GenEval: 0, the person).
        single_rounds: how many permutations of the classes single_object holds. The official file has one; a
            vocabulary smaller than the number of prompts wanted needs more, and those rows are repeats on purpose.

    Returns:
        Rows `{tag, include, [exclude,] prompt}` in the official key order.

    Raises:
        DataError: too few names or colours to draw two different ones.
    """
    import numpy as np

    colorable = [i for i in range(len(names)) if i not in set(uncolored)]
    if len(names) < 2 or len(colors) < 2 or len(colorable) < 2:
        raise DataError(
            f"geneval prompts: got {len(names)} classes ({len(colorable)} that may be coloured) and {len(colors)} "
            "colours; expected at least two of each. Give a larger vocabulary."
        )
    rng = np.random.default_rng(seed)

    def pair(count: int) -> list[int]:
        return [int(i) for i in rng.choice(count, size=2, replace=False)]

    def one(index: int, **more: Any) -> dict[str, Any]:
        return {"class": names[index], "count": 1, **more}

    singles: list[Row] = []
    for _ in range(single_rounds):
        for i in rng.choice(len(names), size=len(names), replace=False):
            prompt = f"a photo of {with_article(names[i])}"
            singles.append({"tag": "single_object", "include": [one(i)], "prompt": prompt})
    rows: list[Row] = []
    for _ in range(prompts_per_task):
        i, j = pair(len(names))
        prompt = f"a photo of {with_article(names[i])} and {with_article(names[j])}"
        rows.append({"tag": "two_object", "include": [one(i), one(j)], "prompt": prompt})
    for _ in range(prompts_per_task):
        k = int(rng.choice(len(names)))
        count = int(rng.integers(2, 4, endpoint=True))
        rows.append(
            {
                "tag": "counting",
                "include": [{"class": names[k], "count": count}],
                "exclude": [{"class": names[k], "count": count + 1}],
                "prompt": f"a photo of {NUMBER_WORDS[count]} {plural(names[k])}",
            }
        )
    for _ in range(prompts_per_task):
        k = colorable[int(rng.choice(len(colorable)))]
        color = colors[int(rng.choice(len(colors)))]
        prompt = f"a photo of {with_article(color)} {names[k]}"
        rows.append({"tag": "colors", "include": [one(k, color=color)], "prompt": prompt})
    for _ in range(prompts_per_task):
        i, j = pair(len(names))
        relation = RELATIONS[int(rng.choice(len(RELATIONS)))]
        # The reference comes first: `position` points back at clause 0.
        include = [one(j), one(i, position=[relation, 0])]
        prompt = f"a photo of {with_article(names[i])} {relation} {with_article(names[j])}"
        rows.append({"tag": "position", "include": include, "prompt": prompt})
    for _ in range(prompts_per_task):
        i, j = (colorable[k] for k in pair(len(colorable)))
        a, b = (colors[k] for k in pair(len(colors)))
        prompt = f"a photo of {with_article(a)} {names[i]} and {with_article(b)} {names[j]}"
        rows.append({"tag": "color_attr", "include": [one(i, color=a), one(j, color=b)], "prompt": prompt})
    # Only the repeats asked for by `single_rounds` may be equal.
    return singles + list({json.dumps(row): row for row in rows}.values())


def official_rows(*, seed: int = 43, prompts_per_task: int = 100) -> list[Row]:
    """The benchmark's own rows: 553 of them for the default seed."""
    return generate_rows(GENEVAL_CLASSES, COLORS, seed=seed, prompts_per_task=prompts_per_task)


def metadata_text(rows: Iterable[Row]) -> str:
    """`evaluation_metadata.jsonl` as text."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def prompts_text(rows: Iterable[Row]) -> str:
    """`generation_prompts.txt` as text."""
    return "".join(row["prompt"] + "\n" for row in rows)


class GenEvalDataset:
    """The 553 GenEval prompts; `metadata` of a sample is the official row."""

    def __init__(self, *, seed: int = 43, prompts_per_task: int = 100) -> None:
        if prompts_per_task < 1:
            raise DataError(f"geneval: prompts_per_task: got {prompts_per_task}; expected 1 or more. Use 100.")
        self.seed = seed
        self.prompts_per_task = prompts_per_task

    def load(self) -> Iterator[Sample]:
        """Yield samples in file order; the id is the official folder name, five digits."""
        for index, row in enumerate(official_rows(seed=self.seed, prompts_per_task=self.prompts_per_task)):
            yield Sample(sample_id=f"{index:05d}", task=row["tag"], prompt=row["prompt"], metadata=row)
