"""Two runs' outputs side by side: which are pairs, who won each, and the sums that the tests take.

A pair is one sample and one repeat that both have scored; with equal seeds it is the same draw. What only one of them has scored
is counted under the other's outcome and never as a zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals import ranks
from evals.analysis.verdicts import Key, Verdicts
from evals.metrics.aggregate import Row
from evals.stats import errors
from evals.stats.sums import Pair

if TYPE_CHECKING:
    import numpy as np

POOLED = ranks.Recipe(lambda row: (row.value or 0.0, 1.0), False, lambda totals: totals[0][..., 0] / totals[0][..., 1])
"""The mean over outputs: of a task, and of the whole where the headline is no function of sums."""
ENOUGH = 10
"""Differing prompts that tell by how much prompts differ."""
WON, LOST, TIED, UNPAIRED = "won", "lost", "tied", "unpaired"


@dataclass(frozen=True, slots=True)
class Matched:
    """Outputs that both have scored, in plan order."""

    keys: tuple[Key, ...]
    first: tuple[Row, ...]
    second: tuple[Row, ...]
    unpaired: dict[str, int]
    """Why the others are no pairs, counted: `first: refused`, `second: missing`."""

    def of_task(self, task: str) -> Matched:
        """Return one task's pairs; what is unpaired is not told apart here."""
        kept = [at for at, row in enumerate(self.first) if row.task == task]
        keys, first, second = (tuple(rows[at] for at in kept) for rows in (self.keys, self.first, self.second))
        return Matched(keys, first, second, {})

    def apart(self) -> list[float]:
        """Return second minus first of each pair."""
        return [b.value - a.value for a, b in zip(self.first, self.second, strict=True)]  # type: ignore[operator]

    def results(self, better: int) -> list[str]:
        """Return `won`, `lost` or `tied` of each pair, from the second's side."""
        return [result(difference, better) for difference in self.apart()]

    def counts(self, better: int) -> dict[str, int]:
        """Return how many pairs the second won, lost and tied."""
        counts = Counter(self.results(better))
        return {name: counts[name] for name in (WON, LOST, TIED)}

    def within(self, recipe: ranks.Recipe) -> float | None:
        """Return the part of the difference's variance that comes from the draws; None where that is not known."""
        if recipe.values:
            return None
        return drawn(self.first, self.apart(), recipe)

    def pair(self, recipe: ranks.Recipe) -> Pair:
        """Return the sums over prompts; of at least one pair."""
        keys, first = ranks.add_up(self.first, recipe)
        same, second = ranks.add_up(self.second, recipe)
        assert keys == same
        return Pair(_floats(first), _floats(second), recipe.statistic)


def drawn(rows: Sequence[Row], values: Sequence[float], recipe: ranks.Recipe) -> float | None:
    """Return the part of a headline's variance that comes from the draws.

    Args:
        rows: where each value belongs.
        values: of each row: its own, or a difference.
        recipe: a mean of values.
    """
    groups: dict[str, dict[str, list[float]]] = {}
    for row, number in zip(rows, values, strict=True):
        groups.setdefault(row.task if recipe.strata else "*", {}).setdefault(row.prompt, []).append(number)
    _, parts = ranks.add_up(rows, recipe)
    by = [float(slope[0]) for slope in errors.slopes(_floats(parts), recipe.statistic)]
    return errors.within([list(prompts.values()) for prompts in groups.values()], by)


def match(first: Verdicts, second: Verdicts) -> Matched:
    """Return the pairs of two that measure the same thing."""
    keys, a, b, lost = [], [], [], Counter()
    for key in dict.fromkeys((*first.table, *second.table)):
        one, other = first.table.get(key), second.table.get(key)
        if one is not None and other is not None and one.value is not None and other.value is not None:
            keys.append(key)
            a.append(one)
            b.append(other)
        else:
            lost[why(one, other)] += 1
    return Matched(tuple(keys), tuple(a), tuple(b), dict(lost))


def why(first: Row | None, second: Row | None) -> str:
    """Return why two rows are no pair."""
    told = []
    for name, row in (("first", first), ("second", second)):
        if row is None or row.value is None:
            told.append(f"{name}: {'not planned' if row is None else row.outcome.value}")
    return ", ".join(told)


def result(difference: float, better: int) -> str:
    """Return `won`, `lost` or `tied` of one pair, from the second's side; what differs by rounding alone is tied."""
    if abs(difference) <= 1e-9:
        return TIED
    return WON if difference * better > 0 else LOST


def lost_scores(first: Verdicts, second: Verdicts) -> dict[Key, Row]:
    """Return the first's rows that have a value where the second has none: what a gap could hide."""
    gone = {}
    for key, row in first.table.items():
        other = second.table.get(key)
        if row.value is not None and (other is None or other.value is None):
            gone[key] = row
    return gone


def inside(first: Verdicts, matched: Matched) -> bool:
    """Return whether all values keep to the suite's scale."""
    low, high = sorted(first.scale)
    return all(low <= row.value <= high for row in (*matched.first, *matched.second) if row.value is not None)


def span_of(first: Verdicts, matched: Matched) -> float:
    """Return the most by which one prompt can be taken to differ: the largest difference seen, once enough prompts differ.

    With fewer than `ENOUGH` it is the suite's whole scale, where values keep to it.
    """
    groups: dict[str, list[float]] = {}
    for row, difference in zip(matched.first, matched.apart(), strict=True):
        groups.setdefault(row.prompt, []).append(difference)
    seen = [abs(sum(own) / len(own)) for own in groups.values()]
    low, high = sorted(first.scale)
    if inside(first, matched) and sum(size > 1e-9 for size in seen) < ENOUGH:
        return high - low
    return max(seen, default=0.0)


def _floats(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    import numpy as np

    return tuple(np.asarray(part, dtype=np.float64) for part in parts)
