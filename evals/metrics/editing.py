"""The numbers of the editing benchmarks, with intervals over the edits.

ImgEdit (547185d) publishes means per edit type and no overall; both overalls that are in use stand here under their names.
GEdit (Step1X-Edit 570eba6, `calculate_statistics.py`) averages its task types without weights, over all rows and over those of
the intersection; a type without a score leaves the average without a value (NaN there). Nothing is rounded here: the official
scripts round to two digits at every step of ImgEdit's sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from evals.metrics.aggregate import Row, metric_of
from evals.metrics.bootstrap import Estimate, cluster_mean, mean_of_means
from evals.scorers import gedit_rules as gedit
from evals.types import Metric

_IMGEDIT, _GEDIT = (1.0, 5.0), (0.0, 10.0)
"""The judges' scales."""


def imgedit_item_mean(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Mean over all edits: the overall that most reports give."""
    found = _mean(rows, _IMGEDIT, f"imgedit/{value}/items/{task}", seed)
    return _metric("mean of items", task, kind, rows, _plain(rows), found, _IMGEDIT)


def imgedit_type_mean(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Unweighted mean of the edit types' means: the other overall in use; without a value when a type has no score."""
    groups = [[row for row in rows if row.task == group] for group in dict.fromkeys(row.task for row in rows)]
    parts = [_mean(group, _IMGEDIT, f"imgedit/{value}/types/{task}/{group[0].task}", seed) for group in groups]
    known = [part for part in parts if part is not None]
    if not parts or len(known) < len(parts):
        return _metric("mean of types", task, kind, rows, None, None, _IMGEDIT)
    total = math.fsum(_plain(group) or 0.0 for group in groups) / len(groups)
    return _metric("mean of types", task, kind, rows, total, mean_of_means(known), _IMGEDIT)


def gedit_average(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Unweighted mean of the task types' means; without a value unless every type of the benchmark has a score.

    Args:
        rows: one a planned output; `metadata["n_types"]` is the number of types of the benchmark.
        value: `overall`, `sc`, `pq` or `strict`.
        task: of the metric.
        kind: of the metric.
        seed: the run's.
    """
    return _average(rows, "mean of types", value, task, kind, seed)


def gedit_intersection(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """The same over the rows of the intersection, and its parts: a type without such a row has none expected and no value."""
    own = [row for row in rows if row.metadata.get("Intersection_exist")]
    name = f"{value} (intersection)"
    found = [_average(own, name, value, task, kind, seed, planned=rows)]
    for group in dict.fromkeys(row.task for row in rows):
        part = [row for row in own if row.task == group]
        found.append(
            _metric(name, group, kind, part, _plain(part), _mean(part, _GEDIT, f"gedit/{value}/intersection/{group}", seed), _GEDIT)
        )
    return found


def _average(
    rows: Sequence[Row], name: str, value: str, task: str, kind: str, seed: int, *, planned: Sequence[Row] | None = None
) -> Metric:
    asked = list(dict.fromkeys(row.task for row in planned or rows))
    # A type of the benchmark that was not even planned poisons the average as well.
    types = asked + [f"(type {number})" for number in range(len(asked), _number_of_types(planned or rows))]
    means = gedit.type_means(((row.task, row.value) for row in rows if row.value is not None), types)
    total = gedit.average(means)
    if math.isnan(total):
        return _metric(name, task, kind, rows, None, None, _GEDIT)
    parts = [_mean([row for row in rows if row.task == group], _GEDIT, f"gedit/{value}/{name}/{task}/{group}", seed) for group in types]
    return _metric(name, task, kind, rows, total, mean_of_means([part for part in parts if part is not None]), _GEDIT)


def _number_of_types(rows: Sequence[Row]) -> int:
    return max((int(row.metadata.get("n_types", 0)) for row in rows), default=0)


def _plain(rows: Sequence[Row]) -> float | None:
    values = [row.value for row in rows if row.value is not None]
    return math.fsum(values) / len(values) if values else None


def _mean(rows: Sequence[Row], scale: tuple[float, float], name: str, seed: int) -> Estimate | None:
    # On 0 to 1: where all edits of a type agree, only there an interval is known (`evals.metrics.bootstrap`).
    low, high = scale
    clusters: dict[str, list[float]] = {}
    for row in rows:
        if row.value is not None:
            clusters.setdefault(row.prompt, []).append((row.value - low) / (high - low))
    return cluster_mean(list(clusters.values()), seed=seed, name=name) if clusters else None


def _metric(
    name: str,
    task: str,
    kind: str,
    rows: Sequence[Row],
    value: float | None,
    found: Estimate | None,
    scale: tuple[float, float],
) -> Metric:
    low, high = scale

    def back(share: float | None) -> float | None:
        return None if share is None else low + (high - low) * share

    # The value is not taken through the scale and back, which would cost its last digit.
    shown = None if found is None or value is None else Estimate(value, back(found.low), back(found.high), None)
    return replace(metric_of(name, task, kind, rows, shown), unit="points")
