"""OneIG-Bench's numbers over prompts: the mean over all prompts of the mean over their images (alignment, reasoning, style)."""

from __future__ import annotations

from collections.abc import Sequence

from evals.metrics.aggregate import Row, metric_of
from evals.metrics.bootstrap import cluster_mean
from evals.types import Metric


def oneig_alignment(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Every prompt counts once, whatever its class and number of images; a prompt without a scored image is left out and counted."""
    return _over_prompts("alignment", rows, value=value, task=task, kind=kind, seed=seed)


def oneig_reasoning(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """As `oneig_alignment`; of a substitute's cosines it is named so."""
    name = "reasoning" if value == "score" else f"reasoning_{value}"
    return _over_prompts(name, rows, value=value, task=task, kind=kind, seed=seed)


def oneig_style(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """As `oneig_alignment`."""
    return _over_prompts("style", rows, value=value, task=task, kind=kind, seed=seed)


def oneig_styles(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """`oneig_style` of each style, in the order of the plan; the style is the metric's task."""
    styles: dict[str, list[Row]] = {}
    for row in rows:
        if "style" in row.metadata:
            styles.setdefault(str(row.metadata["style"]), []).append(row)
    return [oneig_style(own, value=value, task=style, kind=kind, seed=seed) for style, own in styles.items()]


def _over_prompts(name: str, rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    prompts: dict[str, list[float]] = {}
    for row in rows:
        if row.value is not None:
            prompts.setdefault(row.sample_id, []).append(row.value)
    means = [[sum(own) / len(own)] for own in prompts.values()]
    return metric_of(name, task, kind, rows, cluster_mean(means, seed=seed, name=f"oneig/{value}/{task}") if means else None)
