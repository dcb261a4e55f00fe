"""HallusionBench: accuracy of questions (aAcc), of figures (fAcc) and of groups that ask the same of several figures (qAcc).

A judge says of each answer 1 (right), 0 (wrong) or 2 (unclear). The official functions (also in lmms-eval 75571cf) take an unclear
answer about the missing picture of a VS set (figure 0) as right, and leave figure 0 of VS out of fAcc; VLMEvalKit (e8e78f0)
does neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
"""`category` (VD or VS), `subcategory`, `set_id`, `figure_id`, `question_id`, `judge` ("1", "0" or "2")."""

WRONG, RIGHT, UNCLEAR = "0", "1", "2"


def read_judgement(reply: str) -> str:
    """Return what the official code reads in a judge's reply: "incorrect" before "correct", anything else is unclear.

    >>> read_judgement("Correct."), read_judgement("incorrect"), read_judgement("cannot say")
    ('1', '0', '2')
    """
    plain = reply.lower()
    if "incorrect" in plain:
        return WRONG
    return RIGHT if "correct" in plain else UNCLEAR


def read_answer(text: str) -> str:
    """Return the answer that the authors' text-only variant compares with `gt_answer`: "1" if yes stands anywhere in it, else "0".

    >>> read_answer("Yes, it is"), read_answer("eyes"), read_answer("no")
    ('1', '1', '0')
    """
    return "1" if "yes" in text.lower() else "0"


def official(rows: Sequence[Row]) -> dict[str, float]:
    """Return aAcc, fAcc and qAcc in percent, by the official rule; a share without a case is 0."""
    figures = [row for row in rows if not _absent_picture(row)]
    return {
        "aAcc": _percent([[official_hit(row)] for row in rows]),
        "fAcc": _percent(_grouped(figures, ("category", "subcategory", "set_id", "figure_id"), official_hit)),
        "qAcc": _percent(_grouped(rows, ("category", "subcategory", "set_id", "question_id"), official_hit)),
    }


def vlmevalkit(rows: Sequence[Row]) -> dict[str, float]:
    """Return aAcc, fAcc and qAcc in percent, by VLMEvalKit's rule; groups go by subcategory, whatever the category."""

    def hit(row: Row) -> bool:
        return str(row["judge"]) == RIGHT

    return {
        "aAcc": _percent([[hit(row)] for row in rows]),
        "fAcc": _percent(_grouped(rows, ("subcategory", "set_id", "figure_id"), hit)),
        "qAcc": _percent(_grouped(rows, ("subcategory", "set_id", "question_id"), hit)),
    }


def _absent_picture(row: Row) -> bool:
    return row.get("category") == "VS" and str(row.get("figure_id")) == "0"


def official_hit(row: Row) -> bool:
    """Whether a judged row counts as right: `judge` says so, or is unclear about a picture that is not there."""
    return str(row["judge"]) == RIGHT or (_absent_picture(row) and str(row["judge"]) == UNCLEAR)


def _grouped(rows: Sequence[Row], keys: Sequence[str], hit: Any) -> list[list[bool]]:
    groups: dict[tuple[str, ...], list[bool]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row[key]) for key in keys), []).append(hit(row))
    return list(groups.values())


def _percent(groups: Sequence[Sequence[bool]]) -> float:
    return 100.0 * sum(map(all, groups)) / len(groups) if groups else 0.0
