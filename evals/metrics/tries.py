"""What several tries are worth: pass@k of verdicts, the best of k of graded values (`evals.stats.choosing`), for k = 1, 2, 4, ... n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evals.metrics.aggregate import Row, metric_of
from evals.metrics.bootstrap import cluster_mean
from evals.stats.choosing import best_of_k
from evals.types import Metric


def pass_at_k(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """Return one metric a k: the mean over samples of the expected best of k of their outputs, unbiased.

    A sample with an output that has no score is left out and counted under that output's outcome: which try was lost is no accident.

    Args:
        rows: one a planned output.
        value: name of the averaged value.
        task: `*`, or the slice.
        kind: of the metrics.
        seed: the run's.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.sample_id, []).append(row)
    n = min((len(own) for own in groups.values()), default=0)
    verdicts = all(row.scale == (0.0, 1.0) and row.value in (0.0, 1.0) for row in rows if row.value is not None)
    sizes = sorted({min(2**power, n) for power in range(n.bit_length() + 1)}) if n else []
    return [_of_k(groups, k, "pass@" if verdicts else "best of ", task=task, kind=kind, seed=seed) for k in sizes]


def _of_k(groups: dict[str, list[Row]], k: int, label: str, *, task: str, kind: str, seed: int) -> Metric:
    judged, clusters = [], {}
    for own in groups.values():
        lost = next((row for row in own if row.value is None), None)
        # The best is the lowest where lower is better.
        sign = 1.0 if own[0].scale[1] >= own[0].scale[0] else -1.0
        worth = None if lost else sign * best_of_k([sign * row.value for row in own if row.value is not None], k)
        judged.append(replace(own[0], value=worth, outcome=own[0].outcome if lost is None else lost.outcome))
        if worth is not None:
            clusters.setdefault(own[0].prompt, []).append(worth)
    found = cluster_mean(list(clusters.values()), seed=seed, name=f"{label}{k}/{task}") if clusters else None
    return metric_of(f"{label}{k}", task, kind, judged, found)
