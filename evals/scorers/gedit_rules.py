"""GEdit-Bench's verdict as pure functions: two replies of the judge -> SC, PQ, overall -> the benchmark's averages.

Source: stepfun-ai/Step1X-Edit 570eba6, `GEdit-Bench/viescore/utils.py` and `calculate_statistics.py` (VIEScore, Ku et al. 2023).
The official reading takes what is between the delimiters or the outermost braces; the strict one takes the two scores that the
rubric asks for. Asking the judge, and asking again, is the scorer's.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

TYPES: tuple[str, ...] = (
    "background_change",
    "color_alter",
    "material_alter",
    "motion_change",
    "ps_human",
    "style_change",
    "subject-add",
    "subject-remove",
    "subject-replace",
    "text_change",
    "tone_transfer",
)
"""The eleven task types, in the official order."""
DELIMITER = "||V^=^V||"
RATE_LIMIT = "rate_limit_exceeded"
HIGH = 10.0
_PAIR = re.compile(r"\[\d+, ?\d+\]")

Parsed = dict[str, Any] | Literal["rate_limit_exceeded", False]


def parse(reply: str) -> Parsed:
    """Read a reply as the official code does on the first try.

    Returns:
        The reply's object, `score` a list; `rate_limit_exceeded` passes through; False when it cannot be read.

    >>> parse("Scores: [2, 5]")["score"], parse("[4, 0, 3]")
    ([2, 5], False)
    """
    if reply == RATE_LIMIT:
        return RATE_LIMIT
    if reply.count(DELIMITER) == 2:
        return _object(reply[reply.find(DELIMITER) + len(DELIMITER) : reply.rfind(DELIMITER)])
    if has_braces(reply):
        # From the first to the last brace, wherever they are: a closing one in a later sentence breaks it.
        return _object(reply[reply.find("{") : reply.rfind("}") + 1])
    inner = reply[reply.find("[") : reply.rfind("]") + 1]
    try:
        if _PAIR.fullmatch(inner):
            return {"score": json.loads(inner), "reasoning": "System: output is simply a list of scores"}
        number = int(reply)
    except ValueError:
        return False
    return {"score": [number], "reasoning": "System: output is simply a number"} if 0 <= number <= HIGH else False


def has_braces(reply: str) -> bool:
    """Whether the official code looks for an object in the reply; it guesses on the second try only where there is none."""
    return reply.count(DELIMITER) == 2 or ("{" in reply and "}" in reply)


def _object(text: str) -> Parsed:
    text = text.strip().replace("\n", "")
    found = _loaded(text)
    if found:
        return {**found, "score": found["score"] if isinstance(found["score"], list) else [found["score"]]}
    # The repair lists numbers itself; what it quotes instead stays a text, which is no score.
    return _loaded(_repaired(text))


def _loaded(text: str) -> Parsed:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return found if isinstance(found, dict) and "score" in found else False


def _repaired(text: str) -> str:
    # Quotes bare keys, lists numbers, quotes every other value: this mends flat objects of bare words and nothing else.
    def listed(match: re.Match[str]) -> str:
        key, value, end = match[1], match[2].strip(), match[3]
        if re.fullmatch(r"-?\d+(\.\d+)?", value):
            value = f"[{value}]"
        elif value.lower() not in ("true", "false", "null"):
            value = f'"{value}"'
        return f"{key}: {value}{end}"

    return re.sub(r'(".*?"):(.*?)(,|})', listed, re.sub(r"(\w+):", r'"\1":', text))


def lowest(parsed: Parsed) -> float | None:
    """Return the smallest score of a parsed reply; None when it holds no numbers."""
    if not isinstance(parsed, dict):
        return None
    scores = parsed["score"]
    if (
        not isinstance(scores, list)
        or not scores
        or not all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in scores)
    ):
        return None
    return min(scores)


def overall(sc: float, pq: float) -> float:
    """Return the overall score of an item: the geometric mean of both.

    >>> overall(2, 8)
    4.0
    """
    return math.sqrt(sc * pq)


def guess(seed: int, *parts: str) -> int:
    """Return a number from 0 to 10 that stands for the official random guess, the same for the same seed and parts."""
    digest = hashlib.sha256("\0".join((str(seed), *parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % 11


# ---- the strict policy

_NUMBER = r"(\d+(?:\.\d+)?)"
_KEYED = re.compile(rf"(?<!\w)[\"']?scores?[\"']?\s*[:=]\s*\[\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\]", re.IGNORECASE)
_BARE = re.compile(rf"\[\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\]")
_SCORE = re.compile(r"(?<!\w)[\"']?scores?[\"']?\s*[:=]", re.IGNORECASE)


class Reading(NamedTuple):
    """What the strict policy reads out of a reply."""

    value: float | None
    reason: str


def strict(reply: str) -> Reading:
    """Read the two scores that the rubric asks for, each 0 to 10; the smaller is the value.

    One pair after `score` or `scores`, or one bare pair; broken quotes round it do not matter. Refused: one number or three, two different
    pairs, anything outside 0 to 10.

    >>> strict('{"score": [9, 3], "reasoning": "he said "hi" }"}').value, strict('{"score": 5}').value
    (3.0, None)
    """
    keyed = _KEYED.findall(reply)
    if len(keyed) < len(_SCORE.findall(reply)):
        return Reading(None, "gives something else than two scores")
    pairs = set(keyed or _BARE.findall(reply))
    if len(pairs) != 1:
        return Reading(None, "gives two different pairs of scores" if pairs else "gives no pair of scores")
    scores = [float(number) for number in pairs.pop()]
    if max(scores) > HIGH:
        return Reading(None, f"gives {max(scores):g}, outside 0 to 10")
    return Reading(min(scores), f"{scores[0]:g} and {scores[1]:g}")


# ---- the statistics


def type_means(values: Iterable[tuple[str, float]], types: Sequence[str] = TYPES) -> dict[str, float]:
    """Return the mean of each type; NaN for a type without a value, as in the official table.

    Args:
        values: (type, value) pairs; other types are left out.
        types: in order.
    """
    groups: dict[str, list[float]] = {name: [] for name in types}
    for name, value in values:
        if name in groups:
            groups[name].append(value)
    return {name: math.fsum(group) / len(group) if group else math.nan for name, group in groups.items()}


def average(means: Mapping[str, float]) -> float:
    """Return the unweighted mean over the types; one type without a value makes it NaN."""
    return math.fsum(means.values()) / len(means) if means and not any(map(math.isnan, means.values())) else math.nan


def statistics(rows: Iterable[Mapping[str, Any]], language: str) -> dict[str, dict[str, float]]:
    """Return the official tables of one language: means per type and their average, over all rows and over the intersection.

    Args:
        rows: `group`, `sementics_score`, `quality_score` (the official spelling), `intersection_exist`, `instruction_language`.
        language: `en` or `cn`.
    """
    own = [row for row in rows if row["instruction_language"] == language]
    parts = {
        "semantics": lambda row: row["sementics_score"],
        "quality": lambda row: row["quality_score"],
        "overall": lambda row: overall(row["sementics_score"], row["quality_score"]),
    }
    found: dict[str, dict[str, float]] = {}
    for suffix, chosen in (("", own), ("_intersection", [row for row in own if row["intersection_exist"]])):
        for name, of in parts.items():
            means = type_means((row["group"], of(row)) for row in chosen)
            found[f"{name}{suffix}"] = {**means, f"avg_{name}": average(means)}
    return found
