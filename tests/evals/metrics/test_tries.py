"""pass@k and best of k as metrics of a report, counted over all subsets by hand."""

from __future__ import annotations

from itertools import combinations

import pytest

from evals.metrics.aggregate import Row
from evals.metrics.tries import pass_at_k
from evals.registry import Registry
from evals.types import Outcome


def rows(values, scale=(0.0, 1.0)):
    """One row an output; None is one without a score."""
    made = []
    for name, own in values.items():
        for value in own:
            outcome = Outcome.OK if value is not None else Outcome.REFUSED
            made.append(Row(name, "t", (), outcome, value, sample_id=name, scale=scale))
    return made


def found(table):
    return {metric.name: metric for metric in pass_at_k(table, value="correct", task="*", kind="more", seed=0)}


def test_verdicts_are_pass_at_k_over_all_subsets():
    values = {"x": [1.0, 0.0, 0.0, 0.0, 1.0], "y": [0.0] * 5, "z": [0.0, 0.0, 1.0, 0.0, 0.0]}
    metrics = found(rows(values))
    assert list(metrics) == ["pass@1", "pass@2", "pass@4", "pass@5"]
    for name, metric in metrics.items():
        k = int(name.partition("@")[2])
        shares = [sum(any(subset) for subset in combinations(own, k)) / sum(1 for _ in combinations(own, k)) for own in values.values()]
        assert metric.value == pytest.approx(sum(shares) / 3) and metric.low <= metric.value <= metric.high
        assert metric.n == metric.n_expected == 3


def test_graded_values_are_the_best_of_k_in_the_suites_direction():
    table = {"x": [1.0, 4.0, 2.0]}
    assert found(rows(table, (0.0, 5.0)))["best of 2"].value == pytest.approx((4 + 2 + 4) / 3)
    assert found(rows(table, (5.0, 0.0)))["best of 2"].value == pytest.approx((1 + 1 + 2) / 3)


def test_a_sample_with_an_unscored_try_is_counted_and_no_zero():
    metric = found(rows({"x": [1.0, None], "y": [1.0, 1.0]}))["pass@2"]
    assert (metric.value, metric.n, metric.n_expected) == (1.0, 1, 2) and metric.outcomes == {"ok": 1, "refused": 1}
    assert found(rows({"x": [None, None]}))["pass@1"].value is None
    assert pass_at_k([], value="correct", task="*", kind="more", seed=0) == []


def test_suites_name_it():
    assert Registry().load("metric", "pass_at_k") is pass_at_k
