"""What a shared context is worth: agreement by kind of question, and best-of-n chosen by the model's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evals.metrics.aggregate import Row, mean_over_outputs, metric_of
from evals.metrics.bootstrap import cluster_mean
from evals.types import Metric, Outcome

_NAMES = {"a": "in context (A)", "b": "re-encoded (B)"}


def agreement_by_kind(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """The mean of every value `PAIR/KIND` and `flips/...`, named as it is."""
    names = dict.fromkeys(name for row in rows for name in row.values if "/" in name)
    out = []
    for name in sorted(names):
        own = [_valued(row, name) for row in rows]
        out.append(replace(mean_over_outputs(own, value=name, task=task, kind=kind, seed=seed), name=name.replace("/", ": ")))
    return out


def best_of_n(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """Share of right images when one of a prompt's n is kept: the one whose own answers best say what was meant.

    The choice is by `ad` (asked in context), by `bd` (asked after decode and re-encode), by chance, or by the verdict itself (the
    most that any choice can reach). A tie is worth the mean of the tied, which is what a draw among them is worth on average.
    Prompts with an output that is not scored are left out and counted under its outcome.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.sample_id, []).append(row)
    n = max((len(group) for group in groups.values()), default=0)
    if n < 2:
        return []
    out = []
    for name, by in (("chance", None), (_NAMES["a"], "ad"), (_NAMES["b"], "bd"), ("the verdict itself", "correct")):
        chosen = []
        for group in groups.values():
            bad = next((row.outcome for row in group if row.outcome is not Outcome.OK or "correct" not in row.values), None)
            worth = None if bad is not None else _worth(group, by)
            chosen.append(replace(group[0], value=worth, outcome=bad or Outcome.OK))
        clusters: dict[str, list[float]] = {}
        for row in chosen:
            if row.value is not None:
                clusters.setdefault(row.prompt, []).append(row.value)
        found = cluster_mean(list(clusters.values()), seed=seed, name=f"best of {n}/{name}") if clusters else None
        out.append(metric_of(f"right, best of {n} by {name}", task, kind, chosen, found))
    return out


def _worth(group: Sequence[Row], by: str | None) -> float:
    if by is None:
        kept = list(group)
    else:
        top = max(row.values.get(by, 0.0) for row in group)
        kept = [row for row in group if row.values.get(by, 0.0) == top]
    return sum(row.values["correct"] for row in kept) / len(kept)


def _valued(row: Row, name: str) -> Row:
    number = row.values.get(name)
    outcome = Outcome.NOT_APPLICABLE if row.outcome is Outcome.OK and number is None else row.outcome
    return replace(row, value=number, outcome=outcome)
