"""Scores -> `Metric`s: per task, over the suite, per slice; each with interval, n, coverage and outcome counts.

The summary follows GenEval's (spec 1.9): task means over outputs, overall as the unweighted mean of the task means,
plain mean over outputs, and the share of prompts of which any output is correct. An output without a score is
counted under its outcome and never becomes a zero.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.metrics.bootstrap import Estimate, cluster_mean, mean_of_means
from evals.types import Metric, Outcome, Sample, Score


@dataclass(frozen=True, slots=True)
class Row:
    """One planned output: where it belongs, and its value or why it has none."""

    prompt: str
    """Cluster: outputs of one prompt belong together, also where a suite asks it as several samples."""
    task: str
    tags: tuple[str, ...]
    outcome: Outcome
    value: float | None
    reason: str = ""
    """Of the score, in words."""
    values: Mapping[str, float] = field(default_factory=dict)
    """All named values of the score, for metrics that weigh several (a ratio of sums)."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Of the sample."""
    sample_id: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """What the verdict rests on, of the score."""
    scale: tuple[float, float] = (0.0, 1.0)
    """The value of an output that is wholly wrong and of one that is wholly right; verdicts are 0 and 1."""


Headline = Callable[..., Metric]
"""What a metric plugin is: `(rows, *, value, task, kind, seed) -> Metric`. As a further metric of a report it may return
a list of them."""


def rows(
    samples: Sequence[Sample], repeats: int, scores: Iterable[Score], value: str, *, scale: tuple[float, float] = (0.0, 1.0)
) -> list[Row]:
    """Join the plan with one scorer's scores.

    Args:
        samples: the plan.
        repeats: outputs a sample.
        scores: at most one an output; an absent one is `missing`. An ok one without `value` has the outcome that its
            `evidence["outcomes"]` gives for that value (a policy under which the reply cannot be read), else
            `not_applicable`.
        value: name of the averaged value.
        scale: of that value; where all prompts are equal, it says what a perfect score is.

    Returns:
        One row a planned output, plan order.
    """
    known = {(score.sample_id, score.repeat): score for score in scores}
    made = []
    for sample in samples:
        for repeat in range(repeats):
            score = known.get((sample.sample_id, repeat))
            outcome = Outcome.MISSING if score is None else score.outcome
            values = {} if score is None else score.values
            number = values.get(value)
            if score is not None and outcome is Outcome.OK and number is None:
                outcome = Outcome(score.evidence.get("outcomes", {}).get(value, Outcome.NOT_APPLICABLE))
            reason = "" if score is None else score.reason
            prompt = prompt_key(sample)
            evidence = {} if score is None else score.evidence
            made.append(
                Row(prompt, sample.task, sample.tags, outcome, number, reason, values, sample.metadata, sample.sample_id, evidence, scale)
            )
    return made


def summary(table: Sequence[Row], *, value: str, headline: Headline, seed: int) -> tuple[Metric, list[Metric]]:
    """Return the headline metric and all others: tasks in plan order, then slices.

    Args:
        table: one row a planned output.
        value: name of the averaged value.
        headline: metric plugin for the number at the top.
        seed: the run's seed; with the metric's name it fixes the resampling.
    """
    top = headline(table, value=value, task="*", kind="headline", seed=seed)
    metrics = [
        metric_of(value, task, "task", part, _estimate(part, seed, f"{value}/{task}"))
        for task, part in _by_task(table).items()
    ]
    metrics.append(mean_over_outputs(table, value=value, task="*", kind="slice", seed=seed))
    if all(row.scale == (0.0, 1.0) and row.value in (0.0, 1.0) for row in table if row.value is not None):
        # "Any image is right" says something of verdicts only, not of graded scores.
        metrics.append(prompt_accuracy(table, seed=seed))
    for tag in dict.fromkeys(tag for row in table for tag in row.tags):
        part = [row for row in table if tag in row.tags]
        metrics.append(macro_over_tasks(part, value=value, task=tag, kind="slice", seed=seed))
        metrics.append(mean_over_outputs(part, value=value, task=tag, kind="slice", seed=seed))
    return top, metrics


def macro_over_tasks(table: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Unweighted mean of the task means; None as soon as one task has no scored output."""
    scope = "" if task == "*" else f"{task}/"
    parts = [_estimate(part, seed, f"{value}/{scope}{name}") for name, part in _by_task(table).items()]
    known = [part for part in parts if part is not None]
    whole = mean_of_means(known) if known and len(known) == len(parts) else None
    return metric_of("overall", task, kind, table, whole)


def mean_over_outputs(table: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Plain mean over all scored outputs."""
    # "overall" is the mean of the tasks, whatever the averaged value is called.
    name = "mean" if value == "overall" else value
    return metric_of(name, task, kind, table, _estimate(table, seed, f"{value}/mean/{task}"))


def prompt_accuracy(table: Sequence[Row], *, seed: int) -> Metric:
    """Share of prompts of which any output has value 1; counts are prompts, not outputs.

    A prompt with no such output counts as wrong only when all its outputs are scored; else it has the outcome of its
    first unscored output.
    """
    prompts: dict[str, list[Row]] = {}
    for row in table:
        prompts.setdefault(row.prompt, []).append(row)
    judged = []
    for prompt, own in prompts.items():
        right = any(row.value is not None and row.value >= 1.0 for row in own)
        unscored = next((row.outcome for row in own if row.value is None), None)
        known = right or unscored is None
        outcome = Outcome.OK if known or unscored is None else unscored
        judged.append(Row(prompt, own[0].task, own[0].tags, outcome, float(right) if known else None))
    return metric_of("prompt_accuracy", "*", "slice", judged, _estimate(judged, seed, "prompt_accuracy/*"))


def gaps(table: Sequence[Row]) -> list[str]:
    """Return a sentence for every task that lacks scores: why a run is incomplete."""
    told = []
    for task, part in _by_task(table).items():
        lost = Counter(row.outcome.value for row in part if row.outcome in REDO)
        if lost:
            counts = ", ".join(f"{count} {name}" for name, count in sorted(lost.items()))
            none = "; no output is scored, so the task and the overall value are absent"
            text = f"{task}: {counts} of {len(part)}{'' if any(r.value is not None for r in part) else none}."
            # Equal counts keep the order of the plan, so the sentence is the same in every run.
            reasons = Counter(row.reason for row in part if row.outcome in REDO and row.reason)
            told.append(f"{text} Most often: {reasons.most_common(1)[0][0]}" if reasons else text)
    return told


REDO = frozenset(
    {Outcome.MISSING, Outcome.GENERATION_ERROR, Outcome.SCORER_ERROR, Outcome.JUDGE_ERROR, Outcome.JUDGE_UNPARSED}
)
"""Outcomes that leave a run incomplete: running the command again may mend them."""


def outcome_counts(table: Iterable[Row]) -> dict[str, int]:
    """Count rows per outcome, the names in `Outcome`'s order; sums to the number of rows."""
    counts = Counter(row.outcome for row in table)
    return {outcome.value: counts[outcome] for outcome in Outcome if counts[outcome]}


def prompt_key(sample: Sample) -> str:
    """Return what makes a prompt: samples that share it are one cluster."""
    # GenEval counts distinct metadata rows as prompts; the same words about another image are another question.
    return json.dumps([sample.task, sample.prompt, sample.image, sample.metadata], sort_keys=True)


def _by_task(table: Iterable[Row]) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in table:
        found.setdefault(row.task, []).append(row)
    return found


def _estimate(table: Sequence[Row], seed: int, name: str) -> Estimate | None:
    clusters: dict[str, list[float]] = {}
    for row in table:
        if row.value is not None:
            clusters.setdefault(row.prompt, []).append(row.value)
    if not clusters:
        return None
    worst, best = table[0].scale
    if not all(min(worst, best) <= value <= max(worst, best) for own in clusters.values() for value in own):
        return cluster_mean(list(clusters.values()), seed=seed, name=name)
    # On the unit scale Wilson's interval is meant for, then back.
    found = cluster_mean([[(value - worst) / (best - worst) for value in own] for own in clusters.values()], seed=seed, name=name)
    value, low, high = (None if x is None else worst + (best - worst) * x for x in (found.value, found.low, found.high))
    draws = None if found.draws is None else worst + (best - worst) * found.draws
    assert value is not None
    return Estimate(value, *((low, high) if best > worst else (high, low)), draws)


def metric_of(name: str, task: str, kind: str, table: Sequence[Row], found: Estimate | None) -> Metric:
    scored = [row for row in table if row.value is not None]
    return Metric(
        name=name,
        task=task,
        value=None if found is None else found.value,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        n=len(scored),
        n_samples=len({row.prompt for row in scored}),
        n_expected=len(table),
        outcomes=outcome_counts(table),
        kind=kind,
    )
