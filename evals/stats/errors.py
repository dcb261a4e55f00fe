"""Analytic standard errors over prompts: what each prompt moves the value by, added up.

The linearised form of a function of sums (infinitesimal jackknife; Efron 1982, ch. 6; for clusters the sandwich of Liang &
Zeger 1986) with the correction n / (n - 1) in each stratum, degrees of freedom by Satterthwaite 1946. For a mean with one output a
prompt this is the textbook standard error, and for a paired mean that of the paired t test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from evals.stats.distributions import t_quantile
from evals.stats.sums import Pair, Statistic, delta, totals, value

if TYPE_CHECKING:
    import numpy as np

_STEP = 1e-6


class Spread(NamedTuple):
    """A value, how far it is uncertain, and how well that is known."""

    value: float
    error: float
    """Standard error."""
    df: float
    """Degrees of freedom of the error."""

    def bound(self, level: float) -> float:
        """Return the end below which the truth lies with this confidence (`level` under 0.5: above which)."""
        return self.value + t_quantile(level, self.df) * self.error

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided interval."""
        return self.bound((1 - level) / 2), self.bound((1 + level) / 2)


def spread(parts: Sequence[np.ndarray], statistic: Statistic) -> Spread | None:
    """Return a run's value with its standard error over prompts.

    Args:
        parts: for each stratum float64 (prompts, K).
        statistic: of the totals.

    Returns:
        None when a stratum has one prompt, which tells nothing of the spread, or the value is not finite.
    """
    return _spread(value(parts, statistic), influence(parts, statistic))


def paired_spread(pair: Pair, *, span: float = 0.0) -> Spread | None:
    """Return the difference of two runs with its standard error over shared prompts.

    Args:
        pair: the runs.
        span: the most by which one prompt can differ. Two prompts that differ by all of it, one each way, are added to the
            variance (Bonett & Price 2012, whose interval this is for one output a prompt), so that few differing prompts, or
            none, never claim certainty. 0 adds nothing.

    Returns:
        As `spread`.
    """
    found = _spread(delta(pair), influences(pair))
    if found is None or not span:
        return found
    return found._replace(error=math.sqrt(with_added(found.error**2, pair.sizes, span)))


def influence(parts: Sequence[np.ndarray], statistic: Statistic) -> list[np.ndarray]:
    """Return for each stratum what each prompt moves the value by, float64 (prompts,); each sums to about 0."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        return [rows @ slope for rows, slope in zip(parts, slopes(parts, statistic), strict=True)]


def influences(pair: Pair) -> list[np.ndarray]:
    """Return for each stratum what each prompt moves the difference of two runs by, float64 (prompts,)."""
    first, second = (influence(parts, pair.statistic) for parts in (pair.first, pair.second))
    return [b - a for a, b in zip(first, second, strict=True)]


def variance_per_prompt(pair: Pair, *, span: float = 0.0) -> float | None:
    """Return the variance of the difference times the number of prompts: what `power` scales to other numbers of prompts."""
    found = paired_spread(pair, span=span)
    return None if found is None else found.error**2 * pair.prompts


def slopes(parts: Sequence[np.ndarray], statistic: Statistic) -> list[np.ndarray]:
    """Return for each stratum by how much the value moves with each total, float64 (K,), by central differences."""
    import numpy as np

    at, found = totals(parts), []
    with np.errstate(divide="ignore", invalid="ignore"):
        for stratum, total in enumerate(at):
            slope = np.zeros(len(total))
            for column in range(len(total)):
                # Relative to the stratum's largest total: a column that is all zero still has a slope.
                step = _STEP * max(1e-9, float(np.abs(total).max()))
                ends = []
                for sign in (1.0, -1.0):
                    moved = list(at)
                    moved[stratum] = total + sign * step * np.eye(len(total))[column]
                    ends.append(float(statistic(moved)))
                slope[column] = (ends[0] - ends[1]) / (2 * step)
            found.append(slope)
    return found


def within(strata: Sequence[Sequence[Sequence[float]]], by: Sequence[float]) -> float | None:
    """Return the part of a value's variance that comes from the draws: what more outputs a prompt would lower.

    Args:
        strata: for each stratum and prompt the outputs' values, or their paired differences.
        by: by how much the value moves with the total of each stratum.

    Returns:
        None when a prompt has fewer than two outputs, which do not tell it.
    """
    import numpy as np

    if any(len(own) < 2 for prompts in strata for own in prompts):
        return None
    parts = [slope**2 * len(own) * float(np.var(own, ddof=1)) for prompts, slope in zip(strata, by, strict=True) for own in prompts]
    return math.fsum(parts)


def with_added(variance: float, sizes: Sequence[int], span: float) -> float:
    """Return a difference's variance with the two prompts added that differ by `span` (see `paired_spread`)."""
    whole = sum(sizes)
    return (variance + 2.0 * (span * _weight(sizes)) ** 2) * (whole / (whole + 2)) ** 2


def _spread(middle: float, moved: Sequence[np.ndarray]) -> Spread | None:
    import numpy as np

    if any(len(own) < 2 for own in moved) or not math.isfinite(middle):
        return None
    parts = [len(own) / (len(own) - 1) * float(np.square(own - own.mean()).sum()) for own in moved]
    whole = math.fsum(parts)
    if not math.isfinite(whole):
        return None
    if whole <= 0.0:
        return Spread(middle, 0.0, float(sum(len(own) - 1 for own in moved)))
    return Spread(middle, math.sqrt(whole), whole**2 / math.fsum(part**2 / (len(own) - 1) for part, own in zip(parts, moved, strict=True)))


def _weight(sizes: Sequence[int]) -> float:
    # By how much one prompt moves a mean of equally weighted strata, in the root mean square over prompts.
    whole = sum(sizes)
    return math.sqrt(sum(1.0 / (len(sizes) ** 2 * size) for size in sizes) / whole)
