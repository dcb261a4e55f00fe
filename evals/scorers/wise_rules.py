"""WISE's scores as pure functions: what a judge's reply says, WiScore, categories by prompt id, the weighted overall.

Source: PKU-YuanGroup/WISE eb51174, `WISE_legacy/gpt_eval.py`, `Calculate.py` (legacy: three marks of 0 to 2) and
`vllm_eval.py`, `calculate_verified.py` (WISE_Verified: one mark of 0 or 1). Where the official reading is broken, a strict
one stands beside it. Leaves asking the judge to `evals.scorers.wise`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import NamedTuple

MARKS: tuple[str, ...] = ("consistency", "realism", "aesthetic_quality")
"""What the legacy judge marks, in the order of its three lines."""
TOP = 2.0
"""Best legacy mark."""


class Category(NamedTuple):
    """A category of prompts."""

    name: str
    first: int
    """Lowest prompt id."""
    last: int
    """Highest prompt id."""
    weight: float
    """Share in the overall number."""


CATEGORIES: dict[str, tuple[Category, ...]] = {
    "legacy": (
        Category("CULTURE", 1, 400, 0.4),
        Category("TIME", 401, 567, 0.167),
        Category("SPACE", 568, 700, 0.133),
        Category("BIOLOGY", 701, 800, 0.1),
        Category("PHYSICS", 801, 900, 0.1),
        Category("CHEMISTRY", 901, 1000, 0.1),
    ),
    "verified": (
        Category("CULTURE", 1, 400, 0.4),
        Category("TIME", 401, 520, 0.12),
        Category("SPACE", 521, 640, 0.12),
        Category("BIOLOGY", 641, 760, 0.12),
        Category("PHYSICS", 761, 880, 0.12),
        Category("CHEMISTRY", 881, 1000, 0.12),
    ),
}
"""Version -> its categories; both cover the prompt ids 1 to 1000."""

# The official class for the colon holds the ASCII colon twice, so a full-width one never matches; nor does anything else
# between the name and its mark ("Consistency (0-2): 1", "**Consistency:** 2"). The digit may begin a longer number.
_NAMED = re.compile(r"\*{0,2}(Consistency|Realism|Aesthetic Quality)\*{0,2}\s*:?\s*(\d)", re.IGNORECASE)
_BARE_MARK = re.compile(r"^[^\S\n]*([0-2])[^\S\n]*$", re.MULTILINE)
_VERIFIED = re.compile(r"\*{0,2}Score\*{0,2}\s*:?\s*([01])\b", re.IGNORECASE)
_BARE_BIT = re.compile(r"^[^\S\n]*([01])[^\S\n]*$", re.MULTILINE)
# What a careful reader takes for a mark: a whole number that ends there, bold or with its range named or not.
_STRICT_TAIL = r"[\s*_]*(?:\(\s*0\s*(?:-|–|to|or|/)\s*[12]\s*\))?[\s*_]*[:：=]?[\s*_]*(\d+)(?![\d%]|[.,/]\d)"
_STRICT_NAMED = re.compile(r"\b(Consistency|Realism|Aesthetic\s+Quality)" + _STRICT_TAIL, re.IGNORECASE)
_STRICT_SCORE = re.compile(r"\bScore" + _STRICT_TAIL, re.IGNORECASE)


def parse_legacy(text: str) -> dict[str, float]:
    """Read three marks the official way.

    A later mark of the same name overwrites. With no name at all, the first three lines that are a bare 0, 1 or 2 are the marks
    in order. Some of the names are some of the marks, and the caller must treat that as a failed try.

    >>> parse_legacy("**Consistency**: 2\\nRealism: 1\\nAesthetic Quality 0")
    {'consistency': 2.0, 'realism': 1.0, 'aesthetic_quality': 0.0}
    >>> parse_legacy("Consistency (0-2): 1"), parse_legacy("1\\n2\\n0")["realism"]
    ({}, 2.0)
    """
    found = {name.lower().replace(" ", "_"): float(mark) for name, mark in _NAMED.findall(text)}
    if found:
        return found
    bare = _BARE_MARK.findall(text)
    # Further bare lines do no harm there, unlike in the verified version.
    return dict(zip(MARKS, map(float, bare), strict=False)) if len(bare) >= len(MARKS) else {}


def parse_verified(text: str) -> dict[str, float]:
    """Read one mark the official way: the first named 0 or 1, else the only line that is a bare 0 or 1.

    >>> parse_verified("**Score**: 1"), parse_verified("0"), parse_verified("1\\n0")
    ({'score': 1.0}, {'score': 0.0}, {})
    """
    named = _VERIFIED.search(text)
    if named:
        return {"score": float(named[1])}
    bare = _BARE_BIT.findall(text)
    return {"score": float(bare[0])} if len(bare) == 1 else {}


def strict_legacy(text: str) -> dict[str, float]:
    """Read three marks as a careful reader would; empty when any is absent, contradicted, or not a whole 0 to 2.

    >>> strict_legacy("**Consistency:** 2\\nRealism (0-2)：1\\nAesthetic  Quality = 0")["realism"]
    1.0
    >>> strict_legacy("Consistency: 1.5\\nRealism: 1\\nAesthetic Quality: 1")
    {}
    """
    seen: dict[str, set[int]] = {}
    for name, mark in _STRICT_NAMED.findall(text):
        seen.setdefault("_".join(name.lower().split()), set()).add(int(mark))
    if not seen:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) != len(MARKS) or not all(re.fullmatch("[0-2]", line) for line in lines):
            return {}
        return dict(zip(MARKS, map(float, lines), strict=True))
    if set(seen) != set(MARKS) or any(len(marks) != 1 or max(marks) > TOP for marks in seen.values()):
        return {}
    return {name: float(next(iter(seen[name]))) for name in MARKS}


def strict_verified(text: str) -> dict[str, float]:
    """Read one mark as a careful reader would; empty when it is absent, contradicted, or not 0 or 1.

    >>> strict_verified("Score：1"), strict_verified("Score: 0\\nScore: 1"), strict_verified("1\\n2\\n2")
    ({'score': 1.0}, {}, {})
    """
    seen = {int(mark) for mark in _STRICT_SCORE.findall(text)}
    if not seen and re.fullmatch(r"\s*[01]\s*", text):
        seen = {int(text)}
    return {"score": float(next(iter(seen)))} if len(seen) == 1 and max(seen) <= 1 else {}


def wiscore(marks: Mapping[str, float]) -> float | None:
    """WiScore of three marks of 0 to 2: 0.7 consistency, 0.2 realism, 0.1 aesthetic quality, halved; None unless all are there.

    >>> wiscore({"consistency": 2, "realism": 0, "aesthetic_quality": 1})
    0.75
    """
    if any(name not in marks for name in MARKS):
        return None
    return (0.7 * marks["consistency"] + 0.2 * marks["realism"] + 0.1 * marks["aesthetic_quality"]) / 2


def category_of(prompt_id: int, version: str) -> Category | None:
    """Return the category of a prompt id under a version of `CATEGORIES`; None outside 1 to 1000."""
    return next((one for one in CATEGORIES[version] if one.first <= prompt_id <= one.last), None)


def weighted_overall(means: Mapping[str, float], weights: Mapping[str, float]) -> float | None:
    """Return the weighted sum of category means.

    Args:
        means: category -> mean, of what was scored.
        weights: category -> weight, of all categories.

    Returns:
        None when a category has no mean: the official script refuses an incomplete set too.
    """
    if any(name not in means for name in weights):
        return None
    return _total([weight * means[name] for name, weight in weights.items()])


def category_means(values: Mapping[int, float], version: str) -> dict[str, float]:
    """Return category -> mean over its prompts, in the order of `CATEGORIES`, categories without any left out.

    Args:
        values: prompt id -> its WiScore (legacy) or mark (verified).
        version: key of `CATEGORIES`.
    """
    groups: dict[str, list[float]] = {}
    for prompt_id in sorted(values):
        category = category_of(prompt_id, version)
        if category is not None:
            groups.setdefault(category.name, []).append(values[prompt_id])
    return {one.name: _mean(groups[one.name]) for one in CATEGORIES[version] if one.name in groups}


def _mean(values: Sequence[float]) -> float:
    return _total(values) / len(values)


def _total(values: Sequence[float]) -> float:
    # Added one by one: Python 3.12's sum() carries the lost digits, and the verified overall, a multiple of 0.001, often lies
    # where its last digit decides how the second decimal is printed.
    return reduce(operator.add, values)
