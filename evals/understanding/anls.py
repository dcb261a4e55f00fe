"""Average normalised Levenshtein similarity of DocVQA and InfoVQA.

Distances compare lower-cased texts with blanks collapsed, but are divided by the length of the raw ones, as published. Sources:
lmms-eval 75571cf `api/metrics.py`; VLMEvalKit e8e78f0 `anls_compute`. Both take the lengths of the upper-cased texts, which
differ from the raw ones for a few letters only.
"""

from __future__ import annotations

from collections.abc import Sequence

from evals.scorers.text_rules import edit_distance

THRESHOLD = 0.5


def normalized_distance(prediction: str, answer: str) -> float:
    """Return the distance over the longer raw length, 0 to about 1; 0 for two empty texts.

    >>> round(normalized_distance("itc limited.", "ITC Limited"), 4)
    0.0833
    """
    length = max(len(answer.upper()), len(prediction.upper()))
    if length == 0:
        return 0.0
    return edit_distance(" ".join(answer.lower().split()), " ".join(prediction.lower().split())) / length


def anls(prediction: str, answers: Sequence[str], *, threshold: float = THRESHOLD) -> float:
    """Return one minus the smallest distance to an answer, 0 when that is below the threshold.

    >>> anls("abcxyz", ["abcdef"]), anls("no", ["yes"])
    (0.5, 0.0)
    """
    similarity = 1.0 - min(normalized_distance(prediction, answer) for answer in answers)
    return similarity if similarity >= threshold else 0.0
