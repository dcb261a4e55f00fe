"""One-sided questions with a margin: not worse by it (non-inferiority), better by it (superiority).

Source: the confidence-interval form of CPMP/EWP/482/99 and Wellek 2010, ch. 1: the claim holds at level alpha when the one-sided
1 - alpha bound lies beyond the margin. Differences are taken so that higher is better.
"""

from __future__ import annotations

from typing import NamedTuple

from evals.stats.distributions import t_cdf
from evals.stats.errors import Spread


class Claim(NamedTuple):
    """Whether a claim is shown, and what it rests on."""

    shown: bool
    bound: float
    """One-sided bound of the difference."""
    p: float
    """Of the opposite claim."""


def not_inferior(found: Spread, margin: float, *, alpha: float = 0.05) -> Claim:
    """Return whether the difference is above -margin.

    Args:
        found: second run minus first, higher is better.
        margin: the largest fall that is tolerated, at least 0.
        alpha: chance of the claim although the fall is as large as the margin.
    """
    return _above(found, -margin, alpha)


def superior(found: Spread, margin: float = 0.0, *, alpha: float = 0.05) -> Claim:
    """Return whether the difference is above the margin."""
    return _above(found, margin, alpha)


def unseen(prompts: int, *, alpha: float = 0.05) -> float:
    """Return the share of prompts of which more could not differ without one of `prompts` showing it, with 1 - alpha confidence.

    The exact form of the rule of three (Hanley & Lippman-Hand 1983).

    >>> round(unseen(100), 4)
    0.0295
    """
    return 1.0 - alpha ** (1.0 / prompts)


def _above(found: Spread, line: float, alpha: float) -> Claim:
    bound = found.bound(alpha)
    if found.error == 0.0:
        return Claim(found.value > line, bound, 0.0 if found.value > line else 1.0)
    p = 1.0 - t_cdf((found.value - line) / found.error, found.df)
    return Claim(bool(bound > line), bound, p)
