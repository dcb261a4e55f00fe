"""Quantiles and tails that the tests need, so that scipy stays a dependency of the tests only.

Normal: the standard library. Student's t: the regularised incomplete beta function by its continued fraction (NIST DLMF
8.17.22, evaluated by Lentz's method in Thompson & Barnett's form), the quantile by bisection. Binomial: exact sums.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
_TINY = 1e-300
_AS_NORMAL = 1e7
"""Degrees of freedom from which Student's t is the normal distribution to all digits that matter."""


def normal_cdf(x: float) -> float:
    """Return P(Z <= x)."""
    return _NORMAL.cdf(x)


def normal_quantile(p: float) -> float:
    """Return x with P(Z <= x) = p, 0 < p < 1.

    >>> round(normal_quantile(0.975), 6)
    1.959964
    """
    return _NORMAL.inv_cdf(p)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), a and b above 0, x in [0, 1]."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    # The fraction converges fast on this side; on the other one the symmetry I_x(a, b) = 1 - I_{1-x}(b, a) holds.
    if x > (a + 1) / (a + b + 2):
        return 1.0 - front * _fraction(b, a, 1.0 - x) / b
    return front * _fraction(a, b, x) / a


def t_cdf(x: float, df: float) -> float:
    """Return P(T <= x) of Student's t with `df` degrees of freedom (above 0, not necessarily whole)."""
    if df >= _AS_NORMAL:
        return normal_cdf(x)
    tail = 0.5 * incomplete_beta(df / 2, 0.5, df / (df + x * x))
    return 1.0 - tail if x > 0 else tail


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: float) -> float:
    """Return x with P(T <= x) = p, 0 < p < 1.

    >>> round(t_quantile(0.975, 10), 6)
    2.228139
    """
    if df >= _AS_NORMAL:
        return normal_quantile(p)
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 2.0
    while t_cdf(high, df) < p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def binomial_tail(k: int, n: int, p: float = 0.5) -> float:
    """Return P(X >= k) of X out of `n` draws with chance `p`, exact up to rounding.

    >>> binomial_tail(4, 4)
    0.0625
    """
    if k <= 0:
        return 1.0
    if p <= 0.0 or k > n:
        return 0.0
    if p >= 1.0:
        return 1.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p)
        for i in range(k, n + 1)
    ]
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, 10_000):
        for part in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + part * d
            c = 1.0 + part / c
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value
