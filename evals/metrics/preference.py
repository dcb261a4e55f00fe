"""Sums of preference scores as their benchmarks publish them: CLIPScore's clamp, HPSv2's styles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from evals.metrics.aggregate import Row, mean_over_outputs, metric_of
from evals.metrics.bootstrap import cluster_mean, mean_of_means
from evals.types import Metric

GROUP = 80
"""HPSv2 averages consecutive groups of this many images first."""


def clamped_mean(table: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Mean over outputs, then at least 0 (torchmetrics' CLIPScore clamps after averaging, not each image)."""
    found = mean_over_outputs(table, value=value, task=task, kind=kind, seed=seed)
    low, middle, high = (None if x is None else max(0.0, x) for x in (found.low, found.value, found.high))
    return replace(found, value=middle, low=low, high=high)


def hpsv2_overall(table: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """100 times the mean over all images."""
    return _hundred(mean_over_outputs(table, value=value, task=task, kind=kind, seed=seed))


def hpsv2_styles(table: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """For each style (task): 100 times the mean of the means of its consecutive groups of 80, and their deviation (divided by n).

    Groups are of the plan, so a missing output does not move the others into another group; a group without any score leaves the style
    without a value.
    """
    styles: dict[str, list[Row]] = {}
    for row in table:
        styles.setdefault(row.task, []).append(row)
    found = []
    for style, own in styles.items():
        groups = [[row for row in own[i : i + GROUP] if row.value is not None] for i in range(0, len(own), GROUP)]
        parts = []
        if all(groups):
            for index, group in enumerate(groups):
                clusters: dict[str, list[float]] = {}
                for row in group:
                    clusters.setdefault(row.prompt, []).append(float(row.value or 0.0))
                parts.append(cluster_mean(list(clusters.values()), seed=seed, name=f"{value}/{style}/{index}"))
        whole = mean_of_means(parts) if parts else None
        found.append(_hundred(metric_of("hpsv2", style, kind, own, whole)))
        deviation = None
        if whole is not None:
            deviation = 100.0 * math.sqrt(math.fsum((part.value - whole.value) ** 2 for part in parts) / len(parts))
        found.append(replace(metric_of("hpsv2_std", style, kind, own, None), value=deviation, unit="points"))
    return found


def _hundred(metric: Metric) -> Metric:
    low, middle, high = (None if x is None else 100.0 * x for x in (metric.low, metric.value, metric.high))
    return replace(metric, value=middle, low=low, high=high, unit="points")
