"""OneIG-Bench alignment as pure functions: which answers count, and what an unmet condition takes away.

Source: OneIG-Benchmark 41b4983, `scripts/alignment/alignment_score.py`. An answer counts when it is exactly "Yes". A question is
zeroed when any question that it depends on was answered otherwise, by its own answer alone: a zeroed parent whose own answer was Yes
zeroes nothing, so the order of the questions does not matter. A parent that is not asked is passed over. Strict: Yes in any case and
with a final mark counts, and an answer that is neither yes nor no leaves the image without a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NONE = 0
"""The parent of a question that depends on none."""

_MARKS = " \t\r\n.!,;:\"'*"


def read_exact(answer: str) -> bool:
    """Official: exactly `Yes`.

    >>> read_exact("Yes"), read_exact("yes"), read_exact("Yes.")
    (True, False, False)
    """
    return answer == "Yes"


def read_word(answer: str) -> bool | None:
    """Strict: yes or no whatever its case and the marks around it; None is neither.

    >>> read_word("Yes."), read_word("NO"), read_word("Yes, it is")
    (True, False, None)
    """
    return {"yes": True, "no": False}.get(answer.strip(_MARKS).lower())


def image_score(yes: Mapping[str, bool], dependencies: Mapping[str, Sequence[int]]) -> float:
    """Mean over the questions of one image, each zeroed when a parent's own answer is not yes.

    Args:
        yes: question -> whether its answer counts; at least one.
        dependencies: question -> numbers of its parents, 0 for none.

    >>> image_score({"1": False, "2": True, "3": True}, {"1": [0], "2": [1], "3": [2]})
    0.3333333333333333
    """
    kept = [own and all(yes.get(str(p), True) for p in dependencies.get(number, ()) if p != NONE) for number, own in yes.items()]
    return sum(kept) / len(kept)


def prompt_score(images: Sequence[float]) -> float | None:
    """Mean over a prompt's images; None without one."""
    return sum(images) / len(images) if images else None
