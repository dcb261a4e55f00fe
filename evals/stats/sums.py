"""Prompts as rows of sums, and numbers as functions of their totals: the form that every test here takes.

The outputs of one prompt share its difficulty, so a prompt is one cluster and only sums over it matter. A stratum is a part
of the set whose size is fixed (a task of a mean over tasks): prompts are drawn inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Statistic = Callable[[Sequence["np.ndarray"]], "np.ndarray"]
"""Totals of each stratum, float64 (..., K) -> values, float64 (...). Doubling all of a stratum's totals changes nothing."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs over the same prompts."""

    first: tuple[np.ndarray, ...]
    """For each stratum float64 (prompts, K): what the outputs of each prompt sum up to."""
    second: tuple[np.ndarray, ...]
    """The same prompts in the same order."""
    statistic: Statistic

    @property
    def sizes(self) -> tuple[int, ...]:
        """Prompts of each stratum."""
        return tuple(len(part) for part in self.first)

    @property
    def prompts(self) -> int:
        """Prompts of all strata."""
        return sum(self.sizes)


def totals(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the totals of each stratum, float64 (K,)."""
    return [part.sum(axis=0) for part in parts]


def value(parts: Sequence[np.ndarray], statistic: Statistic) -> float:
    """Return the statistic of all prompts."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return float(statistic(totals(parts)))


def delta(pair: Pair) -> float:
    """Return the second run's value minus the first's."""
    return value(pair.second, pair.statistic) - value(pair.first, pair.statistic)


def mean_of(clusters: Sequence[Sequence[float]]) -> np.ndarray:
    """Return prompts as rows (sum, count), float64 (prompts, 2), for `pooled` and `macro`."""
    import numpy as np

    return np.array([[float(np.sum(own)), float(len(own))] for own in clusters], dtype=np.float64)


def pooled(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Statistic: the mean over all outputs of the first stratum."""
    return parts[0][..., 0] / parts[0][..., 1]


def macro(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Statistic: the unweighted mean of the strata's means."""
    return sum(part[..., 0] / part[..., 1] for part in parts) / len(parts)  # type: ignore[return-value]
