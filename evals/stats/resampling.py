"""Cluster bootstrap: prompts drawn again with replacement inside each stratum, all outputs of a prompt together.

Source: Davison & Hinkley 1997, sections 2.4 and 3.8. In the paired form one draw takes the same prompts of both runs, so that
what is hard for both does not blur the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from evals.stats.sums import Pair, Statistic

if TYPE_CHECKING:
    import numpy as np

DRAWS = 2_000
_CELLS = 4_000_000
"""Draws times prompts that are held at once."""


class Drawn(NamedTuple):
    """What resampling tells."""

    error: float
    """Standard error."""
    low: float
    high: float


def draws(parts: Sequence[np.ndarray], statistic: Statistic, *, rng: np.random.Generator, count: int = DRAWS) -> np.ndarray:
    """Return the values of a run whose prompts were drawn again, float64 (count,)."""
    return _drawn([parts], statistic, rng=rng, count=count)[0]


def paired_draws(pair: Pair, *, rng: np.random.Generator, count: int = DRAWS) -> np.ndarray:
    """Return the differences of two runs whose shared prompts were drawn again, float64 (count,)."""
    first, second = _drawn([pair.first, pair.second], pair.statistic, rng=rng, count=count)
    return second - first


def summary(values: np.ndarray, *, level: float = 0.95) -> Drawn | None:
    """Return standard error and percentile interval of draws; None when fewer than half of them have a value."""
    import numpy as np

    known = values[np.isfinite(values)]
    if len(known) < max(2, len(values) // 2):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Drawn(float(known.std(ddof=1)), float(low), float(high))


def _drawn(runs: Sequence[Sequence[np.ndarray]], statistic: Statistic, *, rng: np.random.Generator, count: int) -> list[np.ndarray]:
    import numpy as np

    drawn: list[list[np.ndarray]] = [[] for _ in runs]
    for stratum, rows in enumerate(runs[0]):
        often = np.full(len(rows), 1 / len(rows))
        step = max(1, _CELLS // len(rows))
        parts: list[list[np.ndarray]] = [[] for _ in runs]
        for start in range(0, count, step):
            # How often each prompt is drawn: the same numbers for every run.
            times = rng.multinomial(len(rows), often, size=min(step, count - start)).astype(np.float64)
            for at, run in enumerate(runs):
                parts[at].append(times @ run[stratum])
        for at, own in enumerate(parts):
            drawn[at].append(np.concatenate(own))
    with np.errstate(divide="ignore", invalid="ignore"):
        return [np.asarray(statistic(own)) for own in drawn]
