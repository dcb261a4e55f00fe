"""Is this model better than that one? Paired differences with intervals and tests, for the whole suite and for each task.

Intervals: clustered by prompt, analytic (`evals.stats.errors`), 95%. P values: sign flips of whole prompts (`evals.stats.permutation`),
corrected over tasks by Holm. Beside them the paired bootstrap's interval, and McNemar's exact test where it holds: verdicts, one
output a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from evals import ranks
from evals.analysis.pairing import LOST, POOLED, WON, Matched, inside, match, span_of
from evals.analysis.verdicts import Verdicts, differences_allowed, refuse_unlike
from evals.errors import DataError
from evals.metrics.bootstrap import generator
from evals.stats import errors, resampling
from evals.stats.holm import holm
from evals.stats.mcnemar import mcnemar
from evals.stats.permutation import Tail, label_swap
from evals.stats.sums import value

OVERALL = "overall"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delta:
    """One number of two runs on the outputs that both have scored."""

    name: str
    """`overall`, or the task."""
    first: float
    second: float
    delta: float
    """Second minus first."""
    spread: errors.Spread | None
    """Of the difference; None when there are too few prompts to tell."""
    low: float | None
    high: float | None
    bootstrap: resampling.Drawn | None
    tail: Tail | None
    p_holm: float | None
    """Two-sided p value, corrected over the tasks; of the overall number its own."""
    mcnemar: float | None
    counts: dict[str, int]
    """Outputs that the second won, lost, tied."""
    pairs: int
    prompts: int
    strata: int
    """Tasks whose means are averaged."""
    span: float
    """The most by which one prompt is taken to differ."""
    within: float | None
    """The part of the variance that comes from the draws; None where that is not known."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        drawn = self.bootstrap
        return {
            "name": self.name,
            "first": self.first,
            "second": self.second,
            "delta": self.delta,
            "low": self.low,
            "high": self.high,
            "standard_error": None if self.spread is None else self.spread.error,
            "degrees_of_freedom": None if self.spread is None else self.spread.df,
            "bootstrap": None if drawn is None else {"standard_error": drawn.error, "low": drawn.low, "high": drawn.high},
            "p": None if self.tail is None else self.tail.both,
            "p_holm": self.p_holm,
            "p_mcnemar": self.mcnemar,
            **self.counts,
            "pairs": self.pairs,
            "prompts": self.prompts,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Against:
    """One run against the first."""

    run: Verdicts
    overall: Delta | None
    overall_of: str
    """What `overall` is: the suite's headline, or why it is another number."""
    tasks: tuple[Delta, ...]
    matched: Matched
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The first run, and each other one against it."""

    first: Verdicts
    others: tuple[Against, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "schema_version": 1,
            "suite": self.first.suite,
            "title": self.first.title,
            "protocol": self.first.protocol,
            "value": self.first.value,
            "better": "higher" if self.first.better > 0 else "lower",
            "first": _facts(self.first),
            "others": [
                {
                    **_facts(other.run),
                    "overall": None if other.overall is None else other.overall.to_json(),
                    "overall_of": other.overall_of,
                    "tasks": [task.to_json() for task in other.tasks],
                    "unpaired": other.matched.unpaired,
                    "notes": list(other.notes),
                }
                for other in self.others
            ],
        }


def compare(runs: Sequence[Verdicts], *, across_seeds: bool = False) -> Comparison:
    """Compare each run with the first.

    Args:
        runs: at least two.
        across_seeds: pair by prompt alone where the runs' seeds differ.

    Raises:
        DataError: two that do not measure the same thing, or share no scored output.
    """
    first, *others = runs
    for other in others:
        refuse_unlike(first, other, across_seeds=across_seeds)
    return Comparison(first=first, others=tuple(against(first, other) for other in others))


def against(first: Verdicts, other: Verdicts) -> Against:
    """Compare two runs that measure the same thing.

    Raises:
        DataError: they share no scored output.
    """
    matched = match(first, other)
    if not matched.first:
        raise DataError(f"{first.path} and {other.path}: got no output that both have scored; expected at least one pair.")
    overall, told = _overall(first, other, matched)
    tasks = [delta_of(matched.of_task(task), POOLED, name=task, first=first) for task in first.tasks]
    known = [task for task in tasks if task is not None]
    adjusted = holm([task.tail.both if task.tail else None for task in known])
    return Against(
        run=other,
        overall=overall,
        overall_of=told,
        tasks=tuple(replace(task, p_holm=p) for task, p in zip(known, adjusted, strict=True)),
        matched=matched,
        notes=tuple(_notes(first, other, matched)),
    )


def delta_of(matched: Matched, recipe: ranks.Recipe, *, name: str, first: Verdicts) -> Delta | None:
    """Return the difference of two runs in one number; None without a pair or where the number is not finite.

    Args:
        matched: the pairs.
        recipe: how the number follows from sums over prompts.
        name: of the number; with the first run's seed it fixes the draws.
        first: gives seed and scale.
    """
    import math

    if not matched.first:
        return None
    pair, span = matched.pair(recipe), span_of(first, matched)
    one, two = value(pair.first, pair.statistic), value(pair.second, pair.statistic)
    if not (math.isfinite(one) and math.isfinite(two)):
        return None
    found = errors.paired_spread(pair, span=span)
    # Equal values outside the suite's scale leave nothing that tells how far a prompt could differ.
    found = None if found is None or found.error <= 0.0 else found
    low, high = (None, None) if found is None else found.interval()
    if low is not None and high is not None and inside(first, matched):
        # Two prompts tell so little that their interval would leave the scale.
        most = abs(first.scale[1] - first.scale[0])
        low, high = max(low, -most), min(high, most)
    tail = label_swap(pair, rng=generator(first.seed, f"compare/swap/{name}"))
    drawn = None if found is None else resampling.summary(resampling.paired_draws(pair, rng=generator(first.seed, f"compare/{name}")))
    counts = matched.counts(first.better)
    verdicts = all(row.value in (0.0, 1.0) for row in (*matched.first, *matched.second))
    single = recipe is POOLED and verdicts and pair.prompts == len(matched.first)
    return Delta(
        name=name,
        first=one,
        second=two,
        delta=two - one,
        spread=found,
        low=low,
        high=high,
        bootstrap=drawn,
        tail=tail,
        p_holm=None if tail is None else tail.both,
        mcnemar=mcnemar(counts[WON], counts[LOST]) if single else None,
        counts=counts,
        pairs=len(matched.first),
        prompts=pair.prompts,
        strata=len(pair.first),
        span=span,
        within=matched.within(recipe),
    )


def _overall(first: Verdicts, other: Verdicts, matched: Matched) -> tuple[Delta | None, str]:
    recipes = [run.recipe() for run in (first, other)]
    mean = f'mean of "{first.value}" over all outputs'
    if None in recipes or recipes[0].strata != recipes[1].strata:  # type: ignore[union-attr]
        unknown = next((run for run, recipe in zip((first, other), recipes, strict=True) if recipe is None), other)
        reason = "is not there yet" if unknown.known is None else "does not follow from sums over prompts"
        return delta_of(matched, POOLED, name=OVERALL, first=first), f'{mean}, since the headline "{first.headline}" {reason}'
    recipe = recipes[0]
    assert recipe is not None
    lacking = [task for task in first.tasks if not any(row.task == task for row in matched.first)]
    if recipe.strata and lacking:
        return delta_of(matched, POOLED, name=OVERALL, first=first), f"{mean}, since the task {lacking[0]} has no pair"
    return delta_of(matched, recipe, name=OVERALL, first=first), f"headline, {first.headline}"


def _notes(first: Verdicts, other: Verdicts, matched: Matched) -> list[str]:
    told = [f"The models sample differently: {phrase}." for phrase in differences_allowed(first, other)]
    if first.seed != other.seed:
        told.append(f"Seeds {first.seed} and {other.seed}: pairs share the prompt, not the draw.")
    for name, run in (("first", first), ("second", other)):
        if run.status != "complete":
            told.append(f"The {name} run is incomplete: {' '.join(run.reasons) or 'it has no reason on record.'}")
    if matched.unpaired:
        counts = "; ".join(f"{reason} ({count})" for reason, count in matched.unpaired.items())
        told.append(f"{sum(matched.unpaired.values())} outputs are no pairs and are left out: {counts}.")
    if first.outputs_sha256 and first.outputs_sha256 == other.outputs_sha256:
        told.append("Every output of the two is the same.")
    return told


def _facts(run: Verdicts) -> dict[str, Any]:
    return {
        "path": str(run.path),
        "model": run.model,
        "sha256": run.weights or None,
        "seed": run.seed,
        "status": run.status,
        "headline": {"name": run.headline, "value": run.known, "low": run.low, "high": run.high},
    }
