"""The numbers of the text benchmarks: functions of sums over all images, with intervals over prompts.

Source: X-Omni 2b8237b, `summary_scores.py`; OneIG-Benchmark 41b4983, `text_score.py`. Per-image verdicts are the scorers'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from evals.metrics.aggregate import Row, metric_of
from evals.metrics.bootstrap import Estimate, statistic_of_sums, wilson
from evals.scorers import oneig_text_rules as oneig
from evals.types import Metric

_MATCHED = {"accuracy": "matched", "strict": "matched_strict"}
"""Value of a LongText score -> the value that holds its numerator."""


def longtext_score(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """LongText-Bench's number: matched over wanted, each summed over all images.

    Args:
        rows: one a planned output.
        value: `accuracy`, or `strict` for the other cleaning.
        task: of the metric.
        kind: of the metric.
        seed: the run's.
    """
    numerator = _MATCHED.get(value, value)
    sums: dict[str, list[float]] = {}
    for row in rows:
        if row.value is not None:
            _add(sums, row.prompt, (row.values[numerator], row.values["total"]))
    found = _estimate(sums, lambda x: x[..., 0] / x[..., 1], seed, f"longtext_score/{value}/{task}")
    return metric_of("text_score", task, kind, rows, found)


def longtext_groups(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """The same ratio apart for each category and each length."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        for group in dict.fromkeys((row.task, *row.tags)):
            groups.setdefault(group, []).append(row)
    return [longtext_score(part, value=value, task=group, kind=kind, seed=seed) for group, part in groups.items()]


def oneig_text_score(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """OneIG-Bench's text score by the policy of the scorer."""
    return _oneig(rows, _stale(rows), "text_score", _score, value, task, kind, seed)


def oneig_text_parts(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """What the text score is made of (edit distance, complete rate, word accuracy), and the score without repeated readings."""
    stale = _stale(rows)
    found = [_oneig(rows, stale, name, part, value, task, kind, seed) for name, part in _PARTS.items()]
    return [*found, _oneig(rows, {}, "text_score_strict", _score, value, task, kind, seed)]


_PARTS: dict[str, Callable[[Any], Any]] = {
    "edit_distance": lambda x: x[..., 0] / x[..., 2],
    "complete_rate": lambda x: x[..., 1] / x[..., 2],
    "word_accuracy": lambda x: x[..., 3] / x[..., 4],
}
"""Columns: sum of distances, exact images, images, matched, wanted, M times images."""


def _score(x: Any) -> Any:
    import numpy as np

    limit = x[..., 5] / x[..., 2]
    distance, complete, accuracy = (part(x) for part in _PARTS.values())
    return 1 - np.minimum(limit, distance) * (1 - complete) * (1 - accuracy) / limit


def _stale(rows: Sequence[Row]) -> dict[str, list[tuple[float, ...]]]:
    # Prompt -> what its images count for when they are all black under the official policy: the readings of the last prompt
    # before it that kept a tile, compared with its own text. Without one before it there is nothing to repeat.
    prompts: dict[str, list[Row]] = {}
    for row in rows:
        prompts.setdefault(row.prompt, []).append(row)
    found: dict[str, list[tuple[float, ...]]] = {}
    last: list[Row] = []
    for prompt, own in prompts.items():
        scored = [row for row in own if row.value is not None]
        if scored:
            last = scored
        elif last and all(row.reason == oneig.BLACK_REPEATED for row in own):
            wanted = oneig.normalize(own[0].metadata["text_content"])
            again = [oneig.compare(row.evidence["compared"], wanted) for row in last]
            found[prompt] = [
                (float(m.distance), float(m.exact), 1.0, float(m.matched), float(m.total), row.values["limit"])
                for m, row in zip(again, last, strict=True)
            ]
    return found


def _oneig(
    rows: Sequence[Row],
    stale: dict[str, list[tuple[float, ...]]],
    name: str,
    part: Callable[[Any], Any],
    value: str,
    task: str,
    kind: str,
    seed: int,
) -> Metric:
    sums: dict[str, list[float]] = {}
    for row in rows:
        if row.value is not None:
            v = row.values
            _add(sums, row.prompt, (v["distance"], v["exact"], 1.0, v["matched"], v["total"], v["limit"]))
    for prompt, more in stale.items():
        for numbers in more:
            _add(sums, prompt, numbers)
    # An edit distance is a number of characters; all else lies in [0, 1].
    share = name != "edit_distance"
    found = _estimate(sums, part, seed, f"oneig_text/{name}/{value}/{task}", share=share)
    made = metric_of(name, task, kind, rows, found)
    return made if share else replace(made, unit="characters")


def _add(sums: dict[str, list[float]], prompt: str, numbers: Sequence[float]) -> None:
    before = sums.setdefault(prompt, [0.0] * len(numbers))
    sums[prompt] = [a + b for a, b in zip(before, numbers, strict=True)]


def _estimate(
    sums: dict[str, list[float]], statistic: Callable[[Any], Any], seed: int, name: str, *, share: bool = True
) -> Estimate | None:
    import numpy as np

    if not sums:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        found = statistic_of_sums(np.array(list(sums.values())), statistic, seed=seed, name=name)
    if not np.isfinite(found.value):
        return None
    if share and found.low is None and 0.0 <= found.value <= 1.0:
        # No spread between the prompts is no certainty: the rule of `evals.metrics.bootstrap` for equal means.
        return Estimate(found.value, *wilson(found.value, len(sums)), None)
    return found
