"""OneIG alignment of the mini world: GenEval-mini's prompts as graphs of questions (a thing, then its colour, number and place).

Rows are those of `evals.datasets.shapes`; the questions are in the forms that `evals.judges.shapes_yes_no` answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evals.datasets.geneval import NUMBER_WORDS, plural, with_article
from evals.datasets.shapes import ShapesGenEvalDataset
from evals.types import Sample


class ShapesOneIGDataset:
    """One sample a prompt.

    Args:
        seed: of the prompts.
        prompts_per_task: prompts of each of GenEval's six forms.
    """

    def __init__(self, *, seed: int = 43, prompts_per_task: int = 6) -> None:
        self._rows = ShapesGenEvalDataset(seed=seed, prompts_per_task=prompts_per_task, unseen_per_task=min(2, prompts_per_task))

    def load(self) -> Iterator[Sample]:
        """Yield samples in task order; `metadata` has `questions` and `dependencies` as OneIG-Bench's."""
        for sample in self._rows.load():
            questions, dependencies = graph_of(sample.metadata)
            metadata = {"id": sample.sample_id, "questions": questions, "dependencies": dependencies}
            yield Sample(sample_id=sample.sample_id, task=sample.task, prompt=sample.prompt, metadata=metadata, tags=sample.tags)


def graph_of(row: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, list[int]]]:
    """Return the questions of a GenEval row and what each depends on.

    >>> graph_of({"include": [{"class": "star", "count": 1, "color": "red"}]})
    ({'1': 'Is there a star?', '2': 'Is the star red?'}, {'1': [0], '2': [1]})
    """
    questions: dict[str, str] = {}
    dependencies: dict[str, list[int]] = {}

    def add(question: str, *parents: int) -> int:
        number = len(questions) + 1
        questions[str(number)], dependencies[str(number)] = question, list(parents) or [0]
        return number

    things: list[int] = []
    for clause in row["include"]:
        name, count = clause["class"], clause["count"]
        thing = add(f"Is there {with_article(name)}?")
        things.append(thing)
        if count > 1:
            add(f"Are there {NUMBER_WORDS[count]} {plural(name)}?", thing)
        if "color" in clause:
            add(f"Is the {name} {clause['color']}?", thing)
        if "position" in clause:
            relation, index = clause["position"]
            add(f"Is the {name} {relation} the {row['include'][index]['class']}?", thing, things[index])
    return questions, dependencies
