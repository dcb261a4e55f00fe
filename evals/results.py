"""Scores -> `results.json`: the numbers of a run, and in words what is lacking and what to do next.

Everything but the block `seconds` depends on plan, outputs and scores alone: a run that was killed and resumed has the
same file as one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from evals.metrics import aggregate
from evals.types import Metric, Outcome, Output, Sample, Score

SCHEMA_VERSION = 1


def build(
    manifest: Mapping[str, Any],
    samples: Sequence[Sample],
    scores: Mapping[str, Sequence[Score]],
    *,
    headline: aggregate.Headline,
    seconds: Mapping[str, float],
    next_step: Mapping[str, str],
    outputs: Mapping[tuple[str, int], Output] = MappingProxyType({}),
    metrics: Sequence[aggregate.Headline] = (),
    set_metrics: Sequence[Metric] = (),
    added: Sequence[Mapping[str, Any]] = (),
    judges: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the content of `results.json`.

    Args:
        manifest: of the run.
        samples: the plan's samples.
        scores: scorer -> its scores, the suite's order.
        headline: metric plugin for the number at the top.
        seconds: wall time by stage.
        next_step: command to type by status (`complete`, `incomplete`).
        outputs: last journal line of each item; tells what is lacking where every scorer looks at the whole set only.
        metrics: further metric plugins of the report.
        set_metrics: metrics that scorers took of the whole set.
        added: what `evals.added` tells of scorers that were added to the run.
        judges: role -> the judge behind it and what it cost.
    """
    resolved = manifest["resolved_suite"]
    report, repeats, seed = resolved["report"], resolved["generate"]["repeats"], manifest["seed"]
    value = report["value"]
    if not scores:
        return _of_sets(manifest, samples, outputs, set_metrics, seconds=seconds, next_step=next_step, added=added, judges=judges)
    scorer = primary(scores, value)
    scale = (report.get("worst", 0.0), report.get("best", 1.0))
    table = aggregate.rows(samples, repeats, scores[scorer], value, scale=scale)
    top, below = aggregate.summary(table, value=value, headline=headline, seed=seed)
    for name in report.get("values", ()):
        other = aggregate.rows(samples, repeats, scores[scorer], name, scale=scale)
        below.append(replace(headline(other, value=name, task="*", kind="value", seed=seed), name=name))
    for plugin in metrics:
        more = plugin(table, value=value, task="*", kind="more", seed=seed)
        below += more if isinstance(more, list) else [more]
    below += set_metrics
    for name, own in scores.items():
        if name != scorer:
            below += scorer_means(name, samples, repeats, own, seed=seed)
    reasons = aggregate.gaps(table)
    status = "incomplete" if reasons or top.value is None else "complete"
    if top.value is None and not reasons:
        reasons = [f'no score of {scorer} carries the value "{value}" for every task.']
    return {
        **_identity(manifest),
        "status": status,
        "reasons": reasons,
        "scorer": scorer,
        "headline": metric_json(top),
        "metrics": [metric_json(metric) for metric in below],
        "outcomes": aggregate.outcome_counts(table),
        "added": list(added),
        "judges": dict(judges),
        "seconds": dict(seconds),
        "next": next_step[status],
    }


def _identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        **{key: manifest[key] for key in ("suite", "profile", "title", "protocol", "notice", "bundled_model", "model")},
        "seed": manifest["seed"],
        "limit": manifest["limit"],
        "limited": manifest["limit"] is not None,
    }


def _of_sets(
    manifest: Mapping[str, Any],
    samples: Sequence[Sample],
    outputs: Mapping[tuple[str, int], Output],
    set_metrics: Sequence[Metric],
    *,
    seconds: Mapping[str, float],
    next_step: Mapping[str, str],
    added: Sequence[Mapping[str, Any]],
    judges: Mapping[str, Any],
) -> dict[str, Any]:
    """Results of a suite whose scorers only measure the whole set: the headline is the set metric that `report.value` names."""
    resolved, names = manifest["resolved_suite"], [metric.name for metric in set_metrics if metric.task == "*"]
    value, repeats = resolved["report"]["value"], resolved["generate"]["repeats"]
    keys = [(sample.sample_id, repeat) for sample in samples for repeat in range(repeats)]
    made = [outputs[key].outcome if key in outputs else Outcome.MISSING for key in keys]
    counts = {outcome.value: made.count(outcome) for outcome in Outcome if outcome in made}
    chosen = next((metric for metric in set_metrics if metric.name == value and metric.task == "*"), None)
    lacking = {name: count for name, count in counts.items() if Outcome(name) in aggregate.REDO}
    reasons = [f"{', '.join(f'{count} {name}' for name, count in lacking.items())} of {len(made)}."] if lacking else []
    if chosen is None or chosen.value is None:
        reasons.append(f'report.value: got "{value}", which no scorer measured; expected one of {", ".join(names) or "none"}.')
    absent = Metric(name=value, task="*", value=None, low=None, high=None, n=0, n_samples=0, n_expected=len(made), outcomes=counts)
    status = "incomplete" if reasons else "complete"
    return {
        **_identity(manifest),
        "status": status,
        "reasons": reasons,
        "scorer": resolved["score"][0]["scorer"],
        "headline": metric_json(replace(chosen or absent, kind="headline")),
        "metrics": [metric_json(metric) for metric in set_metrics if metric is not chosen],
        "outcomes": counts,
        "added": list(added),
        "judges": dict(judges),
        "seconds": dict(seconds),
        "next": next_step[status],
    }


def scorer_means(name: str, samples: Sequence[Sample], repeats: int, scores: Sequence[Score], *, seed: int) -> list[Metric]:
    """Return the mean of each value that one scorer gave, in the order of their first appearance; kind `scorer`."""
    values = dict.fromkeys(value for score in scores for value in score.values)
    found = []
    for value in values or {"": None}:
        table = aggregate.rows(samples, repeats, scores, value)
        mean = aggregate.mean_over_outputs(table, value=f"{name}/{value}", task="*", kind="scorer", seed=seed)
        found.append(replace(mean, name=f"{name}: {value}" if value else name))
    return found


def primary(scores: Mapping[str, Sequence[Score]], value: str) -> str:
    """Return the first scorer of whose scores any carries the value, else the first."""
    for name, own in scores.items():
        if any(score.outcome is Outcome.OK and value in score.values for score in own):
            return name
    return next(iter(scores))


def metric_json(metric: Metric) -> dict[str, Any]:
    """Return a metric as JSON with its coverage."""
    return {**metric.to_json(), "coverage": metric.coverage}


def table_lines(results: Mapping[str, Any]) -> list[str]:
    """Return the numbers as an aligned text table: headline, tasks, slices."""
    rows = [("", "value", "95% interval", "n", "prompts", "coverage")]
    rows += [_cells(metric) for metric in (results["headline"], *results["metrics"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def agreement_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how added scores agree with the run's own, a line for each value."""

    def told(number: float | None) -> str:
        return "-" if number is None else f"{number:.3f}"

    return [
        f"{row['value']} beside {row['with']}: alpha {told(row['alpha'])} [{told(row['alpha_low'])}, {told(row['alpha_high'])}], "
        f"Spearman {told(row['spearman'])}, Kendall {told(row['kendall'])}, equal {told(row['equal'])}, "
        f"mean difference {told(row['difference'])}, n {row['n']}"
        for row in rows
    ]


def _cells(metric: Mapping[str, Any]) -> tuple[str, ...]:
    value, low, high = metric["value"], metric["low"], metric["high"]
    task = metric["task"]
    label = task if metric["kind"] == "task" else metric["name"] if task == "*" else f"{metric['name']} ({task})"
    if metric["kind"] in ("value", "more", "set", "scorer"):
        label = metric["name"] if task == "*" else f"{metric['name']} ({task})"
    elif metric["kind"] == "slice" and metric["name"] not in ("overall", "prompt_accuracy"):
        label = f"mean of outputs{'' if task == '*' else f' ({task})'}"
    return (
        label,
        "-" if value is None else f"{value:.3f}",
        "-" if low is None or high is None else f"[{low:.3f}, {high:.3f}]",
        f"{metric['n']}/{metric['n_expected']}",
        str(metric["n_samples"]),
        # Rounded down, so that a gap never reads as 100%.
        f"{int(metric['coverage'] * 1000) / 10:g}%",
    )
