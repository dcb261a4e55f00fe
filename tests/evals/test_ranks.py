"""Bootstrap ranks: paired draws, ties, direction, values without samples, and headlines that can or cannot be computed again."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from evals.ranks import Sums, rank_intervals, sums_of
from evals.store.reader import RunReader

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).parents[1] / "reports" / "boards.py")
boards = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(boards)


def sums(values):
    """One stratum, one output a prompt, the plain mean."""
    table = np.column_stack([values, np.ones(len(values))])
    keys = tuple(f"p{i}" for i in range(len(values)))
    return Sums((keys,), (table,), lambda totals: totals[0][:, 0] / totals[0][:, 1])


HARD = np.linspace(0, 0.8, 40)


def test_a_steady_lead_on_the_same_prompts_is_certain_though_the_means_spread_widely():
    better, worse = sums(HARD + 0.02), sums(HARD)
    assert rank_intervals([better, worse], [HARD.mean() + 0.02, HARD.mean()]) == [(1, 1), (2, 2)]


def test_an_unsteady_lead_is_not():
    shuffled = np.random.default_rng(0).permutation(HARD)
    assert rank_intervals([sums(HARD + 0.01), sums(shuffled)], [HARD.mean() + 0.01, HARD.mean()]) == [(1, 2), (1, 2)]


def test_lower_may_be_better():
    found = rank_intervals([sums(HARD + 0.02), sums(HARD)], [HARD.mean() + 0.02, HARD.mean()], higher=False)
    assert found == [(2, 2), (1, 1)]


def test_equal_values_share_the_better_place():
    assert rank_intervals([sums(HARD), sums(HARD)], [0.4, 0.4]) == [(1, 1), (1, 1)]


def test_a_value_without_samples_is_exact_and_has_no_interval():
    mean = float(HARD.mean())
    assert rank_intervals([sums(HARD), None], [mean, 9.0]) == [(2, 2), None]
    assert rank_intervals([sums(HARD), None], [mean, mean]) == [(1, 2), None]
    assert rank_intervals([None, None], [1.0, 2.0]) == [None, None]


def test_draws_that_cannot_differ_say_nothing():
    assert rank_intervals([sums(np.full(40, 0.5)), sums(HARD)], [0.5, 0.4])[0] is None


def test_other_prompts_cannot_be_paired():
    with pytest.raises(ValueError, match="different prompts"):
        rank_intervals([sums(HARD), sums(HARD[:20])], [0.4, 0.4])


def test_the_interval_is_that_of_a_plain_resampling():
    rng = np.random.default_rng(1)
    tables = [rng.random(50) * scale for scale in (1.0, 0.95, 0.9)]
    index = rng.integers(0, 50, size=(20_000, 50))
    draws = np.stack([table[index].mean(axis=1) for table in tables], axis=1)
    places = 1 + (draws[:, :, None] < draws[:, None, :]).sum(axis=2)
    expected = [tuple(np.quantile(places[:, i], [0.025, 0.975], method="inverted_cdf").astype(int)) for i in range(3)]
    assert rank_intervals([sums(t) for t in tables], [t.mean() for t in tables]) == expected


def test_a_run_gives_its_headline_back(tmp_path):
    run = RunReader(boards.run(tmp_path, "good", 0.7))
    found = sums_of(run)
    again = found.statistic([part.sum(axis=0, keepdims=True) for part in found.sums])
    assert again[0] == pytest.approx(run.results["headline"]["value"], abs=1e-12)
    assert [len(keys) for keys in found.prompts] == [30, 30]


@pytest.mark.parametrize("suite", ["longtext", "oneig-text", "wise", "imgedit"])
def test_headlines_of_the_suites_can_be_drawn_again(suite, tmp_path):
    from evals.run import run_suite

    text = suite in ("longtext", "oneig-text")
    out = run_suite(suite, model="text-renderer:noise=0.6" if text else None, profile="mini", limit=1, out=tmp_path, report=False).path
    run = RunReader(out)
    found = sums_of(run)
    assert isinstance(found, Sums), found
    again = found.statistic([part.sum(axis=0, keepdims=True) for part in found.sums])
    assert again[0] == pytest.approx(run.results["headline"]["value"], abs=1e-9)


def test_a_headline_of_another_kind_says_so(tmp_path):
    run = RunReader(boards.run(tmp_path, "good", 0.7))
    run.results["headline"]["value"] += 0.01
    assert sums_of(run) == 'the headline "macro_over_tasks" cannot be computed again from sums over prompts'


def test_all_runs_of_a_suite_are_drawn_alike_whether_tasks_are_balanced_or_not(tmp_path):
    """With equal tasks the pooled mean is the mean of tasks as well; a run that lacks scores is still drawn in the same way."""
    boards.suite(tmp_path)
    text = (tmp_path / "ranked.yaml").read_text().replace("headline: macro_over_tasks", "headline: mean")
    (tmp_path / "pooled.yaml").write_text(text)
    from evals.run import run_suite

    found = []
    for number, fail in enumerate(("", ";fail=round_one-003")):
        out = tmp_path / f"run{number}"
        run_suite(str(tmp_path / "pooled.yaml"), model=f"painter:skill=0.6;name=x{fail}", out=out, report=False)
        found.append(sums_of(RunReader(out)))
    assert [len(keys) for keys in found[0].prompts] == [60] and found[0].prompts == found[1].prompts
