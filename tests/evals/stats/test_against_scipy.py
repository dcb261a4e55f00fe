"""Every statistic beside scipy's, or beside counting all cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from evals.stats import choosing, distributions, errors, margins, permutation, power, resampling, sums
from evals.stats.holm import holm
from evals.stats.mcnemar import mcnemar


def paired(a, b):
    """Two runs with one output a prompt."""
    return sums.Pair((sums.mean_of([[x] for x in a]),), (sums.mean_of([[x] for x in b]),), sums.pooled)


@pytest.fixture
def graded():
    rng = np.random.default_rng(3)
    a = rng.random(60)
    return a, a + rng.normal(-0.04, 0.2, 60)


@pytest.mark.parametrize("df", [1, 2.5, 7, 30, 553, 1e5, 1e8])
def test_students_t(df):
    for x in np.linspace(-9, 9, 37):
        assert distributions.t_cdf(float(x), df) == pytest.approx(scipy.stats.t.cdf(x, df), abs=1e-8)
    for p in (0.001, 0.05, 0.3, 0.5, 0.8, 0.975, 0.9999):
        assert distributions.t_quantile(p, df) == pytest.approx(scipy.stats.t.ppf(p, df), rel=1e-6, abs=1e-9)


def test_incomplete_beta_and_binomial_tail():
    for a, b, x in itertools.product((0.5, 1, 4, 200), (0.5, 3, 90), (0.0, 0.01, 0.3, 0.77, 1.0)):
        assert distributions.incomplete_beta(a, b, x) == pytest.approx(scipy.special.betainc(a, b, x), abs=1e-11)
    for k, n, p in [(0, 5, 0.3), (3, 5, 0.3), (6, 5, 0.3), (40, 50, 0.7), (500, 900, 0.5), (1, 1, 1.0), (2, 3, 0.0)]:
        assert distributions.binomial_tail(k, n, p) == pytest.approx(scipy.stats.binom.sf(k - 1, n, p), rel=1e-9)


def test_one_output_a_prompt_is_the_paired_t_test(graded):
    a, b = graded
    found, theirs = errors.paired_spread(paired(a, b)), scipy.stats.ttest_rel(b, a)
    assert found.df == theirs.df
    assert found.interval() == pytest.approx(tuple(theirs.confidence_interval()), rel=1e-6)
    one = errors.spread(paired(a, b).first, sums.pooled)
    assert one.error == pytest.approx(scipy.stats.sem(a), rel=1e-6)


def test_tasks_are_welch_and_satterthwaite():
    rng = np.random.default_rng(0)
    a, b = rng.random(12), rng.random(40) * 3
    # The mean of two tasks has the error and the degrees of freedom of Welch's test of their difference, halved.
    found = errors.spread((sums.mean_of([[x] for x in a]), sums.mean_of([[x] for x in b])), sums.macro)
    welch = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert found.df == pytest.approx(welch.df, rel=1e-6)
    assert 2 * found.error == pytest.approx(abs((a.mean() - b.mean()) / welch.statistic), rel=1e-6)


def test_outputs_of_a_prompt_count_as_one():
    values = np.random.default_rng(1).random(30)
    once = errors.spread((sums.mean_of([[x] for x in values]),), sums.pooled)
    thrice = errors.spread((sums.mean_of([[x] * 3 for x in values]),), sums.pooled)
    assert thrice.value == pytest.approx(once.value) and thrice.error == pytest.approx(once.error, rel=1e-6)


def test_a_ratio_of_sums_has_the_delta_methods_error():
    rng = np.random.default_rng(5)
    x, y = rng.random(200) * 4, rng.random(200) + 3
    found = errors.spread((np.stack([x, y], axis=1),), sums.pooled)
    ratio = x.sum() / y.sum()
    by_hand = math.sqrt(np.square((x - ratio * y) / y.sum()).sum() * 200 / 199)
    assert found == pytest.approx((ratio, by_hand, 199), rel=1e-6)


def test_added_prompts_are_bonett_and_price():
    # 100 pairs, 9 won and 3 lost: one is added to each (Bonett & Price 2012, eq. 3).
    a = [0] * 9 + [1] * 3 + [1] * 88
    b = [1] * 9 + [0] * 3 + [1] * 88
    theirs = (14 / 102 - (6 / 102) ** 2) / 102
    assert errors.paired_spread(paired(a, b), span=1.0).error == pytest.approx(math.sqrt(theirs), rel=0.006)
    assert errors.paired_spread(paired(b, b), span=1.0).error == pytest.approx(math.sqrt(2 / 102 / 102))
    assert errors.paired_spread(paired(b, b)).error == 0.0


def test_sign_flips_of_all_labellings():
    rng = np.random.default_rng(2)
    a, b = rng.random(9), rng.random(9) + 0.15
    theirs = scipy.stats.permutation_test((b - a,), np.mean, permutation_type="samples", n_resamples=np.inf)
    less = scipy.stats.permutation_test((b - a,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="less")
    found = permutation.label_swap(paired(a, b), rng=rng, count=40_000)
    assert found.both == pytest.approx(theirs.pvalue, abs=0.01)
    assert found.lower == pytest.approx(less.pvalue, abs=0.01)


def test_sign_flips_of_equal_runs_reject_nothing(graded):
    found = permutation.label_swap(paired(graded[0], graded[0]), rng=np.random.default_rng(0), count=99)
    assert found == (1.0, 1.0, 1.0)


def test_swapped_prompts_keep_their_outputs_together():
    # Two prompts of four outputs each: whatever is swapped, the difference is one of four values, so p cannot be below 1/4.
    first = (sums.mean_of([[0] * 4, [0] * 4]),)
    second = (sums.mean_of([[1] * 4, [1] * 4]),)
    found = permutation.label_swap(sums.Pair(first, second, sums.pooled), rng=np.random.default_rng(0), count=4_000)
    assert found.upper == pytest.approx(0.25, abs=0.03)


def test_bootstrap(graded):
    a, b = graded
    drawn = resampling.summary(resampling.paired_draws(paired(a, b), rng=np.random.default_rng(0), count=8_000))
    theirs = scipy.stats.bootstrap((b - a,), np.mean, method="percentile", n_resamples=8_000, rng=np.random.default_rng(1))
    assert drawn.error == pytest.approx(theirs.standard_error, rel=0.04)
    assert (drawn.low, drawn.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.006)


def test_bootstrap_keeps_prompts_whole_and_pairs():
    # Each prompt gains 0.1 whatever its difficulty, and every draw must see exactly that.
    hard = np.random.default_rng(4).random(20)
    pair = paired(hard, hard + 0.1)
    assert np.ptp(resampling.paired_draws(pair, rng=np.random.default_rng(0), count=50)) < 1e-12
    assert np.ptp(resampling.draws(pair.first, sums.pooled, rng=np.random.default_rng(0), count=50)) > 0.05


def test_mcnemar():
    for gained, lost in [(0, 0), (1, 5), (10, 25), (7, 7), (0, 30)]:
        theirs = scipy.stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        assert mcnemar(gained, lost) == pytest.approx(theirs)


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never falling.
    assert holm([0.03, 0.005, 0.04, 0.01]) == pytest.approx([0.06, 0.02, 0.06, 0.03])
    assert holm([None, 0.9, 0.8]) == [None, 1.0, 1.0]
    assert holm([]) == []


def test_margins():
    found = errors.Spread(-0.01, 0.02, 40)
    claim = margins.not_inferior(found, 0.05, alpha=0.05)
    bound = -0.01 + float(scipy.stats.t.ppf(0.05, 40)) * 0.02
    assert claim.shown is True and claim.bound == pytest.approx(bound) and claim.p == pytest.approx(scipy.stats.t.sf(2.0, 40))
    assert margins.not_inferior(found, -bound - 1e-6).shown is False
    assert margins.superior(found).shown is False
    assert margins.superior(errors.Spread(0.05, 0.02, 40), 0.01, alpha=0.05).shown is True
    assert margins.not_inferior(errors.Spread(0.0, 0.0, 9), 0.0).shown is False
    # No difference in n prompts has this chance at the share that `unseen` names.
    assert (1 - margins.unseen(77, alpha=0.05)) ** 77 == pytest.approx(0.05)


@pytest.mark.parametrize("n", [20, 100, 1000])
def test_power_is_that_of_the_noncentral_t(n):
    effect = power.detectable(0.3, n)
    exact = scipy.stats.nct.sf(scipy.stats.t.ppf(0.95, n - 1), n - 1, effect * math.sqrt(n / 0.3))
    assert exact == pytest.approx(0.8, abs=0.012)
    assert power.achieved(0.3, effect, n) == pytest.approx(0.8, abs=1e-9)
    assert power.needed(0.3, effect * (1 + 1e-9)) == n


def test_needed_is_the_smallest_and_repeats_fill_the_gap():
    n = power.needed(0.25, 0.02, power=0.9, strata=6)
    assert power.detectable(0.25, n, power=0.9, strata=6) <= 0.02 < power.detectable(0.25, n - 1, power=0.9, strata=6)
    assert power.repeats_needed(0.04, 0.2, target=0.09) == 4
    assert power.repeats_needed(0.04, 0.2, target=0.04) is None
    assert power.repeats_needed(0.0, 0.0, target=0.1) == 1


def test_within_is_the_part_of_the_draws():
    rng = np.random.default_rng(0)
    draws = rng.normal(0, 1, (400, 5)) + rng.normal(0, 2, (400, 1))
    found = errors.within([draws.tolist()], [1 / draws.size])
    assert found == pytest.approx(draws.var(axis=1, ddof=1).mean() / draws.size)
    assert errors.within([[[1.0], [1.0, 2.0]]], [1.0]) is None


def test_pass_at_k_and_best_of_k_are_means_over_all_subsets():
    values = [0.1, 0.9, 0.4, 0.4, 0.7]
    for k in range(1, 6):
        subsets = list(itertools.combinations(values, k))
        assert choosing.best_of_k(values, k) == pytest.approx(sum(max(s) for s in subsets) / len(subsets))
        right = [v > 0.5 for v in values]
        share = np.mean([any(s) for s in itertools.combinations(right, k)])
        assert choosing.pass_at_k(5, 2, k) == pytest.approx(share) == choosing.best_of_k([float(r) for r in right], k)
    for bad in [(4, 5, 1), (4, 1, 0), (4, 1, 5), (4, -1, 2)]:
        with pytest.raises(ValueError, match="expected"):
            choosing.pass_at_k(*bad)
    with pytest.raises(ValueError, match="expected"):
        choosing.best_of_k([1.0], 2)


def test_too_few_prompts_tell_no_spread():
    assert errors.spread((sums.mean_of([[1, 0]]),), sums.pooled) is None
    nothing = sums.Pair((np.zeros((3, 2)),), (np.zeros((3, 2)),), sums.pooled)
    assert errors.paired_spread(nothing) is None
    assert permutation.label_swap(nothing, rng=np.random.default_rng(0), count=9) is None
    assert resampling.summary(np.array([np.nan] * 9 + [1.0])) is None
