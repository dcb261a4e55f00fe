"""WISE's overall number: the weighted sum of its categories' means, with an interval.

Source: PKU-YuanGroup/WISE eb51174, `Calculate.py` and `calculate_verified.py`. The weights come with the samples
(`category_weight`), so legacy, Verified and the mini world share one metric. Categories are fixed strata: each is
resampled on its own, as in the other suites' headline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from evals.metrics.aggregate import Row, metric_of
from evals.metrics.bootstrap import Estimate, cluster_mean, percentiles
from evals.scorers.wise_rules import weighted_overall
from evals.types import Metric


def wise_overall(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Weighted overall of the category means; without a value unless every category has a score.

    Args:
        rows: one a planned output; `metadata["category_weight"]` is the weight of its task.
        value: name of the averaged value.
        task: `*`, or the slice.
        kind: of the metric.
        seed: the run's seed.

    Returns:
        `overall`; None as well when the planned categories' weights do not sum to 1 (a category was not asked at all).
    """
    weights = {row.task: float(row.metadata.get("category_weight", math.nan)) for row in rows}
    parts: dict[str, Estimate] = {}
    for name in weights:
        clusters: dict[str, list[float]] = {}
        for row in rows:
            if row.task == name and row.value is not None:
                clusters.setdefault(row.prompt, []).append(row.value)
        if clusters:
            parts[name] = cluster_mean(list(clusters.values()), seed=seed, name=f"wise/{value}/{task}/{name}")
    whole = abs(math.fsum(weights.values()) - 1.0) < 1e-9
    total = weighted_overall({name: part.value for name, part in parts.items()}, weights) if whole else None
    return metric_of("overall", task, kind, rows, None if total is None else _combined(total, parts, weights))


def _combined(total: float, parts: dict[str, Estimate], weights: dict[str, float]) -> Estimate:
    drawn = [weights[name] * part.draws for name, part in parts.items() if part.draws is not None]
    if len(drawn) == len(parts):
        draws = sum(drawn[1:], drawn[0])
        return Estimate(total, *percentiles(draws), draws)
    if any(part.low is None or part.high is None for part in parts.values()):
        return Estimate(total, None, None, None)
    # A category whose prompts all agree shows no spread: the categories' own intervals are combined (MOVER, Zou & Donner 2008).
    below = math.fsum((weights[name] * (part.value - part.low)) ** 2 for name, part in parts.items() if part.low is not None)
    above = math.fsum((weights[name] * (part.high - part.value)) ** 2 for name, part in parts.items() if part.high is not None)
    return Estimate(total, total - math.sqrt(below), total + math.sqrt(above), None)
