"""What a cell does, against the control: one number a run's headline, on the outputs that both have scored.

Replicates are joined: an output is (prompt, repeat, seed), a pair shares all three, and prompts are the clusters, so what is hard for
all blurs nothing. Intervals and sign flips are those of `evals.analysis.compare`; p values are corrected over the cells by Holm. Where
cells are trained, a seed is a replicate of the training too: its differences vary by more than prompts, so the interval is the wider of
the clustered one and a t interval over seeds, and the p value the larger of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evals import likeness, ranks
from evals.analysis.compare import Delta, delta_of
from evals.analysis.pairing import POOLED, Matched, inside, match
from evals.analysis.verdicts import Verdicts
from evals.errors import DataError
from evals.metrics import aggregate
from evals.stats import errors
from evals.stats.distributions import t_cdf, t_quantile
from evals.stats.holm import holm

FREE = ("generate.",)
"""Beginnings of the settings by which cells may differ; all else must be equal for a difference to mean anything."""

_REPEATS = 1_000_000
"""Repeats of one seed, at most, where the runs of several are joined: repeat r of seed s becomes repeat s times this plus r."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """A cell's own number over its seeds."""

    value: float | None
    low: float | None
    high: float | None
    outputs: int
    """Scored."""
    planned: int
    seeds: tuple[float | None, ...]
    """The headline of each seed's run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """A cell against the control."""

    delta: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    counts: Mapping[str, int]
    pairs: int
    prompts: int
    by_seed: Mapping[int, float]
    """Difference of each seed that both have."""
    wider_by_seeds: bool
    """Whether the interval is that over seeds."""
    tasks: tuple[dict[str, Any], ...] = ()


def level_of(runs: Sequence[Verdicts]) -> Level:
    """Return a cell's number over its runs, one a seed: the prompts' outputs of all seeds together."""
    recipe, rows = _recipe(runs), list(join(runs).table.values())
    scored = [row for row in rows if row.value is not None]
    known = [run.known for run in runs]
    value = low = high = None
    if scored and recipe is not None and not (recipe.values or recipe.weights):
        mean = aggregate.macro_over_tasks if recipe.strata else aggregate.mean_over_outputs
        found = mean(rows, value=runs[0].value, task="*", kind="headline", seed=runs[0].seed)
        value, low, high = found.value, found.low, found.high
    elif scored and recipe is not None:
        _, sums = ranks.add_up(scored, recipe)
        spread = errors.spread([part.astype(float) for part in sums], recipe.statistic)
        if spread is not None:
            value, (low, high) = spread.value, spread.interval()
    if value is None and scored and None not in known:
        value = math.fsum(known) / len(known)  # type: ignore[arg-type]
    return Level(value=value, low=low, high=high, outputs=len(scored), planned=len(rows), seeds=tuple(known))


def effects(
    control: Sequence[Verdicts], cells: Mapping[str, Sequence[Verdicts]], *, trained: bool
) -> dict[str, Effect | None]:
    """Return each cell's effect; None where it shares no scored output with the control.

    Args:
        control: its runs, one a seed.
        cells: name -> runs.
        trained: whether seeds are replicates of a training.

    Raises:
        DataError: a cell measured something else than the control.
    """
    found = {name: _effect(control, runs, trained=trained) for name, runs in cells.items()}
    adjusted = holm([effect.p if effect is not None else None for effect in found.values()])
    return {
        name: None if effect is None else replace(effect, p_holm=p)
        for (name, effect), p in zip(found.items(), adjusted, strict=True)
    }


def join(runs: Sequence[Verdicts]) -> Verdicts:
    """Return one run of all seeds: repeats of the later seeds follow those of the earlier."""
    first = runs[0]
    table = {
        (sample, run.seed * _REPEATS + repeat): row for run in runs for (sample, repeat), row in run.table.items()
    }
    return replace(first, table=table, known=None)


def _effect(control: Sequence[Verdicts], runs: Sequence[Verdicts], *, trained: bool) -> Effect | None:
    for run in runs:
        _refuse_unlike(control[0], run)
    matched = match(join(control), join(runs))
    if not matched.first:
        return None
    recipe = _recipe(control) or POOLED
    lacking = recipe.strata and len({row.task for row in matched.first}) < len(control[0].tasks)
    whole = delta_of(matched, POOLED if lacking else recipe, name="overall", first=control[0])
    if whole is None:
        return None
    by_seed = _by_seed(matched, POOLED if lacking else recipe, control[0])
    low, high, p, wider = _widened(whole, by_seed, control[0], matched) if trained else (whole.low, whole.high, _p(whole), False)
    tasks = [delta_of(matched.of_task(task), POOLED, name=task, first=control[0]) for task in control[0].tasks]
    return Effect(
        delta=whole.delta,
        low=low,
        high=high,
        p=p,
        p_holm=None,
        counts=whole.counts,
        pairs=whole.pairs,
        prompts=whole.prompts,
        by_seed=by_seed,
        wider_by_seeds=wider,
        tasks=tuple(
            {"task": task.name, "first": task.first, "second": task.second, "delta": task.delta, "low": task.low, "high": task.high}
            for task in tasks
            if task is not None
        ),
    )


def _by_seed(matched: Matched, recipe: ranks.Recipe, first: Verdicts) -> dict[int, float]:
    found = {}
    for seed in dict.fromkeys(key[1] // _REPEATS for key in matched.keys):
        kept = [at for at, key in enumerate(matched.keys) if key[1] // _REPEATS == seed]
        keys, one, two = (tuple(rows[at] for at in kept) for rows in (matched.keys, matched.first, matched.second))
        part = delta_of(Matched(keys, one, two, {}), recipe, name=f"seed {seed}", first=first)
        if part is not None:
            found[seed] = part.delta
    return found


def _widened(
    whole: Delta, by_seed: Mapping[int, float], first: Verdicts, matched: Matched
) -> tuple[float | None, float | None, float | None, bool]:
    """The wider of the interval over prompts and that over seeds; with one seed there is none over seeds, and none is claimed."""
    values = list(by_seed.values())
    if len(values) < 2:
        return None, None, None, False
    middle = math.fsum(values) / len(values)
    error = math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1) / len(values))
    half = t_quantile(0.975, len(values) - 1) * error
    p = _p(whole)
    # Interval and test have one middle, so that they never tell two stories.
    seeds = 1.0 if error == 0.0 and whole.delta == 0.0 else 0.0 if error == 0.0 else 2 * t_cdf(-abs(whole.delta) / error, len(values) - 1)
    p = None if p is None else max(p, seeds)
    if whole.low is not None and whole.high is not None and 2 * half <= whole.high - whole.low:
        return whole.low, whole.high, p, False
    low, high = whole.delta - half, whole.delta + half
    if inside(first, matched):
        most = abs(first.scale[1] - first.scale[0])
        low, high = max(low, -most), min(high, most)
    return low, high, p, True


def _p(delta: Delta) -> float | None:
    return None if delta.tail is None else delta.tail.both


def _recipe(runs: Sequence[Verdicts]) -> ranks.Recipe | None:
    return next((recipe for run in runs if (recipe := run.recipe()) is not None), None)


def _refuse_unlike(control: Verdicts, run: Verdicts) -> None:
    one, other = (
        {key: value for key, value in of.measurement.items() if not key.startswith(FREE)} for of in (control, run)
    )
    told = likeness.differences(one, other, names=("in the control", "in the cell"))
    if told:
        raise DataError(
            f"{control.path} and {run.path}: got different measurements ({'; '.join(told[:3])}); expected cells that differ in how "
            "outputs are made, not in what is asked or how it is scored."
        )
