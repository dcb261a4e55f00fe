"""The summary: GenEval's definitions on its golden file, coverage, slices, and absent values that stay absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.metrics.aggregate import Row, gaps, macro_over_tasks, mean_over_outputs, outcome_counts, prompt_accuracy, rows, summary
from evals.types import Outcome, Sample, Score


def row(sample_id: str, task: str, value: float | None, outcome: Outcome = Outcome.OK, tags=()) -> Row:
    return Row(sample_id, task, tags, outcome, value)


def score(sample: Sample, repeat: int, value: float | None) -> Score:
    return Score(
        sample_id=sample.sample_id, task=sample.task, repeat=repeat, scorer="s",
        outcome=Outcome.OK if value is not None else Outcome.REFUSED,
        values={} if value is None else {"correct": value},
    )  # fmt: skip


GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "scorers" / "geneval_summary.json"
SAMPLES = [
    Sample(sample_id=f"{t}{i}", task=t, prompt=f"{t}{i}", tags=("seen",) if i else ("unseen",))
    for t in "ab"
    for i in range(3)
]


def test_every_planned_output_has_a_row():
    table = rows(SAMPLES, 2, [score(SAMPLES[0], 0, 1.0), score(SAMPLES[1], 1, None)], "correct")
    assert len(table) == 12
    assert outcome_counts(table) == {"ok": 1, "missing": 10, "refused": 1}
    assert rows(SAMPLES[:1], 1, [score(SAMPLES[0], 0, 1.0)], "other")[0].outcome is Outcome.NOT_APPLICABLE


def test_summary_is_as_the_benchmark_defines_it():
    values = {"a": [1, 1, 0, 1, 0, 0], "b": [1, 0, 0, 0, 0, 0]}
    table = rows(
        SAMPLES, 2,
        [score(s, r, values[s.task][2 * int(s.sample_id[1:]) + r]) for s in SAMPLES for r in range(2)],
        "correct",
    )  # fmt: skip
    top, metrics = summary(table, value="correct", headline=macro_over_tasks, seed=0)
    by = {(m.name, m.task): m for m in metrics}
    assert by["correct", "a"].value == 0.5 and by["correct", "b"].value == pytest.approx(1 / 6)
    assert top.value == pytest.approx((1 / 2 + 1 / 6) / 2) and top.kind == "headline"
    assert by["correct", "*"].value == pytest.approx(4 / 12)
    assert by["prompt_accuracy", "*"].value == pytest.approx(3 / 6) and by["prompt_accuracy", "*"].n == 6
    assert by["overall", "unseen"].value == pytest.approx((1 + 0.5) / 2)
    assert by["correct", "seen"].n == 8 and by["correct", "seen"].n_samples == 4
    assert [m.task for m in metrics if m.kind == "task"] == ["a", "b"]


def test_unscored_outputs_change_coverage_not_the_mean():
    table = [row("a0", "a", 1.0), row("a0", "a", None, Outcome.GENERATION_ERROR), row("a1", "a", 0.0)]
    top, _ = summary(table, value="correct", headline=macro_over_tasks, seed=0)
    assert top.value == 0.5 and top.coverage == pytest.approx(2 / 3)
    assert top.outcomes == {"ok": 2, "generation_error": 1}
    assert gaps(table) == ["a: 1 generation_error of 3."]


def test_task_without_a_score_takes_the_headline_with_it():
    table = [row("a0", "a", 1.0), row("b0", "b", None, Outcome.MISSING)]
    top, metrics = summary(table, value="correct", headline=macro_over_tasks, seed=0)
    assert top.value is None and top.low is None and top.n == 1 and top.n_expected == 2
    assert metrics[0].value == 1.0 and metrics[1].value is None
    assert "no output is scored" in gaps(table)[0]


def test_refused_is_final_not_a_gap():
    assert gaps([row("a0", "a", None, Outcome.REFUSED), row("a1", "a", 1.0)]) == []


def test_prompt_is_wrong_only_when_all_its_outputs_are_judged():
    lost = Outcome.SCORER_ERROR
    table = [
        row("right", "a", 1.0), row("right", "a", None, lost),
        row("wrong", "a", 0.0), row("wrong", "a", 0.0),
        row("open", "a", 0.0), row("open", "a", None, lost),
    ]  # fmt: skip
    found = prompt_accuracy(table, seed=0)
    assert (found.value, found.n, found.n_expected) == (0.5, 2, 3)
    assert found.outcomes == {"ok": 2, "scorer_error": 1}


def test_a_prompt_asked_twice_is_one_cluster():
    twice = [
        Sample(sample_id=str(i), task="a", prompt="a star", image=image) for i, image in enumerate((None, None, "x"))
    ]
    table = rows(twice, 1, [score(s, 0, float(s.sample_id == "0")) for s in twice], "correct")
    top, _ = summary(table, value="correct", headline=macro_over_tasks, seed=0)
    assert (top.n, top.n_samples) == (3, 2)
    assert (prompt_accuracy(table, seed=0).value, prompt_accuracy(table, seed=0).n) == (0.5, 2)


@pytest.mark.parametrize("case", json.loads(GOLDEN.read_text())["cases"], ids=lambda case: str(case["id"]))
def test_summary_equals_the_official_one(case):
    table = [Row(r["metadata"], r["tag"], (), Outcome.OK, float(r["correct"])) for r in case["inputs"]["rows"]]
    top, metrics = summary(table, value="correct", headline=macro_over_tasks, seed=0)
    expected = case["expected"]
    tasks = [m for m in metrics if m.kind == "task"]
    by = {m.name: m for m in metrics if m.kind == "slice" and m.task == "*"}
    assert [m.task for m in tasks] == expected["task_order"]
    assert [m.value for m in tasks] == pytest.approx(expected["task_scores"], abs=1e-12)
    assert top.value == pytest.approx(expected["overall"], abs=1e-12) and top.low <= top.value <= top.high
    assert (top.n, by["prompt_accuracy"].n) == (expected["total_images"], expected["total_prompts"])
    assert by["correct"].value == pytest.approx(expected["image_acc"], abs=1e-12)
    assert by["prompt_accuracy"].value == pytest.approx(expected["prompt_any_acc"], abs=1e-12)


def test_equal_values_on_another_scale_have_wilsons_interval_on_that_scale():
    from evals.metrics.bootstrap import wilson

    samples = [Sample(sample_id=str(i), task="t", prompt=str(i)) for i in range(20)]

    def mean(value, scale):
        scores = [Score(sample_id=s.sample_id, task="t", repeat=0, scorer="x", outcome=Outcome.OK, values={"v": value}) for s in samples]
        table = rows(samples, 1, scores, "v", scale=scale)
        return mean_over_outputs(table, value="v", task="*", kind="slice", seed=0), summary(
            table, value="v", headline=mean_over_outputs, seed=0
        )[1]

    low = wilson(1.0, 20)[0]
    best, below = mean(5.0, (1.0, 5.0))
    assert (best.value, best.low, best.high) == (5.0, pytest.approx(1 + 4 * low), 5.0)
    # 1 of 5 is the worst there, not a perfect verdict; and "any image is right" says nothing of grades.
    worst, _ = mean(1.0, (1.0, 5.0))
    assert (worst.value, worst.low) == (1.0, 1.0) and worst.high == pytest.approx(1 + 4 * (1 - low))
    assert "prompt_accuracy" not in {m.name for m in below}
    lower_is_better, _ = mean(0.0, (1.0, 0.0))
    assert lower_is_better.low == 0.0 < lower_is_better.high < 1.0
    assert mean(7.0, (1.0, 5.0))[0].low is None
