"""Scores -> `results.json`: the numbers of a run, and in words what is lacking and what to do next.

Everything but the block `seconds` depends on plan, outputs and scores alone: a run that was killed and resumed has the
same file as one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals.metrics import aggregate
from evals.types import Metric, Outcome, Sample, Score

SCHEMA_VERSION = 1


def build(
    manifest: Mapping[str, Any],
    samples: Sequence[Sample],
    scores: Mapping[str, Sequence[Score]],
    *,
    headline: aggregate.Headline,
    seconds: Mapping[str, float],
    next_step: Mapping[str, str],
) -> dict[str, Any]:
    """Return the content of `results.json`.

    Args:
        manifest: of the run.
        samples: the plan's samples.
        scores: scorer -> its scores, the suite's order.
        headline: metric plugin for the number at the top.
        seconds: wall time by stage.
        next_step: command to type by status (`complete`, `incomplete`).
    """
    resolved = manifest["resolved_suite"]
    value = resolved["report"]["value"]
    scorer = primary(scores, value)
    table = aggregate.rows(samples, resolved["generate"]["repeats"], scores[scorer], value)
    top, metrics = aggregate.summary(table, value=value, headline=headline, seed=manifest["seed"])
    reasons = aggregate.gaps(table)
    status = "incomplete" if reasons or top.value is None else "complete"
    if top.value is None and not reasons:
        reasons = [f'no score of {scorer} carries the value "{value}" for every task.']
    return {
        "schema_version": SCHEMA_VERSION,
        **{key: manifest[key] for key in ("suite", "profile", "title", "protocol", "notice", "bundled_model", "model")},
        "seed": manifest["seed"],
        "limit": manifest["limit"],
        "limited": manifest["limit"] is not None,
        "status": status,
        "reasons": reasons,
        "scorer": scorer,
        "headline": metric_json(top),
        "metrics": [metric_json(metric) for metric in metrics],
        "outcomes": aggregate.outcome_counts(table),
        "seconds": dict(seconds),
        "next": next_step[status],
    }


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


def _cells(metric: Mapping[str, Any]) -> tuple[str, ...]:
    value, low, high = metric["value"], metric["low"], metric["high"]
    task = metric["task"]
    label = task if metric["kind"] == "task" else metric["name"] if task == "*" else f"{metric['name']} ({task})"
    if metric["kind"] == "slice" and metric["name"] not in ("overall", "prompt_accuracy"):
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
