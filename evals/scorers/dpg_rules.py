"""DPG-Bench's verdict as pure functions: which rows make an item, when a yes counts, what a set of answers sums to.

Source: ELLA 3c228f1, `dpg_bench/compute_dpg_bench.py`. Beside each official rule stands the strict one where the official one is
broken: the first row of the table is dropped there, zeroing depends on the order of the rows, categories look at one picture alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

YES = "yes"
FIELDS: tuple[str, ...] = ("item_id", "proposition_id", "dependency", "tuple", "question_natural_language")
"""Columns that the rules read."""


class Question(NamedTuple):
    """One row of the table."""

    id: int
    text: str
    dependency: tuple[int, ...]
    """Ids of the questions that must be answered yes for this one to count; 0 is none."""
    category: str
    """`entity - whole`: what stands before the bracket of `tuple`."""
    official: bool = True
    """Whether the official loader keeps it."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**self._asdict(), "dependency": list(self.dependency)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Question:
        """Inverse of `to_json`."""
        return cls(**{**data, "dependency": tuple(data["dependency"])})


def read_row(row: Mapping[str, Any]) -> Question:
    """Read a row; all cells may be text, also where a table of numbers was meant.

    Raises:
        ValueError: an id or a dependency that is no whole number.
        KeyError: a column is absent.
    """
    return Question(
        id=int(row["proposition_id"]),
        text=str(row["question_natural_language"]),
        dependency=tuple(int(part.strip()) for part in str(row["dependency"]).split(",")),
        category=str(row["tuple"]).split("(")[0].strip(),
    )


def broad(category: str) -> str:
    """L1 of an L2 category.

    >>> broad("attribute - color")
    'attribute'
    """
    return category.split("-")[0].strip()


def items(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Question]]:
    """Group the rows of the table, in its order, into items.

    The official loader skips row 0, starts an item anew where its rows are not consecutive, and lets a repeated id overwrite the
    earlier row at its place. What it would not keep is here all the same, marked `official=False`, behind what it keeps.

    Returns:
        Item -> its questions, those of the official loader first and in its order; items by first appearance.
    """
    official: dict[str, dict[int, Question]] = {}
    every: dict[str, dict[int, Question]] = {}
    previous: str | None = None
    for index, row in enumerate(rows):
        item, question = str(row["item_id"]), read_row(row)
        every.setdefault(item, {})[question.id] = question
        if index == 0:
            continue
        if item != previous:
            official[item] = {}
        official[item][question.id] = question
        previous = item
    return {
        item: [*official.get(item, {}).values(), *(q._replace(official=False) for q in own.values() if q.id not in official.get(item, {}))]
        for item, own in every.items()
    }


def official_score(questions: Sequence[Question], yes: Mapping[int, bool]) -> float:
    """Share of questions of one picture that count, 0 to 1, by the official rule.

    Questions are walked in their order; one is set to 0 when a parent is 0 by then, so a parent that is zeroed later comes too late.

    Args:
        questions: those the official loader keeps.
        yes: question id -> whether it was answered yes.

    Raises:
        KeyError: a parent was dropped by the loader (asked for before another parent is found to be 0), or there is no question: the
            official code leaves the item out.
    """
    if not questions:
        raise KeyError("no question")
    score = {q.id: yes[q.id] for q in questions}
    for q in questions:
        if any(not score[parent] for parent in q.dependency if parent != 0):
            score[q.id] = False
    return sum(score.values()) / len(score)


def strict_score(questions: Sequence[Question], yes: Mapping[int, bool]) -> float:
    """The same for any order of the rows: a question counts when it and all that it depends on, however far up, are answered yes.

    Args:
        questions: all of the item.
        yes: see `official_score`.

    Raises:
        KeyError: a parent is nowhere in the table, or there is no question.
    """
    if not questions:
        raise KeyError("no question")
    score = {q.id: yes[q.id] for q in questions}
    changed = True
    while changed:
        changed = False
        for q in questions:
            # A list, so that an absent parent is told whatever the answers are.
            if not all([score[parent] for parent in q.dependency if parent != 0]) and score[q.id]:
                score[q.id], changed = False, True
    return sum(score.values()) / len(score)


def read_exact(reply: str) -> bool:
    """The official reading: exactly `yes`; all else, `Yes` and `yes.` too, is not yes."""
    return reply == YES


def read_word(reply: str) -> bool | None:
    """A careful reading: one word yes or no, whatever its case, quotes and final mark; None for all else.

    >>> read_word("Yes."), read_word(" **no** "), read_word("yes, partly")
    (True, False, None)
    """
    found = re.fullmatch(r"[\s\"'`*(]*(yes|no)[\s\"'`*).!]*", reply, re.IGNORECASE)
    return None if found is None else found[1].lower() == YES


def item_mean(crops: Sequence[float | None]) -> float | None:
    """An item's score: the mean of its pictures'; None when the official code leaves the item out (any of them is None)."""
    known = [crop for crop in crops if crop is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(crops) else None


def overall(item_scores: Iterable[float | None]) -> float | None:
    """DPG: 100 times the mean over the items that are not left out; None without any."""
    known = [score for score in item_scores if score is not None]
    return 100 * math.fsum(known) / len(known) if known else None


def category_means(answers: Iterable[tuple[str, bool]]) -> tuple[dict[str, float], dict[str, float]]:
    """L2 and L1 category scores, 0 to 100, of un-zeroed answers pooled over all items.

    Args:
        answers: (L2 category, answered yes).

    Returns:
        L2 and L1, each category -> percentage of yes.
    """
    fine: dict[str, list[bool]] = {}
    coarse: dict[str, list[bool]] = {}
    for category, yes in answers:
        fine.setdefault(category, []).append(yes)
        coarse.setdefault(broad(category), []).append(yes)
    l2, l1 = ({name: 100 * sum(own) / len(own) for name, own in group.items()} for group in (fine, coarse))
    return l2, l1
