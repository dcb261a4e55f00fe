"""A suite of the evaluation framework scores checkpoints while a stage learns."""

from __future__ import annotations

import json

import pytest

from evals.errors import SuiteError
from evals.training import SuiteEvaluator, suite
from uniar.training.recipe_file import OURS
from uniar.training.recipes import read
from uniar.training.running import train_stage

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def test_a_suite_runs_at_its_interval_and_its_run_folder_stays(tmp_path):
    settings = "{suite: geneval, profile: mini, limit: 1, device: cpu}"
    changes = (
        "data=mix/mini-sft.yaml", "train.steps=3", "train.batch_size=2", "train.precision=float32", "language.packed_length=256",
        f"evaluations=[{{name: suite, every: 2, settings: {settings}}}]",
    )  # fmt: skip
    told = []
    made = train_stage(read(OURS / "sft.yaml", changes), tmp_path, say=told.append)
    lines = [json.loads(line) for line in (tmp_path / "evaluations.jsonl").read_text("utf-8").splitlines()]
    # At the interval, and after the last step.
    assert [(r["step"], r["name"]) for r in lines] == [(2, "suite"), (3, "suite")]
    for r in lines:
        results = json.loads((tmp_path / "evaluations" / f"step-{r['step']:08d}-suite" / "run" / "results.json").read_text("utf-8"))
        assert r["overall"] == results["headline"]["value"] and r["overall_low"] <= r["overall"] <= r["overall_high"]
        assert {"counting", "color_attr"} <= r.keys() and results["bundled_model"] is False
    assert any(line.startswith("suite after 2 steps: overall ") for line in told)
    # The checkpoints that were scored are gone, the last one is where it belongs.
    assert not list(tmp_path.glob("evaluations/*/checkpoint")) and (made / "config.json").is_file()


def test_no_score_is_an_error_and_not_a_number(tmp_path, monkeypatch):
    from evals import training

    class Found:
        results = {"headline": {"value": None}, "reasons": ["3 of 3 outputs are missing."]}  # noqa: RUF012

    monkeypatch.setattr(training, "run_suite", lambda *_, **__: Found)
    with pytest.raises(SuiteError, match=r"step 4: no score \(3 of 3 outputs are missing"):
        suite("geneval")(tmp_path, step=4, folder=tmp_path)
    assert isinstance(suite("geneval", limit=2), SuiteEvaluator)
