"""Comparisons of verdicts: what is a pair, which tests hold, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import scipy.stats

from evals.analysis.compare import compare
from evals.errors import DataError
from evals.stats.mcnemar import mcnemar


def test_the_overall_number_is_the_headline_and_tasks_are_means(verdicts):
    first = verdicts({"a": [[1, 0], [1, 1], [0, 0]], "b": [[0, 0], [1, 1]]})
    second = verdicts({"a": [[1, 1], [1, 0], [1, 1]], "b": [[0, 0], [0, 1]]})
    found = compare([first, second]).others[0]
    # Task a: 3 of 6 and 5 of 6; task b: 2 of 4 and 1 of 4.
    assert [(task.name, task.delta) for task in found.tasks] == [("a", pytest.approx(2 / 6)), ("b", pytest.approx(-1 / 4))]
    assert found.overall.delta == pytest.approx((2 / 6 - 1 / 4) / 2)
    assert (found.overall.first, found.overall.second) == (pytest.approx(first.known), pytest.approx(second.known))
    assert found.overall_of == "headline, macro_over_tasks"
    assert found.overall.counts == {"won": 3, "lost": 2, "tied": 5} and found.overall.prompts == 5
    assert found.overall.mcnemar is None


def test_one_output_a_prompt_has_mcnemar_and_nearly_the_t_interval(verdicts):
    right = [[float(at % 3 > 0)] for at in range(60)]
    other = [[float(at % 4 > 0)] for at in range(60)]
    found = compare([verdicts({"a": right}), verdicts({"a": other})]).others[0].tasks[0]
    won, lost = found.counts["won"], found.counts["lost"]
    assert found.mcnemar == pytest.approx(mcnemar(won, lost)) == pytest.approx(scipy.stats.binomtest(won, won + lost).pvalue)
    theirs = scipy.stats.ttest_rel([x[0] for x in other], [x[0] for x in right]).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=0.01)
    assert (found.bootstrap.low, found.bootstrap.high) == pytest.approx(tuple(theirs), abs=0.03)
    assert found.tail.both == pytest.approx(scipy.stats.binomtest(won, won + lost).pvalue, abs=0.03)


def test_tasks_are_corrected_by_holm_and_the_overall_number_is_not(verdicts):
    first = verdicts({"a": [[1.0]] * 20, "b": [[1.0], [0.0]] * 10})
    second = verdicts({"a": [[0.0]] * 9 + [[1.0]] * 11, "b": [[0.0], [1.0]] * 3 + [[1.0], [0.0]] * 7})
    found = compare([first, second]).others[0]
    raw = {task.name: task.tail.both for task in found.tasks}
    assert raw["a"] < 0.01 < raw["b"]
    assert found.tasks[0].p_holm == pytest.approx(2 * raw["a"]) and found.tasks[1].p_holm == pytest.approx(raw["b"])
    assert found.overall.p_holm == found.overall.tail.both


def test_an_output_without_a_score_is_no_pair_and_no_zero(verdicts):
    first = verdicts({"a": [[1, "refused"], [1, 1], [0, 1]]})
    second = verdicts({"a": [["judge_error", 1], [1, 1], [0, 1]]})
    found = compare([first, second]).others[0]
    assert found.overall.pairs == 4 and found.overall.delta == 0.0 and found.overall.prompts == 2
    assert found.matched.unpaired == {"second: judge_error": 1, "first: refused": 1}
    assert any("2 outputs are no pairs and are left out" in note for note in found.notes)


def test_more_runs_are_each_against_the_first(verdicts):
    runs = [verdicts({"a": [[float(at < right)] for at in range(30)]}, model=str(right)) for right in (10, 15, 20)]
    found = compare(runs)
    assert [(other.run.model, round(other.overall.delta, 3)) for other in found.others] == [("15", 0.167), ("20", 0.333)]


@pytest.mark.parametrize(
    "change, told",
    [
        ({"measurement": {"suite": "toy", "protocol.name": "long", "limit": None}}, "protocol.name: toy in the first, long in the second"),
        ({"measurement": {"suite": "toy", "protocol.name": "toy", "limit": 5}}, "limit: nothing in the first, 5 in the second"),
        ({"seed": 3}, "seed: 0 in the first, 3 in the second"),
    ],
)
def test_unlike_runs_are_refused_and_the_setting_is_named(verdicts, change, told):
    first = verdicts({"a": [[1.0], [0.0]]})
    with pytest.raises(DataError) as error:
        compare([first, replace(first, **change)])
    assert told in str(error.value)


def test_sampling_may_differ_and_is_told(verdicts):
    first = verdicts({"a": [[1.0], [0.0]]})
    found = compare([first, replace(first, sampling={"temperature": 0.5})])
    assert "The models sample differently: generate.temperature: 1.0 in the first, 0.5 in the second." in found.others[0].notes


def test_a_headline_of_another_kind_gives_way_to_the_mean_and_says_so(verdicts):
    first = verdicts({"a": [[1.0], [0.0], [1.0]]})
    found = compare([replace(first, headline="pope_f1", known=0.123), first]).others[0]
    assert found.overall_of == 'mean of "correct" over all outputs, since the headline "pope_f1" does not follow from sums over prompts'
    assert found.overall.delta == 0.0


def test_equal_values_do_not_pass_for_a_headline(verdicts):
    right = verdicts({"a": [[1.0]] * 9}, headline="pope_f1", known=1.0)
    assert compare([right, right]).others[0].overall_of.startswith('mean of "correct" over all outputs, since the headline "pope_f1"')
    plain = verdicts({"a": [[1.0]] * 9}, headline="mean", known=1.0)
    assert compare([plain, plain]).others[0].overall_of == "headline, mean"


def test_values_outside_the_scale_have_intervals_of_their_own_size(verdicts):
    decibels = [[20 + at % 7] for at in range(40)]
    better = [[value[0] + 1 + at % 2 / 10] for at, value in enumerate(decibels)]
    found = compare([verdicts({"a": decibels}), verdicts({"a": better})]).others[0].overall
    assert found.delta == pytest.approx(1.05) and 0.9 < found.low < 1.05 < found.high < 1.2
    # Nothing differs and nothing says by how much it could.
    same = compare([verdicts({"a": decibels}), verdicts({"a": decibels})]).others[0].overall
    assert same.delta == 0.0 and same.low is None and same.counts["tied"] == 40


def test_nothing_in_common_is_refused(verdicts):
    with pytest.raises(DataError, match="no output that both have scored"):
        compare([verdicts({"a": [[1.0], ["refused"]]}), verdicts({"a": [["refused"], [1.0]]})])


def test_prompts_asked_as_several_samples_are_one_cluster(verdicts):
    first, second = verdicts({"a": [[1.0], [0.0]] * 20}), verdicts({"a": [[0.0], [0.0]] * 20})
    apart = compare([first, second]).others[0].tasks[0]

    def together(run):
        return replace(run, table={key: replace(row, prompt=f"p{int(key[0][-4:]) // 4}") for key, row in run.table.items()})

    joined = compare([together(first), together(second)]).others[0].tasks[0]
    assert (apart.prompts, joined.prompts) == (40, 10) and joined.mcnemar is None is not apart.mcnemar
