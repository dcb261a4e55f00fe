"""Right, wrong or undecided: what a rule says of one answer.

An undecided answer goes to a judge or stays a typed outcome; it is never guessed, and never counted as wrong unless a protocol
(`exact_matching` of VLMEvalKit) says so by name.
"""

from __future__ import annotations

from enum import Enum


class Verdict(str, Enum):
    """What a rule says of one answer, or of one group of answers."""

    RIGHT = "right"
    WRONG = "wrong"
    UNDECIDED = "undecided"

    @property
    def credit(self) -> float | None:
        """1 or 0; None while undecided.

        >>> Verdict.RIGHT.credit, Verdict.UNDECIDED.credit
        (1.0, None)
        """
        return None if self is Verdict.UNDECIDED else float(self is Verdict.RIGHT)

    @property
    def exact(self) -> float:
        """Credit under exact matching, the protocol in which an undecided answer is wrong."""
        return self.credit or 0.0


def verdict(answer: str | None, gold: str) -> Verdict:
    """Compare an extracted answer, None if nothing could be extracted, with the key.

    >>> verdict(None, "A").value, verdict("Z", "A").value
    ('undecided', 'wrong')
    """
    if answer is None:
        return Verdict.UNDECIDED
    return Verdict.RIGHT if answer == gold else Verdict.WRONG
