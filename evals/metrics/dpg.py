"""DPG-Bench's numbers over the items, and its categories, 0 to 100, with intervals over items.

Source: ELLA 3c228f1, `compute_dpg_bench.py`. An item is a prompt, its pictures are the repeats. An item that the official code
leaves out (`not_applicable` under the official rule) counts in none of the official numbers; an output that failed is counted under
its outcome and the item is the mean of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evals.metrics.aggregate import Row, metric_of
from evals.metrics.bootstrap import Estimate, cluster_mean, statistic_of_sums, wilson
from evals.scorers import dpg_rules as rules
from evals.types import Metric, Outcome

STRICT = "strict"


def dpg_overall(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> Metric:
    """100 times the mean over items of the mean over their pictures.

    Args:
        rows: one a planned output, in plan order; values 0 to 100.
        value: `score` or `strict`.
        task: `*`, or the slice.
        kind: of the metric.
        seed: the run's.
    """
    known = {item: score for item, score in item_scores(rows).items() if score is not None}
    total = rules.overall(known.values())
    found = cluster_mean([[score] for score in known.values()], seed=seed, name=f"dpg/{value}/{task}") if known else None
    return _metric("overall", task, kind, _kept(rows), total, found)


def dpg_categories(rows: Sequence[Row], *, value: str, task: str, kind: str, seed: int) -> list[Metric]:
    """L1 and L2 categories: officially of the un-zeroed answers about the last picture alone; strictly about all pictures."""
    found = []
    for policy, label in (("official", ""), (STRICT, " (strict)")):
        groups: dict[str, dict[str, list[tuple[Row, list[bool]]]]] = {"L1": {}, "L2": {}}
        for row in policy_rows(rows, policy):
            own: dict[str, dict[str, list[bool]]] = {"L1": {}, "L2": {}}
            for category in dict.fromkeys(q["category"] for q in row.metadata["questions"] if policy == STRICT or q["official"]):
                own["L1"].setdefault(rules.broad(category), [])
                own["L2"].setdefault(category, [])
            for category, yes in answers_of(row, policy):
                own["L1"][rules.broad(category)].append(yes)
                own["L2"][category].append(yes)
            for level, names in own.items():
                for name, said in names.items():
                    groups[level].setdefault(name, []).append((row, said))
        for level, names in groups.items():
            for name, parts in names.items():
                found.append(_category(f"{level}{label}", name, kind, parts, seed=seed))
    return found


def item_scores(rows: Sequence[Row]) -> dict[str, float | None]:
    """Item (sample id) -> its score, 0 to 1; None when the rule leaves it out, absent when none of its pictures is scored."""
    found: dict[str, float | None] = {}
    for item, own in _items(rows):
        if any(row.outcome is Outcome.NOT_APPLICABLE for row in own):
            found[item] = None
        elif crops := [row.value / 100 for row in own if row.value is not None]:
            found[item] = rules.item_mean(crops)
    return found


def policy_rows(rows: Sequence[Row], policy: str) -> list[Row]:
    """The rows whose answers make the categories, with the value that the policy gives them."""
    if policy == STRICT:
        return [_under_strict(row) for row in rows]
    kept = _kept(rows)
    return [own[-1] for _, own in _items(kept)]


def answers_of(row: Row, policy: str) -> Iterator[tuple[str, bool]]:
    """(L2 category, answered yes) of a picture that has a value; un-zeroed."""
    if row.value is None:
        return
    for one in row.evidence["answers"]:
        if policy == STRICT:
            yield one["category"], bool(one["word"])
        elif one["official"]:
            yield one["category"], one["yes"]


def _items(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.sample_id, []).append(row)
    return list(found.items())


def _kept(rows: Sequence[Row]) -> list[Row]:
    # Of an item that the official code leaves out no picture counts, also where one would have had a score.
    out = {item for item, own in _items(rows) if any(row.outcome is Outcome.NOT_APPLICABLE for row in own)}
    return [
        replace(row, outcome=Outcome.NOT_APPLICABLE, value=None) if row.sample_id in out and row.value is not None else row for row in rows
    ]


def _under_strict(row: Row) -> Row:
    number = row.values.get(STRICT)
    outcome = row.outcome
    if number is not None:
        outcome = Outcome.OK
    elif STRICT in row.evidence.get("outcomes", {}):
        outcome = Outcome(row.evidence["outcomes"][STRICT])
    return replace(row, value=number, outcome=outcome)


def _category(name: str, category: str, kind: str, parts: Sequence[tuple[Row, list[bool]]], *, seed: int) -> Metric:
    sums: dict[str, list[float]] = {}
    for row, said in parts:
        if said:
            before = sums.setdefault(row.prompt, [0.0, 0.0])
            sums[row.prompt] = [before[0] + sum(said), before[1] + len(said)]
    rows = [row for row, _ in parts]
    if not sums:
        return _metric(name, category, kind, rows, None, None)
    found = _estimate(list(sums.values()), seed, f"dpg/{name}/{category}")
    return _metric(name, category, kind, rows, 100 * found.value, found)


def _estimate(sums: list[list[float]], seed: int, name: str) -> Estimate:
    import numpy as np

    found = statistic_of_sums(np.array(sums), lambda x: x[..., 0] / x[..., 1], seed=seed, name=name)
    if found.low is None:
        # No spread over the items: Wilson's interval with their number, as in the other suites.
        return Estimate(found.value, *wilson(found.value, len(sums)), None)
    return found


def _metric(name: str, task: str, kind: str, rows: Sequence[Row], value: float | None, found: Estimate | None) -> Metric:
    def percent(share: float | None) -> float | None:
        return None if share is None else 100 * share

    shown = None if value is None or found is None else Estimate(value, percent(found.low), percent(found.high), None)
    return replace(metric_of(name, task, kind, rows, shown), unit="points")
