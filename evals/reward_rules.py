"""What an image is worth in reinforcement learning, as pure functions: GenEval's partial credit, read text, a judge's reply.

Source: ShareLab-SII/UniAR, RL rewards. `official` credit is the published code's to the letter; `strict` mends it. Leaves finding
objects, reading text and asking judges to the roles, and outcomes to `evals.rewards`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from evals.scorers import geneval_rules
from evals.scorers.text_rules import edit_distance

POLICIES = ("official", "strict")
ASPECTS = {"Alignment Score": 0.4, "Coherence Score": 0.4, "Style Score": 0.2}
"""Name in the reply -> weight; scores are 1 to 5."""


class Credit(NamedTuple):
    """Partial credit of one image."""

    score: float
    """Mean over the requirements: 1 at best; `official` credit has no lower end."""
    correct: bool
    """Every count, colour and place is exactly as asked (`exclude` is not looked at)."""


def partial_credit(
    row: Mapping[str, Any], found: Sequence[Mapping[str, Any]], *, position_threshold: float = 0.1, policy: str = "official"
) -> Credit:
    """Credit of an image's detections against its GenEval row.

    A clause gives 1 - |wanted - found| / wanted for its count and, when the count is right, the same for its colour and then 1 or
    0 for its place; a colour or place that cannot be looked at gives one 0. `official`: a place that does not hold gives a 0 and
    a 1 all the same, and a count that is off by more than was wanted goes below 0. `strict`: it gives 0, and no requirement does.

    Args:
        row: GenEval's metadata.
        found: kept detections `{class, box, color}`.
        position_threshold: see `geneval_rules.relative_position`.
        policy: one of `POLICIES`.

    Raises:
        ValueError: the row asks for nothing.
    """
    official = policy == "official"
    terms: list[float] = []
    exact = True
    groups: list[list[Mapping[str, Any]] | None] = []

    def near(wanted: int, count: int) -> float:
        term = 1 - abs(wanted - count) / wanted
        return term if official else max(term, 0.0)

    for clause in row["include"]:
        group = [d for d in found if d["class"] == clause["class"]]
        wanted = clause["count"]
        terms.append(near(wanted, len(group)))
        good = len(group) == wanted
        if not good and ("color" in clause or "position" in clause):
            terms.append(0.0)
        elif good and "color" in clause:
            right = sum(d["color"] == clause["color"] for d in group)
            terms.append(near(wanted, right))
            good = right == wanted
        if good and "position" in clause:
            relation, index = clause["position"]
            target = groups[index]
            good = target is not None and all(
                relation in geneval_rules.relative_position(d["box"], other["box"], position_threshold=position_threshold)
                for d in group
                for other in target
            )
            if not good:
                terms.append(0.0)
            if good or (official and target is not None):
                terms.append(1.0)
        groups.append(group if good else None)
        exact = exact and good
    if not terms:
        raise ValueError("include: got no clause; expected at least one")
    return Credit(sum(terms) / len(terms), exact)


def wanted_text(prompt: str) -> str:
    """What stands in double quotes, over lines too, joined by spaces; empty when nothing does.

    >>> wanted_text('a sign "Open" over "24 h"')
    'Open 24 h'
    """
    return " ".join(re.findall(r'"([^"]*)"', prompt))


def join_lines(lines: Iterable[str | Sequence[Any]]) -> str:
    """Lines that an OCR engine read, joined without a separator; a (text, confidence, ...) counts when its confidence is above 0."""
    pairs = ((line, 1.0) if isinstance(line, str) else line[:2] for line in lines)
    return "".join(text for text, confidence in pairs if confidence > 0)


def ocr_reward(wanted: str, recognized: str) -> float:
    """1 - min(edit distance, n) / n on lower-cased text without spaces, n the length of what is wanted; 0 when that is nothing.

    >>> ocr_reward("Open", "Open24")
    0.5
    """
    want, got = (text.replace(" ", "").lower() for text in (wanted, recognized))
    return 1 - min(edit_distance(want, got), len(want)) / len(want) if want else 0.0


def extract_score(text: str) -> float:
    """The number of a text, held within 1 to 5; 0 when there is none.

    >>> extract_score(" 4/5"), extract_score("9"), extract_score("five")
    (4.0, 5.0, 0.0)
    """
    try:
        number = float(text.strip())
    except ValueError:
        match = re.search(r"\d+\.?\d*", text)
        if match is None:
            return 0.0
        number = float(match.group())
    # max() and min() would take the bound for a NaN.
    return 1.0 if number < 1 else 5.0 if number > 5 else number


def read_reply(reply: str) -> dict[str, float]:
    """Scores by aspect, 0 where a reply has none; one line sets one aspect, later lines win, the number follows the first colon."""
    scores = dict.fromkeys(ASPECTS, 0.0)
    for line in reply.split("\n"):
        name = next((aspect for aspect in ASPECTS if aspect in line), None)
        if name is not None:
            _, colon, rest = line.partition(":")
            scores[name] = extract_score(rest) if colon else 0.0
    return scores


def unified_reward(scores: Mapping[str, float]) -> float:
    """Weighted mean of the three scores as a share of 5; a missing one is 0, as published."""
    return sum(weight * scores[name] for name, weight in ASPECTS.items()) / 5
