"""What several tries are worth: pass@k, and the expected best of k.

Source: pass@k, Chen et al. 2021 (arXiv 2107.03374), eq. 1: of n tries c are right, and 1 - C(n - c, k) / C(n, k) of the subsets of k
hold a right one; the plain estimate 1 - (1 - c/n)^k is biased. Best of k is the same average over subsets for graded values: in
ascending order the i-th value is the highest of a subset in C(i - 1, k - 1) of C(n, k) cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased chance that k tries hold a right one.

    Args:
        n: tries of one prompt.
        c: right ones among them.
        k: at most `n`.

    >>> pass_at_k(4, 1, 2)
    0.5

    Raises:
        ValueError: k is outside 1 to n, or c outside 0 to n.
    """
    if not 1 <= k <= n or not 0 <= c <= n:
        raise ValueError(f"got n {n}, c {c}, k {k}; expected 1 <= k <= n and 0 <= c <= n")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def best_of_k(values: Sequence[float], k: int) -> float:
    """Return the expected highest of k of the values, over all subsets; for 0 and 1 it is `pass_at_k`.

    >>> best_of_k([0.0, 1.0, 4.0], 2)
    3.0

    Raises:
        ValueError: k is outside 1 to the number of values.
    """
    n = len(values)
    if not 1 <= k <= n:
        raise ValueError(f"got k {k} of {n} values; expected 1 <= k <= n")
    whole = math.comb(n, k)
    return math.fsum(value * math.comb(rank, k - 1) / whole for rank, value in enumerate(sorted(values)))
