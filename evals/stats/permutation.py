"""Sign-flip permutation test: if two runs are alike, then of each prompt it is chance which run gave which outputs.

Both runs' outputs of a prompt are swapped together, since they share its difficulty (Good 2005, section 3.2). Valid at any
number of prompts without an assumption on the values. The observed labelling counts as one draw, which makes the p value never 0
and never too small (Phipson & Smyth 2010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from evals.stats.sums import Pair, delta, totals

if TYPE_CHECKING:
    import numpy as np

DRAWS = 9_999
_CELLS = 4_000_000


class Tail(NamedTuple):
    """P values of the difference second - first when the runs are alike."""

    both: float
    """At least as far from 0."""
    lower: float
    """At least as low."""
    upper: float
    """At least as high."""


def label_swap(pair: Pair, *, rng: np.random.Generator, count: int = DRAWS) -> Tail | None:
    """Return the p values of the observed difference.

    Args:
        pair: the runs.
        rng: of the draws.
        count: draws; p values are multiples of 1 / (count + 1).

    Returns:
        None when the difference is not finite.
    """
    import numpy as np

    seen = delta(pair)
    if not np.isfinite(seen):
        return None
    first, second = totals(pair.first), totals(pair.second)
    swapped_first, swapped_second = [], []
    for stratum, (a, b) in enumerate(zip(pair.first, pair.second, strict=True)):
        apart = b - a
        # Prompts on which the runs are equal change nothing by being swapped.
        apart = apart[np.any(apart != 0.0, axis=1)]
        moved = np.zeros((count, a.shape[1]))
        step = max(1, _CELLS // max(1, len(apart)))
        for start in range(0, count, step):
            size = min(step, count - start)
            moved[start : start + size] = rng.integers(0, 2, size=(size, len(apart)), dtype=np.int8).astype(np.float64) @ apart
        swapped_first.append(first[stratum] + moved)
        swapped_second.append(second[stratum] - moved)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.asarray(pair.statistic(swapped_second)) - np.asarray(pair.statistic(swapped_first))
    # Sums in another order differ in the last digits; equal differences must count as equal.
    slack = 1e-9 * max(1e-3, abs(seen))
    found = np.where(np.isfinite(found), found, seen)
    return Tail(
        both=float(1 + (np.abs(found) >= abs(seen) - slack).sum()) / (count + 1),
        lower=float(1 + (found <= seen + slack).sum()) / (count + 1),
        upper=float(1 + (found >= seen - slack).sum()) / (count + 1),
    )
