"""Intervals against scipy, the analytic standard error, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evals.metrics import bootstrap


def test_agrees_with_scipy():
    values = np.random.default_rng(1).random(60)
    ours = bootstrap.cluster_mean([[v] for v in values], seed=0, name="x")
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.01) and ours.high == pytest.approx(theirs.high, abs=0.01)


def test_repeats_of_a_prompt_count_as_one_cluster():
    rng = np.random.default_rng(3)
    single = [[float(v)] for v in rng.integers(0, 2, 80)]
    copied = [values * 4 for values in single]
    one, four = (bootstrap.cluster_mean(c, seed=0, name="x") for c in (single, copied))
    # Four equal images of a prompt tell nothing new: the same interval, not half of it.
    assert (one.low, one.high, one.value) == pytest.approx((four.low, four.high, four.value))


def test_mean_of_means_has_the_analytic_width():
    rng = np.random.default_rng(4)
    tasks = [rng.random(50) ** k for k in (1, 2, 3)]
    parts = [bootstrap.cluster_mean([[v] for v in task], seed=0, name=f"t{i}") for i, task in enumerate(tasks)]
    whole = bootstrap.mean_of_means(parts)
    error = np.sqrt(sum(np.var(task) / len(task) for task in tasks)) / len(tasks)
    assert whole.value == pytest.approx(np.mean([task.mean() for task in tasks]))
    assert whole.high - whole.low == pytest.approx(2 * bootstrap.Z * error, rel=0.06)


def test_unequal_clusters_weigh_by_outputs():
    found = bootstrap.cluster_mean([[1.0, 1.0, 1.0], [0.0]], seed=0, name="x")
    assert found.value == 0.75


def test_seed_and_name_fix_the_draws():
    clusters = [[float(i % 3 == 0)] for i in range(40)]
    same = [bootstrap.cluster_mean(clusters, seed=5, name="x") for _ in range(2)]
    assert np.array_equal(same[0].draws, same[1].draws)
    assert not np.array_equal(same[0].draws, bootstrap.cluster_mean(clusters, seed=5, name="y").draws)
    assert not np.array_equal(same[0].draws, bootstrap.cluster_mean(clusters, seed=6, name="x").draws)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("n", [1, 20, 500])
def test_all_equal_is_never_certain(share, n):
    found = bootstrap.cluster_mean([[share, share]] * n, seed=0, name="x")
    wilson = stats.binomtest(int(share * n), n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high))
    assert found.low <= found.value <= found.high and found.high - found.low > 0


def test_all_equal_outside_a_share_has_no_interval():
    found = bootstrap.cluster_mean([[7.0]] * 5, seed=0, name="x")
    assert (found.value, found.low, found.high) == (7.0, None, None)
    assert bootstrap.mean_of_means([found, found]).low is None


def test_macro_with_a_perfect_task_stays_wide():
    perfect = bootstrap.cluster_mean([[1.0]] * 20, seed=0, name="a")
    mixed = bootstrap.cluster_mean([[float(i % 2)] for i in range(20)], seed=0, name="b")
    whole = bootstrap.mean_of_means([perfect, mixed])
    assert whole.low < whole.value < whole.high
    # Wider than what the mixed task alone gives: the perfect one is not taken for certain.
    assert whole.value - whole.low > (mixed.value - mixed.low) / 2


def test_coverage_of_the_interval_is_about_95_percent():
    rng = np.random.default_rng(7)
    hits = 0
    for trial in range(300):
        rates = rng.beta(2, 2, size=60)
        clusters = [list(rng.binomial(1, rate, size=2).astype(float)) for rate in rates]
        found = bootstrap.cluster_mean(clusters, seed=trial, name="x")
        hits += found.low <= 0.5 <= found.high
    assert 0.91 <= hits / 300 <= 0.985
