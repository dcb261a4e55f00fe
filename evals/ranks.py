"""Between which places a run may stand when its prompts are drawn again: bootstrap ranks.

All runs of a board are scored on the same prompts, so one draw takes the same prompts for each of them: what is hard for
all does not blur the order (paired cluster bootstrap; ranks as in Goldstein & Spiegelhalter 1996, section 5, and Mogstad
et al. 2024 for what they mean). Values without samples behind them are compared as if they were exact.

The headline is computed again in each draw from sums over prompts; a headline that no such sum gives back to the last
digits has no rank interval, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evals.metrics import aggregate
from evals.metrics.bootstrap import RESAMPLES, generator
from evals.store.reader import RunReader

if TYPE_CHECKING:
    import numpy as np

_CELLS = 4_000_000
"""Draws times prompts that are held at once."""


@dataclass(frozen=True, slots=True)
class Sums:
    """One run, ready to be drawn again."""

    prompts: tuple[tuple[str, ...], ...]
    """Keys of the prompts of each stratum; runs can be paired when these are equal."""
    sums: tuple[np.ndarray, ...]
    """For each stratum float64 (prompts, K): what the prompt's outputs sum up to."""
    statistic: Callable[[Sequence[np.ndarray]], np.ndarray]
    """Totals of each stratum, float64 (draws, K) -> values, float64 (draws,)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a headline follows from sums over prompts."""

    columns: Callable[[aggregate.Row], Sequence[float]]
    """What of a scored output is summed up."""
    strata: bool
    """Whether the tasks are summed apart."""
    statistic: Callable[[Sequence[np.ndarray]], np.ndarray]
    """As in `Sums`; totals may also be float64 (K,), the value then is one number."""
    values: tuple[str, ...] = ()
    """Named values that the columns need beside the averaged one."""
    weights: bool = False
    """Whether it needs the tasks' weights, `category_weight` of the samples."""


def sums_of(run: RunReader) -> Sums | str:
    """Return a run's sums, or one sentence that says why its headline cannot be drawn again."""

    report = (run.manifest.get("resolved_suite") or {}).get("report") or {}
    value, headline = report.get("value"), report.get("headline")
    known = (run.results.get("headline") or {}).get("value")
    repeats = ((run.manifest.get("resolved_suite") or {}).get("generate") or {}).get("repeats", 1)
    scores = run.scores(run.results["scorer"]) if run.results.get("scorer") else []
    if known is None or not any(value in score.values for score in scores):
        return "the headline is no mean of scores of single samples"
    table = aggregate.rows(run.samples(), repeats, scores, value)
    recipe = recipe_of(table, headline=str(headline), value=str(value), known=known)
    if recipe is None:
        return f'the headline "{headline}" cannot be computed again from sums over prompts'
    prompts, sums = add_up(table, recipe)
    return Sums(prompts, sums, recipe.statistic)


def recipe_of(table: Sequence[aggregate.Row], *, headline: str, value: str, known: float) -> Recipe | None:
    """Return how a run's headline follows from sums over its prompts, None when no known way gives it back.

    Args:
        table: one row a planned output.
        headline: name of the metric plugin.
        value: name of the averaged value.
        known: the run's headline.
    """
    import numpy as np

    equal = len({row.value for row in table if row.value is not None}) < 2
    for recipe in _recipes(headline, value, table):
        if equal and not (headline in _MEANS or recipe.values or recipe.weights):
            # All means of equal values are that value: it says nothing of what an unknown headline is.
            continue
        _, sums = add_up(table, recipe)
        with np.errstate(divide="ignore", invalid="ignore"):
            again = float(recipe.statistic([part.sum(axis=0, keepdims=True) for part in sums])[0])
        if math.isclose(again, known, rel_tol=1e-9, abs_tol=1e-9):
            return recipe
    return None


def rank_intervals(
    runs: Sequence[Sums | None], values: Sequence[float], *, seed: int = 0, name: str = "ranks", higher: bool = True
) -> list[tuple[int, int] | None]:
    """Return the 95% interval of each place, 1 the best; equal values share the better place.

    Args:
        runs: None for a value without samples behind it. All others have equal prompts.
        values: what each has; of runs only its draws are used.
        seed: of the draws.
        name: of the draws, as for `evals.metrics.bootstrap`.
        higher: whether the higher value is the better one.

    Returns:
        None for a value without samples, and for a run whose draws do not differ while others' could: when all its prompts are
        equal, drawing them again says nothing.

    Raises:
        ValueError: the runs have different prompts.
    """
    import numpy as np

    own = [index for index, run in enumerate(runs) if run is not None]
    if len({runs[index].prompts for index in own}) > 1:  # type: ignore[union-attr]
        raise ValueError("got runs with different prompts; expected the same, since each draw takes the same prompts for all")
    if not own:
        return [None] * len(runs)
    table = np.tile(np.asarray(values, dtype=np.float64), (RESAMPLES, 1))
    table[:, own] = np.stack(_draw([runs[index] for index in own], seed=seed, name=name), axis=1)  # type: ignore[misc]
    table = table[np.isfinite(table).all(axis=1)]
    if len(table) < RESAMPLES // 2:
        return [None] * len(runs)
    table = table if higher else -table
    found: list[tuple[int, int] | None] = [None] * len(runs)
    for index in own:
        mine = table[:, [index]]
        if float(np.ptp(mine)) <= 1e-12:
            continue
        places = 1 + (table > mine + 1e-12).sum(axis=1)
        low, high = np.quantile(places, [0.025, 0.975], method="inverted_cdf")
        found[index] = (int(low), int(high))
    return found


def _draw(runs: Sequence[Sums], *, seed: int, name: str) -> list[np.ndarray]:
    import numpy as np

    rng = generator(seed, name)
    totals: list[list[list[np.ndarray]]] = [[[] for _ in run.sums] for run in runs]
    for stratum, keys in enumerate(runs[0].prompts):
        step = max(1, _CELLS // max(1, len(keys)))
        for start in range(0, RESAMPLES, step):
            size = min(step, RESAMPLES - start)
            # How often each prompt is drawn: the same numbers for every run.
            often = rng.multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=size).astype(np.float64)
            for at, run in enumerate(runs):
                totals[at][stratum].append(often @ run.sums[stratum])
    with np.errstate(divide="ignore", invalid="ignore"):
        return [run.statistic([np.concatenate(part) for part in totals[at]]) for at, run in enumerate(runs)]


_MEANS = frozenset(
    {"macro_over_tasks", "mean", "dpg_overall", "gedit_average", "imgedit_item_mean", "imgedit_type_mean", "oneig_alignment"}
)
"""Headlines that are means of values, of all or of tasks."""
_ONEIG = ("distance", "exact", "matched", "total", "limit")


def _recipes(headline: str, value: str, table: Sequence[aggregate.Row]) -> list[Recipe]:
    """What may give the headline back; the first that does counts."""
    weights: dict[str, Any] = {row.task: row.metadata.get("category_weight") for row in table}
    if headline == "longtext_score":
        names = ("matched_strict" if value == "strict" else "matched", "total")
        return [Recipe(lambda row: [row.values.get(name, math.nan) for name in names], False, _ratio, names)]
    if headline == "oneig_text_score":
        return [Recipe(lambda row: (*(row.values.get(name, math.nan) for name in _ONEIG), 1.0), False, _oneig, _ONEIG)]
    if headline == "wise_overall" and all(isinstance(weight, int | float) for weight in weights.values()):
        return [Recipe(_plain, True, _weighted(list(weights.values())), weights=True)]
    macro = Recipe(_plain, True, _weighted([1 / max(1, len(weights))] * len(weights)))
    pooled = Recipe(_plain, False, _ratio)
    # Tasks of equal size have both means equal: the name then says which was meant, so that all runs of a suite agree.
    return [pooled, macro] if "mean" in headline and "type" not in headline else [macro, pooled]


def _plain(row: aggregate.Row) -> Sequence[float]:
    return (row.value or 0.0, 1.0)


def _ratio(totals: Sequence[np.ndarray]) -> np.ndarray:
    return totals[0][..., 0] / totals[0][..., 1]


def _weighted(weights: Sequence[float]) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    def value(totals: Sequence[np.ndarray]) -> np.ndarray:
        return sum(weight * part[..., 0] / part[..., 1] for weight, part in zip(weights, totals, strict=True))

    return value


def _oneig(totals: Sequence[np.ndarray]) -> np.ndarray:
    import numpy as np

    distance, exact, matched, wanted, limit, images = totals[0].T
    limit = limit / images
    return 1 - np.minimum(limit, distance / images) * (1 - exact / images) * (1 - matched / wanted) / limit


def add_up(table: Sequence[aggregate.Row], recipe: Recipe) -> tuple[tuple[tuple[str, ...], ...], tuple[np.ndarray, ...]]:
    """Return for each stratum the keys of its prompts and what each prompt's scored outputs sum up to."""
    import numpy as np

    found: dict[str, dict[str, list[float]]] = {}
    width = len(recipe.columns(table[0]))
    for row in table:
        mine = found.setdefault(row.task if recipe.strata else "*", {}).setdefault(row.prompt, [0.0] * width)
        if row.value is not None:
            for at, number in enumerate(recipe.columns(row)):
                mine[at] += number
    return tuple(tuple(part) for part in found.values()), tuple(np.array(list(part.values())) for part in found.values())
