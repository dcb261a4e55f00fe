"""95% intervals of means over prompts. The outputs of one prompt share its difficulty, so a prompt is one cluster.

- Plain case: percentile bootstrap over clusters (Efron & Tibshirani 1993, ch. 13; cluster form: Davison & Hinkley
  1997, section 3.8), `RESAMPLES` draws.
- When all clusters have the same mean (20 of 20 right) resampling shows no spread, and a zero-width interval would
  claim certainty that the data do not give. Then: Wilson's score interval (Wilson 1927) with the number of clusters
  as n, for values in [0, 1]. Outside [0, 1] there is no such rule and the interval is absent.
- A mean of task means where some task is of that second kind: the tasks' intervals are combined by MOVER (Zou &
  Donner 2008), which needs no resampling and always contains the value.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2_000
LEVEL = 0.95
Z = 1.959963984540054
"""Two-sided 95% point of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval and, when resampling shows a spread, the resampled means."""

    value: float
    low: float | None
    high: float | None
    draws: np.ndarray | None
    """float64 (RESAMPLES,), or None in the degenerate case."""


def generator(seed: int, name: str) -> np.random.Generator:
    """Return the generator of one metric: from the run's seed and the metric's name alone."""
    import numpy as np

    key = hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(key[:16], "big"))


def cluster_mean(clusters: Sequence[Sequence[float]], *, seed: int, name: str) -> Estimate:
    """Estimate the mean over all values of all clusters, with a 95% interval over clusters.

    Args:
        clusters: the values of each prompt; at least one cluster, none empty.
        seed: the run's seed.
        name: the metric's name; equal seed and name give equal draws.

    Returns:
        The estimate; `low <= value <= high` in the degenerate case, percentile bounds else.
    """
    import numpy as np

    sums = np.array([math.fsum(values) for values in clusters], dtype=np.float64)
    counts = np.array([len(values) for values in clusters], dtype=np.float64)
    value = math.fsum(sums) / float(counts.sum())
    means = sums / counts
    if float(means.max() - means.min()) <= 1e-12 * max(1.0, abs(value)):
        low, high = wilson(value, len(clusters)) if 0.0 <= value <= 1.0 else (None, None)
        return Estimate(value, low, high, None)
    index = generator(seed, name).integers(0, len(clusters), size=(RESAMPLES, len(clusters)))
    draws = sums[index].sum(axis=1) / counts[index].sum(axis=1)
    low, high = percentiles(draws)
    return Estimate(value, low, high, draws)


def mean_of_means(parts: Sequence[Estimate]) -> Estimate:
    """Combine independent estimates into their unweighted mean with a 95% interval.

    Args:
        parts: one estimate a task, at least one.
    """
    import numpy as np

    value = math.fsum(part.value for part in parts) / len(parts)
    drawn = [part.draws for part in parts if part.draws is not None]
    if len(drawn) == len(parts):
        draws = np.mean(np.stack(drawn), axis=0)
        low, high = percentiles(draws)
        return Estimate(value, low, high, draws)
    if any(part.low is None or part.high is None for part in parts):
        return Estimate(value, None, None, None)
    below = math.fsum((part.value - part.low) ** 2 for part in parts if part.low is not None)
    above = math.fsum((part.high - part.value) ** 2 for part in parts if part.high is not None)
    return Estimate(value, value - math.sqrt(below) / len(parts), value + math.sqrt(above) / len(parts), None)


def statistic_of_sums(sums: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], *, seed: int, name: str) -> Estimate:
    """Estimate a number that is a function of sums over the prompts (a ratio of sums, a weighted mean of means).

    Args:
        sums: float64 (clusters, K), the sums of each prompt's outputs; at least one row.
        statistic: float64 (..., K) totals -> (...) values; what it cannot tell for a draw is NaN and left out of the interval.
        seed: the run's seed.
        name: the metric's name; equal seed and name give equal draws.

    Returns:
        The value with its percentile interval; without an interval when resampling shows no spread or tells nothing.
    """
    import numpy as np

    sums = np.asarray(sums, dtype=np.float64)
    # Exact sums, so that the value does not depend on the order of the prompts.
    value = float(statistic(np.array([math.fsum(column) for column in sums.T])))
    index = generator(seed, name).integers(0, len(sums), size=(RESAMPLES, len(sums)))
    draws = np.asarray(statistic(np.stack([sums[row].sum(axis=0) for row in index])))
    known = draws[np.isfinite(draws)]
    if known.size < RESAMPLES // 2 or float(known.max() - known.min()) <= 1e-12 * max(1.0, abs(value)):
        return Estimate(value, None, None, None)
    low, high = percentiles(known)
    return Estimate(value, low, high, draws)


def percentiles(draws: np.ndarray) -> tuple[float, float]:
    """Return the 2.5% and 97.5% points of draws, float64 (R,)."""
    import numpy as np

    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95% score interval of a share in [0, 1] seen in `n` independent trials.

    >>> tuple(round(x, 4) for x in wilson(1.0, 20))
    (0.8389, 1.0)
    """
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return min(max(0.0, centre - half), share), max(min(1.0, centre + half), share)
