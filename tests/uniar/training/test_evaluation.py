"""Evaluation while a stage learns: a checkpoint of the moment goes to an evaluator from outside, its figures to a file."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from uniar.errors import ConfigError
from uniar.training.engine import Engine
from uniar.training.evaluation import Evaluation, event
from uniar.training.optim import EngineConfig
from uniar.training.running import finish
from uniar.training.stage import Prepared, StageDefaults, StepOutput


class Scores:
    """An evaluator that reads the checkpoint and leaves a report."""

    def __init__(self, *, scale: float = 1.0):
        self.scale, self.calls = scale, []

    def __call__(self, checkpoint: Path, *, step: int, folder: Path) -> dict[str, float]:
        value = float((checkpoint / "weights").read_text())
        self.calls.append((checkpoint, step, folder))
        (folder / "report.txt").write_text("seen")
        return {"score": self.scale * value, "images": 3}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[Scores]:
    """Entry points `suite` and `broken` of the group `uniar.evaluators`; returns what `suite` has built."""
    built: list[Scores] = []

    def suite(**settings):
        built.append(Scores(**settings))
        return built[-1]

    def broken(**settings):
        raise OSError("no\nsuch suite")

    def entry_points(*, group: str):
        found = {"suite": suite, "broken": broken} if group == "uniar.evaluators" else {}
        return [SimpleNamespace(name=name, value=f"outside:{name}", load=lambda made=made: made) for name, made in found.items()]

    monkeypatch.setattr("uniar.training.entry_points.entry_points", entry_points)
    return built


class Here:
    """This process; `main` or another one."""

    def __init__(self, *, main: bool = True):
        self.main, self.waits = main, 0

    def wait(self) -> None:
        self.waits += 1


def exporting(values):
    """An export that writes the next value."""

    def export(target: Path) -> Path:
        target.mkdir()
        (target / "weights").write_text(str(next(values)))
        return target

    return export


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_a_checkpoint_of_the_moment_is_scored_and_removed(registered, tmp_path):
    told: list[str] = []
    here = Here()
    suite = Evaluation(name="suite", every=5, settings={"scale": 2.0})
    evaluate = event(suite, folder=tmp_path, processes=here, export=exporting(iter([0.25, 0.5])), say=told.append)
    evaluate(5, torch.nn.Identity())
    evaluate(10, torch.nn.Identity())
    assert lines(tmp_path / "evaluations.jsonl") == [
        {"step": 5, "name": "suite", "score": 0.5, "images": 3.0},
        {"step": 10, "name": "suite", "score": 1.0, "images": 3.0},
    ]
    assert told == ["suite after 5 steps: score 0.5000, images 3.0000", "suite after 10 steps: score 1.0000, images 3.0000"]
    # One evaluator for the whole run, built from its settings.
    (made,) = registered
    reports = [tmp_path / "evaluations" / f"step-{step:08d}-suite" for step in (5, 10)]
    assert made.calls == [(report / "checkpoint", step, report) for step, report in zip((5, 10), reports, strict=True)]
    # What it left stays, the weights do not.
    assert [sorted(p.name for p in report.iterdir()) for report in reports] == [["report.txt"], ["report.txt"]]
    assert here.waits == 2


def test_an_evaluation_that_fails_does_not_cost_the_run(registered, tmp_path):
    told: list[str] = []
    evaluate = event(
        Evaluation(name="suite", every=5), folder=tmp_path, processes=Here(), export=exporting(iter(["x", 0.5])), say=told.append
    )
    evaluate(5, torch.nn.Identity())
    evaluate(10, torch.nn.Identity())
    first, second = lines(tmp_path / "evaluations.jsonl")
    assert (first["step"], "score" in first, second["score"]) == (5, False, 0.5)
    assert first["error"].startswith("ValueError: could not convert") and "failed, training goes on" in told[0]
    # What could not be scored can be scored later.
    assert (tmp_path / "evaluations" / "step-00000005-suite" / "checkpoint" / "weights").is_file()


def test_the_other_processes_export_and_wait(registered, tmp_path):
    told: list[str] = []
    here = Here(main=False)
    exported = []

    def export(target: Path) -> Path:
        exported.append(target)
        return target

    evaluate = event(Evaluation(name="suite", every=5), folder=tmp_path, processes=here, export=export, say=told.append)
    evaluate(5, torch.nn.Identity())
    assert exported == [tmp_path / "evaluations" / "step-00000005-suite" / "checkpoint"] and here.waits == 1
    assert told == [] and registered[0].calls == [] and not (tmp_path / "evaluations.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("siute", {}, 'evaluations: got "siute"; expected an entry point of the group uniar.evaluators. Did you mean "suite"?'),
        ("xyz", {}, 'evaluations: got "xyz"; expected an entry point of the group uniar.evaluators. Known: broken, suite.'),
        ("broken", {}, "evaluations.broken: cannot be built from {}: OSError: no such suite"),
        ("suite", {"scale": 1.0, "size": 3}, "evaluations.suite: cannot be built from {'scale': 1.0, 'size': 3}: TypeError: "),
    ],
)
def test_an_evaluator_that_is_not_there_is_one_sentence(registered, tmp_path, name, settings, told):
    # When the event is made: before the first step, not after the first thousand.
    with pytest.raises(ConfigError) as caught:
        event(Evaluation(name=name, every=5, settings=settings), folder=tmp_path, processes=Here(), export=exporting(iter([])), say=print)
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)


def test_steps_between_two_evaluations_are_at_least_one():
    with pytest.raises(ConfigError, match=r"evaluations\.suite\.every: got 0; expected 1 or more steps"):
        Evaluation(name="suite", every=0)


class Falling(StageDefaults, torch.nn.Module):
    """One weight that falls."""

    name, loss_weights = "falling", {"fit": 1.0}

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([4.0]))

    def prepare(self, step, numbers):
        return Prepared(None, {"fit": float(len(numbers))})

    def forward(self, data):
        return StepOutput({"fit": 4 * self.weight.pow(2).sum()}, {})

    def repeated_blocks(self):
        return []


def test_a_run_is_evaluated_while_it_learns_and_at_its_end(registered, tmp_path):
    config = EngineConfig(steps=5, batch_size=4, lr=0.5, warmup=1, schedule="constant", weight_decay=0.0, log_every=1)
    told: list[str] = []
    engine = Engine(Falling(), config, folder=tmp_path, seed=0, say=told.append)

    def write(target: Path) -> Path:
        target.mkdir(parents=True)
        (target / "weights").write_text(str(float(engine.weights()["weight"])))
        return target

    recipe = SimpleNamespace(stage="falling", evaluations=(Evaluation(name="suite", every=2),), trackers=())
    checkpoint = finish(recipe, engine, write, max_minutes=None, export=None)
    seen = lines(tmp_path / "evaluations.jsonl")
    assert [(r["step"], r["name"]) for r in seen] == [(2, "suite"), (4, "suite"), (5, "suite")]
    scores = [r["score"] for r in seen]
    # Each is of the weights of its step; the last one's are those of the checkpoint that the run leaves.
    assert 4 > scores[0] > scores[1] > scores[2] == float((checkpoint / "weights").read_text())
    assert checkpoint == tmp_path / "checkpoint" and any(line.startswith("suite after 4 steps: score ") for line in told)


def test_an_unknown_evaluator_stops_a_run_before_its_first_step(registered, tmp_path):
    engine = Engine(Falling(), EngineConfig(steps=5, batch_size=4, lr=0.5), folder=tmp_path, seed=0, say=lambda _: None)
    recipe = SimpleNamespace(stage="falling", evaluations=(Evaluation(name="siute", every=2),), trackers=())
    with pytest.raises(ConfigError, match='Did you mean "suite"'):
        finish(recipe, engine, lambda target: target, max_minutes=None, export=None)
    assert engine.step == 0
