"""OneIG-Bench's alignment: the mean over all prompts of the mean over their images."""

from __future__ import annotations

from collections.abc import Sequence

from evals.metrics.aggregate import Row, metric_of
from evals.metrics.bootstrap import cluster_mean
from evals.types import Metric


def oneig_alignment(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Every prompt counts once, whatever its class and number of images; a prompt without a scored image is left out and counted."""
    prompts: dict[str, list[float]] = {}
    for row in rows:
        if row.value is not None:
            prompts.setdefault(row.sample_id, []).append(row.value)
    means = [[sum(own) / len(own)] for own in prompts.values()]
    return metric_of("alignment", task, kind, rows, cluster_mean(means, seed=seed, name=f"oneig/{value}/{task}") if means else None)
