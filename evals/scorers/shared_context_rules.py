"""Answers of four witnesses to questions about an image that was asked for, and where the witnesses part.

A: the model, in the context in which it wrote the image. B: the model, shown the image decoded and encoded again. C: a detector
on the decoded image. D: what the prompt meant. The questions are those of `evals.datasets.shared_questions`. Ours: nobody has
published this measurement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evals.scorers.geneval_rules import relative_position
from evals.vocabulary import COLORS

if TYPE_CHECKING:
    from evals.protocols import Detection

PAIRS = ("ab", "ac", "bc", "ad", "bd", "cd")
"""Which two witnesses are compared."""
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(number) for number, word in enumerate(_WORDS)}


def read_answer(kind: str, text: str) -> str | None:
    """Return a free answer in the form of its kind, None when it is undecided.

    >>> read_answer("presence", "Yes, there is."), read_answer("count", "Three."), read_answer("color", "It is dark red")
    ('yes', '3', 'red')
    >>> read_answer("presence", "yes and no"), read_answer("color", "red or blue"), read_answer("count", "many")
    (None, None, None)
    """
    words = re.findall(r"[a-z]+|\d+", text.lower())
    if kind in ("presence", "position"):
        found = {word for word in words if word in ("yes", "no")}
    elif kind == "count":
        found = {str(int(_NUMBERS.get(word, word))) for word in words if word in _NUMBERS or word.isdigit()}
    else:
        found = {word for word in words if word in COLORS}
    return found.pop() if len(found) == 1 else None


def detector_answer(question: Mapping[str, Any], seen: Mapping[str, Sequence[Detection]], counted: Mapping[str, int]) -> str | None:
    """Return what a detector says, None when it cannot tell (the thing asked about is not there, or has no colour).

    Args:
        question: `kind`, `class`, and `color` or `relation` with `other`.
        seen: class -> detections over the benchmark's threshold, most confident first, colours filled in.
        counted: class -> number over the stricter threshold that GenEval counts with.
    """
    kind, found = question["kind"], seen.get(question["class"], ())
    if kind == "presence":
        color = question.get("color")
        return "yes" if any(color is None or d.color == color for d in found) else "no"
    if kind == "count":
        return str(counted.get(question["class"], 0))
    if not found:
        return None
    if kind == "color":
        return found[0].color
    others = seen.get(question["other"], ())
    if not others:
        return None
    return "yes" if question["relation"] in relative_position(found[0].box, others[0].box) else "no"


def agreements(kinds: Sequence[str], answers: Mapping[str, Sequence[str | None]]) -> dict[str, float]:
    """Return the share of questions on which each pair of witnesses agrees, over all and by kind.

    Args:
        kinds: of the questions.
        answers: `a`, `b`, `c`, `d` -> one answer a question. None of A and B is undecided: an answer that agrees with none.
            None of C and D is no answer: the question is left out of their pairs.

    Returns:
        `ab`, ... and `ab/presence`, ...; a pair without a question is absent. `undecided_a`, `undecided_b`: shares.
    """
    out: dict[str, float] = {}
    for pair in PAIRS:
        hits: dict[str, list[float]] = {}
        for kind, first, second in zip(kinds, answers[pair[0]], answers[pair[1]], strict=True):
            if any(witness in "cd" and answer is None for witness, answer in zip(pair, (first, second), strict=True)):
                continue
            agrees = float(first is not None and first == second)
            hits.setdefault("", []).append(agrees)
            hits.setdefault(kind, []).append(agrees)
        out |= {f"{pair}/{kind}" if kind else pair: sum(own) / len(own) for kind, own in hits.items()}
    for witness in "ab":
        own = answers[witness]
        if own:
            out[f"undecided_{witness}"] = sum(answer is None for answer in own) / len(own)
    return out
