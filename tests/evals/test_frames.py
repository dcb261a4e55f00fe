"""`evals.load_run`: frames of a finished, an unfinished and a rescored run; the page's example runs as written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import evals
from evals.run import Interrupted, run_suite

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(toy):
    return evals.load_run(run_suite("toy.yaml", model="toy:fail=b-001", out="out", report=False).path)


def test_samples_outputs_and_scores_are_one_row_each(run):
    assert list(run.samples.columns) == ["sample_id", "task", "prompt", "image", "target", "tags", "metadata"]
    assert len(run.samples) == 18 and run.samples.prompt[0] == "toy a 0 \u00e9" and run.samples.metadata[0] == {"z": 1, "a": 0}
    assert len(run.outputs) == 36 and (run.outputs.outcome == "generation_error").sum() == 2
    assert run.outputs.seed.dtype == "int64" and (run.outputs.seed > 2**53).any()
    assert list(run.scores.columns) == ["sample_id", "task", "repeat", "scorer", "outcome", "reason", "correct", "evidence"]
    assert run.scores.correct.isna().sum() == (run.scores.outcome != "ok").sum() == 2


def test_metrics_are_those_of_the_results(run):
    head = run.metrics.iloc[0]
    assert head.kind == "headline" and head.value == run.results["headline"]["value"] and head.low < head.value < head.high
    by_task = run.scores.groupby("task").correct.mean()
    assert list(by_task.round(12)) == list(run.metrics[run.metrics.kind == "task"].value.round(12))
    assert run.metrics.coverage.iloc[0] == pytest.approx(34 / 36)


def test_an_interrupted_run_has_frames_too(toy):
    with pytest.raises(Interrupted):
        run_suite("toy.yaml", model="toy:interrupt=b-002", out="out", report=False)
    found = evals.load_run("out")
    assert 0 < len(found.outputs) < 36 and len(found.samples) == 18
    assert len(found.scores) == 0 and "outcome" in found.scores and len(found.metrics) == 0
    assert "unfinished" in repr(found)


def test_added_scores_stand_beside_the_first(run):
    from evals.added import add_scores

    add_scores("out", suite="toy.yaml", settings=["score[0].threshold=10"], name="strict")
    found = evals.load_run("out")
    assert found.scores.groupby("scorer").size().to_dict() == {"toy": 36, "strict": 36}
    assert set(found.metrics.scorer) == {"", "strict"}


def test_a_value_named_like_a_column_does_not_hide_it(run):
    path = Path("out/scores/toy.jsonl")
    path.write_text(path.read_text().replace('"correct":', '"task":'))
    found = evals.load_run("out")
    assert set(found.scores.task) == {"a", "b", "c"} and found.scores.value_task.notna().any()


def test_opening_a_run_loads_no_pandas(run):
    code = "import sys, evals; evals.load_run('out').manifest; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_run_is_told():
    with pytest.raises(evals.store.reader.StoreError, match=r"no manifest\.json"):
        evals.load_run(ROOT / "docs")


def test_the_example_of_the_page_runs_as_written(toy, capsys, monkeypatch):
    text = (ROOT / "docs" / "leaderboard.md").read_text("utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    run_suite("toy.yaml", model="toy", out="RUN", report=False)
    code = compile(example, "docs/leaderboard.md", "exec")
    exec(code, {})
    told = capsys.readouterr().out
    assert "overall" in told and re.search(r"^a +0\.\d+", told, re.MULTILINE)
