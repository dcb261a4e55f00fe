"""McNemar's exact test for verdicts: of the pairs that differ, is one side right more often than a coin would be?

Source: McNemar 1947; exact conditional form: the larger count against Binomial(b + c, 1/2). It takes every pair as independent,
so it holds for one output a prompt only.
"""

from __future__ import annotations

from evals.stats.distributions import binomial_tail


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p value.

    Args:
        gained: pairs that only the second run has right.
        lost: pairs that only the first run has right.

    >>> mcnemar(1, 5)
    0.21875
    """
    return min(1.0, 2.0 * binomial_tail(max(gained, lost), gained + lost))
