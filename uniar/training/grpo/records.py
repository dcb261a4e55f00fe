"""What is asked for: records out of a JSONL file, or drawn from the synthetic world.

A record is `{instruction, number, task, metadata}` (spec: reinforcement learning data); rewards read `task` and `metadata`. Which
records a step takes is a function of (seed, step) alone. Leaves drawing, judging and mixing of files to others.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from uniar.data.shapes import RELATIONS, Captioned, sample_captioned
from uniar.data.shapes.vocabulary import with_article
from uniar.errors import InputError
from uniar.seeding import derive_seed, generator
from uniar.training.grpo.evaluation_prompts import EVALUATION_PROMPTS

FIELDS: dict[str, type] = {"instruction": str, "number": int, "task": str, "metadata": dict}
SHAPES_TASKS = ("two_object", "counting", "colors", "position", "color_attr")
"""GenEval's forms that have prompts outside the evaluation suite; all eight of `single_object` are in it."""
_TRIES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One asked thing."""

    key: str
    """Names this use of it in the run: all draws of its images come from (run seed, step, key, member)."""
    instruction: str
    """The prompt, verbatim."""
    number: int
    """Its number in its source."""
    task: str
    """Decides which rewards apply (`geneval`, `ocr`, ...)."""
    metadata: Mapping[str, Any]
    """What a reward needs; GenEval's row for `geneval`."""

    def row(self) -> dict[str, Any]:
        """As it stands in a file."""
        return {"instruction": self.instruction, "number": self.number, "task": self.task, "metadata": dict(self.metadata)}


class Records(Protocol):
    """A source of records."""

    def draw(self, seed: int, step: int, count: int) -> list[Record]:
        """The records of a step, with different keys; a function of the arguments alone."""
        ...


class JsonlRecords:
    """A JSONL file, read in a new random order in each pass over it.

    Args:
        path: UTF-8, one record a line.

    Raises:
        InputError: unreadable, empty, or a line that is no record, with file and line.
    """

    def __init__(self, path: Path):
        self.rows = read_rows(path)
        self._name = path.name

    def draw(self, seed: int, step: int, count: int) -> list[Record]:
        """See `Records`; every record comes once before any comes again."""
        orders: dict[int, list[int]] = {}
        out = []
        for position in range(step * count, (step + 1) * count):
            turn, at = divmod(position, len(self.rows))
            if turn not in orders:
                orders[turn] = torch.randperm(len(self.rows), generator=generator(seed, f"records {turn}")).tolist()
            line = orders[turn][at]
            out.append(Record(key=f"{self._name}:{line + 1}:{turn}", **self.rows[line]))
        return out


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read and check a file of records; blank lines are not records.

    Raises:
        InputError: see `JsonlRecords`.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: got an unreadable file ({type(error).__name__}); expected UTF-8 JSONL. Check the path.") from None
    rows = [_row(f"{path}:{n}", line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not rows:
        raise InputError(f"{path}: got no record; expected at least one line. Check the path.")
    return rows


def _row(where: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: got no JSON ({error}); expected one record. Write one JSON object a line.") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: got {type(row).__name__}; expected a JSON object with {', '.join(FIELDS)}.")
    unknown = sorted(set(row) - set(FIELDS))
    if unknown:
        raise InputError(f"{where}: {unknown[0]}: unknown key; expected {', '.join(FIELDS)}. Put further data into metadata.")
    for name, kind in FIELDS.items():
        value = row.get(name)
        # bool is an int in Python, not in a record.
        if not isinstance(value, kind) or isinstance(value, bool):
            got = "nothing" if name not in row else repr(value)
            raise InputError(f"{where}: {name}: got {got}; expected {kind.__name__}. Add or mend it.")
    if not row["instruction"].strip():
        raise InputError(f"{where}: instruction: got blank text; expected a prompt. Remove the line.")
    return row


class ShapesRecords:
    """Captions of the synthetic world in GenEval's forms, with GenEval's rows; task `geneval`.

    Only what training may show (split "train"), and never a prompt of the evaluation suite.

    Args:
        tasks: forms to draw from, with equal chance.
        exclude: further prompts that must not be asked.

    Raises:
        InputError: a form that is none, or that has no prompt left.
    """

    def __init__(self, *, tasks: Sequence[str] = SHAPES_TASKS, exclude: Collection[str] = ()):
        wrong = sorted(set(tasks) - set(SHAPES_TASKS))
        if wrong or not tasks:
            raise InputError(f"tasks: got {wrong[0] if wrong else 'none'}; expected some of {', '.join(SHAPES_TASKS)}.")
        self.tasks = tuple(tasks)
        self.exclude = EVALUATION_PROMPTS | frozenset(exclude)

    def draw(self, seed: int, step: int, count: int) -> list[Record]:
        """See `Records`."""
        return [self._one(seed, number) for number in range(step * count, (step + 1) * count)]

    def _one(self, seed: int, number: int) -> Record:
        rng = np.random.default_rng(derive_seed(seed, "shapes records", number))
        task = self.tasks[int(rng.integers(len(self.tasks)))]
        for _ in range(_TRIES):
            drawn = sample_captioned(rng, split="train", task=task)
            if drawn.caption not in self.exclude:
                row = geneval_row(drawn)
                return Record(key=f"shapes:{number}", instruction=drawn.caption, number=number, task="geneval", metadata=row)
        raise InputError(f"exclude: got prompts that leave {task} without any; expected some left. Take it out of tasks.")


def geneval_row(drawn: Captioned) -> dict[str, Any]:
    """GenEval's metadata row of a caption in one of its forms, key order as in the official file.

    Raises:
        InputError: the caption is of another form.
    """
    objects, task = drawn.scene.objects, drawn.task
    a, b = objects[0], objects[-1]

    def one(name: str, **more: Any) -> dict[str, Any]:
        return {"class": name, "count": 1, **more}

    exclude: list[dict[str, Any]] = []
    if task == "single_object":
        include = [one(a.shape)]
    elif task == "two_object":
        include = [one(a.shape), one(b.shape)]
    elif task == "counting":
        include = [{"class": a.shape, "count": len(objects)}]
        exclude = [{"class": a.shape, "count": len(objects) + 1}]
    elif task == "colors":
        include = [one(a.shape, color=a.color)]
    elif task == "position":
        told = f"{with_article(a.shape)} {{}} {with_article(b.shape)}"
        relation = next(r for r in RELATIONS if told.format(r) in drawn.caption)
        # The reference comes first: `position` points back at clause 0.
        include = [one(b.shape), one(a.shape, position=[relation, 0])]
    elif task == "color_attr":
        include = [one(a.shape, color=a.color), one(b.shape, color=b.color)]
    else:
        raise InputError(f"task: got {task}; expected single_object or one of {', '.join(SHAPES_TASKS)}.")
    return {"tag": task, "include": include, **({"exclude": exclude} if exclude else {}), "prompt": drawn.caption}
