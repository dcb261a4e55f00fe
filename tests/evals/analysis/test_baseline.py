"""Baseline files: they give back exactly what the run said, and hold nothing of the benchmark's own."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evals.analysis import baseline
from evals.analysis.verdicts import of_run, open_verdicts
from evals.errors import DataError
from evals.store.reader import RunReader


def rows(verdicts):
    return {key: (row.prompt, row.task, row.outcome, row.value) for key, row in verdicts.table.items()}


def test_a_run_comes_back_with_its_headline(painted, tmp_path):
    run = of_run(RunReader(painted("a", 0.8)))
    baseline.save(run, tmp_path / "b.json")
    back = open_verdicts(tmp_path / "b.json")
    assert rows(back) == rows(run) and list(back.table) == list(run.table)
    assert back.recipe() is not None and back.recipe().strata
    same = ("known", "low", "high", "measurement", "sampling", "seed", "suite", "protocol", "model", "weights", "scale", "outputs_sha256")
    assert [name for name in same if getattr(back, name) != getattr(run, name)] == []


def test_it_is_small_and_holds_no_prompt(painted, tmp_path):
    run = of_run(RunReader(painted("a", 0.8)))
    baseline.save(run, tmp_path / "b.json")
    text = (tmp_path / "b.json").read_text("ascii")
    assert "dark 3" not in text and "images/" not in text
    assert '["round_one-003", "round_one", "' in text
    # One line a sample, some 35 bytes each beside the head.
    lines = [line for line in text.splitlines() if line.lstrip().startswith('["')]
    assert len(lines) == 60 and sum(map(len, lines)) < 60 * 40


def test_graded_values_gaps_and_clusters_come_back(verdicts, tmp_path):
    run = verdicts({"a": [[0.1, 1 / 3], ["refused", 2.5]], "b": [["undecided", "not_applicable"], [4, 0]]}, scale=(0.0, 5.0))
    run = replace(run, table={key: replace(row, prompt="a-0000") if row.task == "a" else row for key, row in run.table.items()})
    baseline.save(run, tmp_path / "b.json")
    assert rows(baseline.read(tmp_path / "b.json")) == rows(run)


@pytest.mark.parametrize("outcome", sorted(baseline.LETTERS, key=lambda outcome: outcome.value))
def test_every_outcome_has_a_letter_of_its_own(verdicts, tmp_path, outcome):
    run = verdicts({"a": [[1, outcome.value], [0, 1]]})
    baseline.save(run, tmp_path / "b.json")
    assert rows(baseline.read(tmp_path / "b.json")) == rows(run)
    assert f'"1{baseline.LETTERS[outcome]}"' in (tmp_path / "b.json").read_text()


def test_a_headline_of_several_values_keeps_them(verdicts, tmp_path):
    run = verdicts({"a": [[0.5], [0.25]]}, headline="longtext_score", known=4 / 12)
    pairs = iter([(1.0, 2.0), (3.0, 10.0)])
    table = {
        key: replace(row, values={"correct": row.value, **dict(zip(("matched", "total"), next(pairs), strict=True))})
        for key, row in run.table.items()
    }
    baseline.save(replace(run, table=table), tmp_path / "b.json")
    back = baseline.read(tmp_path / "b.json")
    assert back.recipe().values == ("matched", "total")
    assert [row.values for row in back.table.values()] == [row.values for row in table.values()]


def test_task_weights_are_kept(verdicts, tmp_path):
    run = verdicts({"a": [[1.0]], "b": [[0.0]]}, headline="wise_overall", known=0.7)
    weights = {"a": 0.7, "b": 0.3}
    run = replace(run, table={key: replace(row, metadata={"category_weight": weights[row.task]}) for key, row in run.table.items()})
    baseline.save(run, tmp_path / "b.json")
    assert baseline.read(tmp_path / "b.json").recipe().weights


def test_an_unfinished_run_is_no_baseline(painted, tmp_path):
    run = of_run(RunReader(painted("a", 0.8, fail="round_one-004")))
    with pytest.raises(DataError, match="round_one: 2 generation_error of 60"):
        baseline.save(run, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()
    with pytest.raises(DataError, match="expected a file name"):
        baseline.save(run, tmp_path)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda d: d.update(kind="x"), "no baseline of version 1"),
        (lambda d: d.update(schema_version=9), "version 9"),
        (lambda d: d.pop("seed"), "KeyError"),
        (lambda d: d["samples"][0].__setitem__(2, "1"), "has 1 verdicts, not 2"),
        (lambda d: d["samples"][0].__setitem__(2, "1?"), "is not a valid Outcome"),
        (lambda d: d.update(samples=3), "TypeError"),
    ],
)
def test_damage_is_told(painted, tmp_path, change, told):
    path = tmp_path / "b.json"
    baseline.save(of_run(RunReader(painted("a", 0.8))), path)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=told.replace("?", r"\?")):
        baseline.read(path)
    path.write_text("{")
    with pytest.raises(DataError, match="expected a baseline"):
        open_verdicts(path)
