"""Agreement of two raters against hand-worked values and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evals.metrics.agreement import agreement, kendall_tau, krippendorff_alpha, spearman


def test_alpha_of_two_raters_by_hand():
    # Nominal, 10 units, 0/1: Krippendorff's own first example (4 of 10 units differ, 14 zeros and 6 ones pooled):
    # alpha = 1 - 19 * 8 / (2 * 14 * 6) = 0.0952...
    a = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], float)
    b = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0], float)
    assert krippendorff_alpha(a, b) == pytest.approx(1 - (20 - 1) * 8 / (2 * 14 * 6))
    assert krippendorff_alpha(a, a) == 1.0
    assert krippendorff_alpha(np.zeros(4), np.zeros(4)) is None
    assert krippendorff_alpha(np.zeros(0), np.zeros(0)) is None


def test_alpha_of_numbers_by_hand():
    # Units (1,2), (3,3), (5,4): observed (1 + 0 + 1) / 3; expected over the 30 ordered pairs of 1,2,3,3,5,4.
    a, b = np.array([1.0, 3, 5]), np.array([2.0, 3, 4])
    pooled = [1, 2, 3, 3, 5, 4]
    expected = sum((x - y) ** 2 for x in pooled for y in pooled) / 30
    assert krippendorff_alpha(a, b) == pytest.approx(1 - (2 / 3) / expected)


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlations_are_scipys_ties_included(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 6, 60).astype(float)
    b = a + rng.integers(-3, 4, 60)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)


def test_a_constant_side_has_no_correlation():
    assert spearman(np.ones(3), np.arange(3.0)) is None
    assert kendall_tau(np.ones(3), np.arange(3.0)) is None
    assert spearman(np.ones(1), np.ones(1)) is None


def test_the_interval_is_reproducible_and_by_prompt():
    rng = np.random.default_rng(0)
    pairs = [(str(i // 4), float(x), float(x + rng.normal())) for i, x in enumerate(rng.normal(size=80))]
    first = agreement(pairs, seed=1, name="x")
    assert first == agreement(pairs, seed=1, name="x") != agreement(pairs, seed=2, name="x")
    assert first["alpha_low"] < first["alpha"] < first["alpha_high"] and first["n_samples"] == 20
    assert agreement(pairs[:4], seed=1, name="x")["alpha_low"] is None
    assert agreement([], seed=1, name="x")["equal"] is None
