"""Relaxed accuracy of ChartQA: a number may be off by 5%, anything else must be equal but for case.

Commas are not removed, and a target of 0 is compared as text, as published. Sources: lmms-eval 75571cf `chartqa/utils.py`;
VLMEvalKit e8e78f0 `vqa_eval.py`.
"""

from __future__ import annotations

import ast

TOLERANCE = 0.05


def relaxed_correctness(prediction: str, target: str, *, tolerance: float = TOLERANCE) -> bool:
    """Return whether a prediction is right.

    >>> relaxed_correctness("14.7", "14"), relaxed_correctness("14.71", "14"), relaxed_correctness("50%", "0.5")
    (True, False, True)
    >>> relaxed_correctness("0.0", "0"), relaxed_correctness("1000", "1,000")
    (False, False)
    """
    ours, wanted = _number(prediction), _number(target)
    if ours is not None and wanted:
        return abs(ours - wanted) / abs(wanted) <= tolerance
    return prediction.lower() == target.lower()


def relaxed_line(prediction: str, answer: str) -> bool:
    """VLMEvalKit's form: the prediction is stripped, and an answer that is a list literal holds several targets.

    >>> relaxed_line(" 2 ", "[1, 2]")
    True
    """
    return any(relaxed_correctness(prediction.strip(), target) for target in targets_of(answer))


def targets_of(answer: str) -> list[str]:
    """Return the targets that an answer names: the items of a list literal, else the answer itself."""
    # Only what looks like a list is parsed: Python warns of other texts, such as "12.0the".
    if not str(answer).lstrip(" \t").startswith("["):
        return [str(answer)]
    try:
        found = ast.literal_eval(str(answer))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return [str(answer)]
    return [str(item) for item in found] if isinstance(found, list) else [str(answer)]


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None
