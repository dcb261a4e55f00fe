"""The engine: any number of processes and micro-batches is one run, and a run that is killed is one that is not."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from uniar.errors import ConfigError, TrainingError
from uniar.training.engine import Engine
from uniar.training.optim import EngineConfig, refuse_zero3
from uniar.training.stage import StageDefaults

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
SCRIPT = Path(__file__).with_name("engine_run.py")


@pytest.fixture(scope="module")
def small() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("engine_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]


def _weights(out: Path, step: int, name: str = "module") -> dict[str, torch.Tensor]:
    return load_file(out / f"step-{step:08d}" / f"{name}.safetensors")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, small) -> Path:
    """Eight steps in one process."""
    out = tmp_path_factory.mktemp("engine") / "alone"
    small.train(out, 8, {"ema": "0.9"})
    return out


def _zero(level: int, *more: str):
    return pytest.param((f"sharding=zero{level}", *more), marks=pytest.mark.deepspeed, id=f"zero{level}")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("ema=0.9",), id="ddp"),
        pytest.param(("sharding=fsdp2", "accumulate=2", "ema=0.9"), id="fsdp2"),
        _zero(1, "ema=0.9"),
        _zero(2, "accumulate=2", "ema=0.9"),
        _zero(3, "accumulate=2"),
    ],
)
def test_two_processes_are_one(unbroken, tmp_path, small, started, options):
    started(SCRIPT, tmp_path / "two", 4, *options, processes=2)
    alone, two = _log(unbroken), _log(tmp_path / "two")
    assert [r["step"] for r in two] == [1, 2, 3, 4]
    for a, b in zip(alone, two, strict=False):
        for key in ("loss", "text", "bit", "text[questions]", "grad_norm", "n_text"):
            assert b[key] == pytest.approx(a[key], abs=1e-5), (a["step"], key)
    # The state of two processes goes on in one.
    small.train(tmp_path / "two", 8, {k: v for k, v in (o.split("=") for o in options) if k == "ema"})
    assert [r["loss"] for r in _log(tmp_path / "two")] == pytest.approx([r["loss"] for r in alone], abs=1e-4)
    for name in ("module", "average") if "ema=0.9" in options else ("module",):
        a, b = _weights(unbroken, 8, name), _weights(tmp_path / "two", 8, name)
        assert a.keys() == b.keys()
        assert max(float((a[k].float() - b[k].float()).abs().max()) for k in a) < 1e-3


@pytest.mark.parametrize("options", [_zero(level) for level in (1, 2, 3)])
def test_a_sharded_run_goes_on_from_any_state(tmp_path, small, started, options):
    """From the state of one process into split partitions, on from its own, and back."""
    constant = {"schedule": "constant"}
    small.train(tmp_path / "alone", 8, constant)
    small.train(tmp_path / "run", 2, constant)
    for steps in (4, 6):
        started(SCRIPT, tmp_path / "run", steps, *options, "schedule=constant", processes=2)
    small.train(tmp_path / "run", 8, constant)
    alone, run = _log(tmp_path / "alone"), _log(tmp_path / "run")
    assert [r["loss"] for r in run] == pytest.approx([r["loss"] for r in alone], abs=1e-5)
    slots = [load_file(tmp_path / name / "step-00000008" / "optimizer.safetensors") for name in ("alone", "run")]
    assert slots[0].keys() == slots[1].keys()
    assert max(float((slots[0][k] - slots[1][k]).abs().max()) for k in slots[0]) < 1e-4


def test_micro_batches_change_nothing(unbroken, tmp_path, small):
    small.train(tmp_path / "micro", 4, {"accumulate": "3"})
    assert [r["loss"] for r in _log(tmp_path / "micro")] == pytest.approx([r["loss"] for r in _log(unbroken)[:4]], abs=1e-5)


def test_a_run_killed_twenty_times_is_an_unbroken_one(tmp_path, started):
    # In a process of its own too: sums over another number of threads round differently.
    started(SCRIPT, tmp_path / "whole", 30, "save_every=2")
    started(SCRIPT, tmp_path / "killed", 30, "save_every=2", "kills=20")
    told = ("steps_per_s", "tokens_per_s", "loading")
    whole, killed = ([{k: v for k, v in r.items() if k not in told} for r in _log(tmp_path / x)] for x in ("whole", "killed"))
    assert whole == killed
    for name in ("module", "optimizer"):
        a, b = _weights(tmp_path / "whole", 30, name), _weights(tmp_path / "killed", 30, name)
        assert a.keys() == b.keys()
        assert [k for k in a if not torch.equal(a[k], b[k])] == []


def test_the_newest_states_stay_and_learning_is_learning(unbroken):
    assert sorted(p.name for p in unbroken.iterdir() if p.is_dir()) == ["step-00000004", "step-00000008"]
    log = _log(unbroken)
    assert log[-1]["loss"] < 0.85 * log[0]["loss"]
    # The parts of the loss make the loss; each source is told apart.
    assert log[0]["loss"] == pytest.approx(log[0]["text"] + 10 * log[0]["bit"], abs=1e-5)
    assert {"text[captions]", "text[questions]", "text[text]", "bit[captions]"} <= log[0].keys()


def _engine(small, folder: Path, stage=None, **changes) -> Engine:
    settings = {"steps": 4, "batch_size": 12, "lr": 0.01, "warmup": 3, "save_every": 2, "log_every": 1} | changes
    describe = {"batch_size": settings["batch_size"]}
    made = stage or small.stage(folder.parent)
    return Engine(made, EngineConfig(**settings), folder=folder, seed=3, say=lambda _: None, describe=describe)


def test_a_batch_that_cannot_be_shared_is_refused(small, tmp_path):
    with pytest.raises(ConfigError, match="batch_size: got 12; expected a multiple of 1 processes x 5 micro-batches"):
        _engine(small, tmp_path / "x", accumulate=5)


@pytest.mark.parametrize(("ema", "rollouts", "told"), [(0.9, False, "ema"), (0.0, True, "stage grpo")])
def test_zero3_meets_nothing_that_reads_weights_between_steps(ema, rollouts, told):
    with pytest.raises(ConfigError, match=f"sharding: got zero3 with {told}, which reads weights outside a step. Use fsdp2 or zero2"):
        refuse_zero3("zero3", ema=ema, rollouts=rollouts, name="grpo")


def test_another_recipe_does_not_resume(small, tmp_path):
    _engine(small, tmp_path / "x").run()
    with pytest.raises(TrainingError, match="batch_size: got 24; this run was started with 12"):
        _engine(small, tmp_path / "x", batch_size=24).resume()


def test_a_damaged_state_is_told_and_the_one_before_serves(small, tmp_path):
    _engine(small, tmp_path / "x").run()
    newest = tmp_path / "x" / "step-00000004"
    (newest / "module.safetensors").write_bytes(b"not tensors")
    with pytest.raises(TrainingError, match=r"step-00000004: cannot be read .* Delete this folder"):
        _engine(small, tmp_path / "x").resume()
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    assert _engine(small, tmp_path / "x").resume() == 2


def test_divergence_stops_and_names_the_last_good_state(small, tmp_path):
    class Broken(StageDefaults, torch.nn.Module):
        """Fine for three steps, then not a number."""

        name, loss_weights, classifiers = "broken", {"text": 1.0}, ()

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        def prepare(self, step, numbers):
            from uniar.training.stage import Prepared

            return Prepared(float("nan") if step == 3 else 1.0, {"text": float(len(numbers))})

        def forward(self, scale):
            from uniar.training.stage import StepOutput

            return StepOutput({"text": scale * self.weight.pow(2).sum()}, {})

        def repeated_blocks(self):
            return []

    engine = _engine(small, tmp_path / "x", stage=Broken(), steps=8)
    with pytest.raises(TrainingError, match=r"step 3: the loss is nan. The last good state is step-00000002; lower lr and resume"):
        engine.run()
    assert all(torch.isfinite(p).all() for p in engine.stage.parameters())


def test_events_and_trackers_are_called(small, tmp_path):
    calls, told = [], []
    config = EngineConfig(steps=4, batch_size=12, lr=0.01, log_every=2)
    engine = Engine(
        small.stage(tmp_path), config, folder=tmp_path / "x", seed=3, say=lambda _: None,
        every={"look": (3, lambda step, stage: calls.append((step, stage.name)))},
        trackers=(lambda step, values: told.append((step, values["loss"])),),
    )  # fmt: skip
    assert engine.run()
    assert calls == [(3, "sft"), (4, "sft")]
    assert [step for step, _ in told] == [2, 4]


def test_the_clock_stops_a_run_between_steps(small, tmp_path):
    engine = _engine(small, tmp_path / "x")
    assert not engine.run(max_seconds=0.0)
    assert engine.step == 1
    again = _engine(small, tmp_path / "x")
    assert again.resume() == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schedule": "cosin"}, "schedule: got 'cosin'; expected one of cosine, linear, constant"),
        ({"sharding": "zero"}, "sharding: got 'zero'; expected one of none, fsdp2, zero1, zero2, zero3"),
        ({"ema": 1.0}, "ema: got 1.0"),
        ({"keep": 0}, "keep: got 0; expected 1 or more"),
    ],
)
def test_bad_values_are_one_sentence(change, told):
    with pytest.raises(ConfigError, match=told):
        EngineConfig(steps=1, batch_size=1, lr=0.1, **change)
