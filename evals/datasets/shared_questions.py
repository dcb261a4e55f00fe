"""GenEval rows -> questions about the image that they ask for, so that the mini world and the published prompts are asked alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals.datasets.geneval import plural, with_article

Question = dict[str, Any]
"""`kind` (presence, count, color, position), `question`, `expected` (None: the prompt leaves it open), and what it is about:
`class`, and `color` or `relation` with `other`."""


def questions_of(row: Mapping[str, Any], *, absent: Sequence[str], suffix: str = "") -> list[Question]:
    """Derive the questions of a GenEval row.

    Args:
        row: `include` clauses with class, count, and color or position.
        absent: classes that the row does not name; one question a class, expected "no".
        suffix: appended to every question (an instruction about the form of the answer).

    Returns:
        For each clause presence, count and colour, and its position where it has one; then the absent classes.
    """
    made: list[Question] = []

    def add(kind: str, question: str, expected: str | None, **about: Any) -> None:
        made.append({"kind": kind, "question": f"{question}{suffix}", "expected": expected, **about})

    include = row["include"]
    for clause in include:
        name, count, color = clause["class"], clause["count"], clause.get("color")
        add("presence", f"is there {with_article(f'{color} {name}' if color else name)}?", "yes", **{"class": name, "color": color})
        add("count", f"how many {plural(name)} are there?", str(count), **{"class": name})
        if count == 1:
            add("color", f"what color is the {name}?", color, **{"class": name})
        if "position" in clause:
            relation, index = clause["position"]
            other = include[index]["class"]
            add("position", f"is the {name} {relation} the {other}?", "yes", **{"class": name, "relation": relation, "other": other})
    for name in absent:
        add("presence", f"is there {with_article(name)}?", "no", **{"class": name, "color": None})
    return made


def recolored(row: Mapping[str, Any], index: int, color: str) -> dict[str, Any]:
    """Return the row after "make the CLASS COLOR" about one of its clauses."""
    include = [dict(clause) for clause in row["include"]]
    include[index]["color"] = color
    return {**row, "include": include}
