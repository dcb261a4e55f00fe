"""MMStar: 1500 questions in 6 categories of 3 second-level categories each.

Sources: lmms-eval 75571cf, `tasks/mmstar/utils.py` (a mean over second-level categories); VLMEvalKit e8e78f0 takes the plain mean over
questions, which is the same only while all groups have one size (they have, in the full set).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evals.understanding import choice


def right(response: str, gold: str) -> bool:
    """Whether `choice.extract_letter` over A to D finds the key."""
    return choice.extract_letter(response, "ABCD") == gold.strip().upper()


def balanced(rows: Iterable[tuple[str, float]]) -> float:
    """Mean over groups of each group's mean.

    Args:
        rows: (second-level category, credit).

    >>> balanced([("a", 1.0), ("a", 1.0), ("b", 0.0)])
    0.5
    """
    by_group: dict[str, list[float]] = {}
    for group, credit in rows:
        by_group.setdefault(group, []).append(credit)
    return choice.mean(choice.mean(credits) for credits in by_group.values())


def summary(rows: Iterable[tuple[Mapping[str, Any], float]]) -> dict[str, float]:
    """`balanced` over each category and, as `average`, over all.

    Args:
        rows: (row with `category` and `l2_category`, credit).
    """
    rows = list(rows)
    categories = dict.fromkeys(row["category"] for row, _ in rows)
    table = {name: balanced((row["l2_category"], credit) for row, credit in rows if row["category"] == name) for name in categories}
    return {**table, "average": balanced((row["l2_category"], credit) for row, credit in rows)}
