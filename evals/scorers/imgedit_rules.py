"""ImgEdit-Bench's verdict as pure functions: a judge's reply -> scores -> the benchmark's numbers, by two policies.

Source: PKU-YuanGroup/ImgEdit 547185d, `Benchmark/Basic/step1_get_avgscore.py`, `step2_typescore.py`,
`Benchmark/UGE/get_average_score.py`. The official reading takes whatever stands after the only colon-space of a line and is
digits alone; the strict one takes the three scores that the rubric names and nothing else. Asking the judge is the scorer's.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

TYPES: tuple[str, ...] = ("add", "adjust", "extract", "replace", "remove", "background", "style", "action", "compose")
"""The nine edit types."""
_NATURAL = ("Prompt Compliance", "Visual Naturalness", "Physical & Detail Integrity")
NAMES: dict[str, tuple[str, ...]] = {
    "replace": _NATURAL,
    "remove": _NATURAL,
    "add": ("Prompt Compliance", "Visual Naturalness", "Physical & Detail Coherence"),
    "adjust": ("Prompt Compliance", "Visual Seamlessness", "Physical & Detail Fidelity"),
    "style": ("Style Fidelity", "Content Preservation", "Rendering Quality"),
    "action": ("Action Fidelity", "Identity Preservation", "Visual & Anatomical Coherence"),
    "extract": ("Object Identity", "Mask Precision", "Visual Quality"),
    "background": ("Instruction Compliance", "Visual Seamlessness", "Physical Consistency"),
    "compose": ("Instruction Compliance", "Visual Naturalness", "Physical Consistency & Fine Detail"),
}
"""Edit type -> names of its three scores, in the rubric's order."""
LOW, HIGH = 1.0, 5.0


class Reading(NamedTuple):
    """What one policy reads out of a reply."""

    value: float | None
    """Mean of the scores, not rounded; None when the reply cannot be read."""
    scores: tuple[float, ...]
    """In the order in which they were taken."""
    reason: str
    """What was read, or why nothing."""
    capped: tuple[str, ...] = ()
    """Names of scores that stood above the first and were lowered to it (strict policy)."""


# ---- the official policy


def official_scores(reply: str) -> list[int]:
    """Return every number that the official code takes for a score, any range, any name.

    Args:
        reply: of the judge.

    Raises:
        ValueError: a figure such as a superscript two, which counts as a digit there and then stops the official code.

    >>> official_scores("Brief reasoning: fine\\nPrompt Compliance: 4\\nVisual Naturalness: 2/5")
    [4]
    """
    found = []
    for line in reply.splitlines():
        parts = line.strip().split(": ")
        if len(parts) == 2 and parts[1].isdigit():
            found.append(int(parts[1]))
    return found


def official(reply: str) -> Reading:
    """Read a reply as the official code does."""
    try:
        scores = official_scores(reply)
    except ValueError:
        return Reading(None, (), "holds a figure that stops the official parser")
    if not scores:
        return Reading(None, (), "holds no line of the form `name: digits`")
    told = ", ".join(map(str, scores))
    return Reading(sum(scores) / len(scores), tuple(map(float, scores)), f"official reading {told}")


class Summary(NamedTuple):
    """The official numbers, each rounded to two digits as the official scripts do at every step."""

    per_item: dict[str, float]
    """Items without a score are absent."""
    per_type: dict[str, float]
    uge_final_average: float | None


def official_summary(replies: Mapping[str, str | Mapping[str, Any] | None], edit_types: Mapping[str, str | None]) -> Summary:
    """Sum up the replies of a whole set.

    Args:
        replies: key -> reply; a failed call is stored as an object there and has no score.
        edit_types: key -> edit type; an item without one counts in the UGE average alone.

    Raises:
        ValueError: see `official_scores`.
    """
    items: dict[str, float] = {}
    for key, reply in replies.items():
        scores = official_scores(reply) if isinstance(reply, str) else []
        if scores:
            items[key] = _rounded_mean(scores)
    groups: dict[str, list[float]] = {}
    for key, score in items.items():
        name = edit_types.get(key)
        if name is not None:
            groups.setdefault(name, []).append(score)
    per_type = {name: _rounded_mean(group) for name, group in groups.items()}
    return Summary(items, per_type, _rounded_mean(list(items.values())) if items else None)


def _rounded_mean(values: Sequence[float]) -> float:
    # Added one by one: Python 3.12's sum() carries the lost digits, which can turn a half the other way.
    return round(reduce(operator.add, values) / len(values), 2)


# ---- the strict policy

_WIDE = {0xFF10 + digit: str(digit) for digit in range(10)} | {ord("："): ":", ord("／"): "/", ord("．"): ".", ord("＆"): "&"}
"""Full-width figures and marks; superscripts stay what they are."""
_GAP = r"[^\S\n]*"
_MARKUP = r"(?:[^\S\n]|[*_`\"'|\[\]])*"
_AFTER_NAME = rf"{_MARKUP}(?:\(\d+{_GAP}(?:-|–|to){_GAP}\d+\){_MARKUP})?"
_SEPARATOR = r"(?::|=|\||(?<=\s)[-–—](?=\s))"
# What follows a number and makes it unclear: more of a number, another unit, a range, a choice.
_UNCLEAR = rf"[\w%]|[.,]\d|{_GAP}(?:/|out{_GAP}of)|{_GAP}[-–—~]{_GAP}\d|{_GAP}(?:or|to)\b{_GAP}\d"
_VALUE = re.compile(rf"{_MARKUP}(?P<number>\d+(?:\.\d+)?)(?:{_GAP}(?:/|out{_GAP}of){_GAP}(?P<scale>\d+))?(?!{_UNCLEAR})", re.IGNORECASE)
_REASONING = re.compile(r"[\s*_`\"'#>-]*(?:brief\s+)?reasoning\b", re.IGNORECASE)
_FORMAT = re.compile(r"^[ \t*-]*(?P<name>[^:\n]+?):\s*A number from 1 to 5", re.MULTILINE | re.IGNORECASE)


def names_of(rubric: str, edit_type: str) -> tuple[str, ...]:
    """Return the names of the scores that a rubric asks for: its reply format's own, else those of the table above.

    Args:
        rubric: text, with lines `Name: A number from 1 to 5.`
        edit_type: one of `TYPES`.
    """
    found = tuple(dict.fromkeys(match["name"].strip() for match in _FORMAT.finditer(rubric)))
    return found if len(found) == 3 else NAMES[edit_type]


def strict(reply: str, names: Sequence[str]) -> Reading:
    """Read the named scores, wherever they are clearly given; anything else is refused.

    Bold, decimals, `4/5`, `4 out of 5`, a missing space after the colon, full-width figures and several scores on one line are
    clear. Totals, averages and the reasoning are not looked at. Refused: a name without a score or with two different ones, a
    score outside 1 to 5, another scale, a range. Scores after the first are lowered to the first, as every rubric demands.

    Args:
        reply: of the judge.
        names: of the scores, the decisive one first.

    >>> strict("**A:** 4/5\\nB:5\\nTotal: 9", ["A", "B"]).scores
    (4.0, 4.0)
    """
    text = reply.translate(_WIDE)
    body = "\n".join(line for line in text.splitlines() if not _REASONING.match(line))
    # A reply on one line, reasoning and scores together, has its scores nowhere else.
    text = body if any(_mentions(body, name) for name in names) else text
    scores: list[float] = []
    for name in names:
        score = _named(text, name)
        if isinstance(score, str):
            return Reading(None, (), score)
        scores.append(score)
    capped = tuple(name for name, score in zip(names, scores, strict=True) if score > scores[0])
    scores = [min(score, scores[0]) for score in scores]
    told = ", ".join(f"{name} {score:g}" for name, score in zip(names, scores, strict=True))
    if capped:
        told += f" ({', '.join(capped)} lowered to the first score)"
    return Reading(sum(scores) / len(scores), tuple(scores), told, capped)


def strict_uge(reply: str) -> Reading:
    """Read the one score of the UGE rubric, which names none: the final, the overall or the only `score` of the reply."""
    text = reply.translate(_WIDE)
    for name in ("final score", "overall score", "score"):
        if _mentions(text, name):
            score = _named(text, name)
            if isinstance(score, str):
                return Reading(None, (), score)
            return Reading(score, (score,), f"{name} {score:g}")
    return Reading(None, (), "gives no score")


def _pattern(name: str) -> str:
    words = r"\s+".join(r"(?:&|and)" if word in ("&", "and") else re.escape(word) for word in name.lower().split())
    return rf"(?<!\w){words}(?!\w){_AFTER_NAME}{_SEPARATOR}"


def _mentions(text: str, name: str) -> bool:
    return re.search(_pattern(name), text, re.IGNORECASE) is not None


def _named(text: str, name: str) -> float | str:
    # The score of a name, or why there is none.
    found: set[float] = set()
    for match in re.finditer(_pattern(name), text, re.IGNORECASE):
        value = _VALUE.match(text, match.end())
        if value is None:
            return f"gives no readable number for {name}"
        if value["scale"] is not None and float(value["scale"]) != HIGH:
            return f"gives {name} out of {value['scale']}, not out of 5"
        found.add(float(value["number"]))
    if not found:
        return f"gives no score for {name}"
    if len(found) > 1:
        return f"gives {name} twice, as {' and '.join(f'{score:g}' for score in sorted(found))}"
    score = found.pop()
    return score if LOW <= score <= HIGH else f"gives {name} {score:g}, outside 1 to 5"


def summary_json(found: Summary) -> dict[str, Any]:
    """Return a summary as the recordings of the official code have it."""
    return {"per_item": found.per_item, "per_type": found.per_type, "uge_final_average": found.uge_final_average}
