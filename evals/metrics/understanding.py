"""The published sums of the understanding benchmarks, with intervals over images (or questions, where an image has one).

Rules: `evals.understanding`. An answer that was not judged is left out and counted, so a sum over fewer answers says so in its coverage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evals.metrics.aggregate import Row, macro_over_tasks, metric_of
from evals.metrics.bootstrap import Estimate, cluster_mean, statistic_of_sums
from evals.types import Metric, Outcome
from evals.understanding import mmbench, mme
from evals.understanding.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np


def pope_f1(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Mean over the splits (the tasks) of the F1 of "yes" by the official rule; absent when a split has no answer."""
    return metric_of("mean F1", task, kind, rows, _over_splits(rows, _f1, seed=seed, name=f"pope/f1/{task}"))


def pope_parts(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """Accuracy, precision, recall and yes ratio, each the mean over the splits."""
    parts = {
        "accuracy": lambda c: (c[0] + c[3]) / c.sum(),
        "precision": _precision,
        "recall": _recall,
        "yes ratio": lambda c: (c[0] + c[1]) / c.sum(),
    }
    return [
        metric_of(name, task, kind, rows, _over_splits(rows, part, seed=seed, name=f"pope/{name}/{task}")) for name, part in parts.items()
    ]


def mme_perception(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Sum over the perception subtasks of 100 x accuracy + 100 x share of images with both right; at most 2,000."""
    return _mme(rows, mme.PERCEPTION, "perception", task, kind, seed)


def mme_cognition(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """The same over the cognition subtasks; at most 800."""
    return _mme(rows, mme.COGNITION, "cognition", task, kind, seed)


def pairs_right(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Share of images of which every question is right (MME's accuracy+), over images with all questions judged."""
    return _all_right(rows, "question_id", "images with all right", task, kind, seed)


def mmbench_circular(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """Share of questions of which every rotation is right; a decided wrong rotation decides, else an undecided one leaves it open."""
    made = []
    for group in mmbench.groups(rows, fields=lambda row: row.metadata).values():
        found = mmbench.combined(
            Verdict.UNDECIDED if row.value is None else Verdict.RIGHT if row.value >= 1.0 else Verdict.WRONG for row in group
        )
        unread = next((row.outcome for row in group if row.value is None), Outcome.MISSING)
        made.append(replace(group[0], value=found.credit, outcome=unread if found is Verdict.UNDECIDED else Outcome.OK))
    return _share(made, "circular accuracy", task, kind, seed)


def mmstar_categories(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """Of each category, the mean over its second-level categories (the tasks) of their means; the headline is that over all."""
    names = dict.fromkeys(str(row.metadata.get("category")) for row in rows)
    return [
        macro_over_tasks([row for row in rows if str(row.metadata.get("category")) == name], value=value, task=name, kind=kind, seed=seed)
        for name in names
    ]


def hallusion_accuracies(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """aAcc, fAcc and qAcc; figure 0 of VS, which has no picture, is no figure."""
    figures = [row for row in rows if not (row.metadata.get("category") == "VS" and str(row.metadata.get("figure_id")) == "0")]
    keys = ("category", "subcategory", "set_id")
    plain = cluster_mean([[row.value] for row in rows if row.value is not None], seed=seed, name="aAcc") if _any(rows) else None
    return [
        metric_of("aAcc", task, kind, rows, plain),
        _all_right(figures, (*keys, "figure_id"), "fAcc", task, kind, seed),
        _all_right(rows, (*keys, "question_id"), "qAcc", task, kind, seed),
    ]


def number_right(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """OCRBench's score: how many are right (of 1,000 in the published set)."""
    clusters = [[row.value] for row in rows if row.value is not None]
    if not clusters:
        return metric_of("number right", task, kind, rows, None)
    found = cluster_mean(clusters, seed=seed, name=f"number right/{task}")
    scale = float(len(clusters))
    low, high = (None if bound is None else scale * bound for bound in (found.low, found.high))
    return metric_of("number right", task, kind, rows, Estimate(scale * found.value, low, high, None))


# -- parts -----------------------------------------------------------------------------------------------------------


def _any(rows: Iterable[Row]) -> bool:
    return any(row.value is not None for row in rows)


def _precision(counts: np.ndarray) -> float:
    return counts[0] / (counts[0] + counts[1]) if counts[0] + counts[1] else 0.0


def _recall(counts: np.ndarray) -> float:
    return counts[0] / (counts[0] + counts[2]) if counts[0] + counts[2] else 0.0


def _f1(counts: np.ndarray) -> float:
    below = 2 * counts[0] + counts[1] + counts[2]
    return 2 * counts[0] / below if below else 0.0


def _over_splits(rows: Sequence[Row], part: Callable[[np.ndarray], float], *, seed: int, name: str) -> Estimate | None:
    """Mean over the tasks of a function of (hits, false alarms, misses, rightly no), resampled over images."""
    import numpy as np

    splits = list(dict.fromkeys(row.task for row in rows))
    sums: dict[Any, Any] = {}
    for row in rows:
        if row.value is None:
            continue
        meant, right = str(row.metadata["answer"]).strip().lower() == "yes", row.value >= 1.0
        # Whatever is not right is the other answer: the official reading knows no third.
        cell = (0 if right else 2) if meant else (3 if right else 1)
        own = sums.setdefault(_image_of(row), np.zeros(4 * len(splits)))
        own[4 * splits.index(row.task) + cell] += 1
    if not sums:
        return None

    def statistic(totals: np.ndarray) -> np.ndarray:
        counts = totals.reshape(*totals.shape[:-1], len(splits), 4)
        flat = counts.reshape(-1, len(splits), 4)
        means = [math.nan if (one.sum(-1) == 0).any() else sum(map(part, one)) / len(splits) for one in flat]
        return np.array(means).reshape(totals.shape[:-1])

    found = statistic_of_sums(np.stack(list(sums.values())), statistic, seed=seed, name=name)
    return None if math.isnan(found.value) else found


def _image_of(row: Row) -> Any:
    images = row.metadata.get("images") or ()
    return images[0] if images else row.sample_id


def _mme(rows: Sequence[Row], parts: Sequence[str], name: str, task: str, kind: str, seed: int) -> Metric:
    import numpy as np

    own = [row for row in rows if row.task in parts]
    present = list(dict.fromkeys(row.task for row in own))
    images: dict[tuple[str, Any], list[Row]] = {}
    for row in own:
        images.setdefault((row.task, row.metadata.get("question_id")), []).append(row)
    judged = {key: group for key, group in images.items() if all(row.value is not None for row in group)}
    if not present or {key[0] for key in judged} != set(present):
        return metric_of(name, task, kind, own, None)
    # Of each image: right answers, answers, whether all are right, and one image, in the columns of its subtask.
    sums = np.zeros((len(judged), 4 * len(present)))
    for line, ((subtask, _), group) in enumerate(judged.items()):
        at = 4 * present.index(subtask)
        hits = [float(row.value or 0.0) for row in group]
        sums[line, at : at + 4] = sum(hits), len(hits), float(min(hits) >= 1.0), 1.0

    def statistic(totals: np.ndarray) -> np.ndarray:
        cells = totals.reshape(*totals.shape[:-1], len(present), 4)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (100 * cells[..., 0] / cells[..., 1] + 100 * cells[..., 2] / cells[..., 3]).sum(-1)

    return metric_of(name, task, kind, own, statistic_of_sums(sums, statistic, seed=seed, name=f"mme/{name}/{task}"))


def _all_right(rows: Sequence[Row], key: str | Sequence[str], name: str, task: str, kind: str, seed: int) -> Metric:
    """Share of groups (of a metadata key) of which all answers are right, one row a group."""
    keys = (key,) if isinstance(key, str) else tuple(key)
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, *(str(row.metadata.get(part)) for part in keys)), []).append(row)
    made = []
    for group in groups.values():
        open_one = next((row.outcome for row in group if row.value is None), None)
        value = None if open_one is not None else float(all(row.value >= 1.0 for row in group))
        made.append(replace(group[0], value=value, outcome=open_one or Outcome.OK))
    return _share(made, name, task, kind, seed)


def _share(made: Sequence[Row], name: str, task: str, kind: str, seed: int) -> Metric:
    """Share of groups that are right, one row a group."""
    clusters = [[row.value] for row in made if row.value is not None]
    found = cluster_mean(clusters, seed=seed, name=f"{name}/{task}") if clusters else None
    return metric_of(name, task, kind, made, found)
