"""The training loop: a resumed run is an unbroken run; bad losses and foreign states are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from uniar import UniARError
from uniar.errors import TrainingError
from uniar.training.loop import run_stage
from uniar.training.optim import LoopConfig, learning_rate


class Toy(nn.Module):
    """A layer, a norm, a buffer that counts, and dropout from the global stream (so that its state must be kept)."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.3)
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def step(self, _: int, stream: torch.Generator) -> dict[str, torch.Tensor]:
        """A batch of the step's own stream."""
        x = torch.randn(8, 4, generator=stream)
        loss = (self.drop(self.norm(self.layer(x))) - x[:, :3]).pow(2).mean()
        return {"loss": loss, "double": 2 * loss.detach()}


def _config(**changes: float) -> LoopConfig:
    settings = {"steps": 12, "batch_size": 8, "lr": 0.05, "warmup": 3, "save_every": 5, "log_every": 4}
    return LoopConfig(**(settings | changes))


def _run(folder: Path, config: LoopConfig, *, max_seconds: float | None = None, step: Callable | None = None) -> bool:
    module = Toy()
    return run_stage("toy", module, step or module.step, config, folder=folder, seed=1, say=lambda _: None, max_seconds=max_seconds)


@pytest.fixture
def unbroken(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        assert _run(tmp_path / "unbroken", _config())
    return load_file(tmp_path / "unbroken" / "state.safetensors")


def _same(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert state.keys() == other.keys()
    assert [k for k in state if not torch.equal(state[k], other[k])] == []


def test_a_run_stopped_after_every_step_is_an_unbroken_run(tmp_path, unbroken):
    folder = tmp_path / "stopped"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for done in range(1, 13):
            assert _run(folder, _config(), max_seconds=0.0) == (done == 12)
            assert int(load_file(folder / "state.safetensors")["step"]) == done
            # The process that goes on has a random state of its own.
            torch.manual_seed(1000 + done)
    _same(load_file(folder / "state.safetensors"), unbroken)


def test_a_run_that_died_goes_on_from_its_last_saved_state(tmp_path, unbroken):
    folder = tmp_path / "died"
    module = Toy()

    def dying(i: int, stream: torch.Generator) -> dict[str, torch.Tensor]:
        if i == 8:
            raise KeyboardInterrupt
        return module.step(i, stream)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        with pytest.raises(KeyboardInterrupt):
            run_stage("toy", module, dying, _config(), folder=folder, seed=1, say=lambda _: None)
        assert int(load_file(folder / "state.safetensors")["step"]) == 5
        assert _run(folder, _config())
    _same(load_file(folder / "state.safetensors"), unbroken)
    assert not list(folder.glob("*.tmp"))


def test_a_finished_stage_is_not_trained_again(tmp_path, unbroken):
    def never(*_: object) -> dict[str, torch.Tensor]:
        raise AssertionError

    with torch.random.fork_rng(devices=[]):
        assert _run(tmp_path / "unbroken", _config(), step=never)


def test_training_learns_and_leaves_frozen_parameters(tmp_path, unbroken):
    records = [json.loads(line) for line in (tmp_path / "unbroken" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [r["step"] for r in records] == [4, 8, 12]
    assert records[-1]["loss"] < records[0]["loss"]
    assert records[0]["double"] == pytest.approx(2 * records[0]["loss"], abs=2e-5)
    assert torch.equal(unbroken["module.frozen"], torch.ones(2))
    assert not torch.equal(unbroken["module.layer.weight"], Toy().layer.weight)


def test_a_loss_that_is_not_finite_keeps_the_last_good_state(tmp_path):
    module = Toy()

    def breaking(i: int, stream: torch.Generator) -> dict[str, torch.Tensor]:
        losses = module.step(i, stream)
        return losses if i < 7 else {"loss": losses["loss"] * float("nan")}

    with torch.random.fork_rng(devices=[]), pytest.raises(TrainingError, match="step 7: the loss is nan"):
        run_stage("toy", module, breaking, _config(), folder=tmp_path, seed=1, say=lambda _: None)
    state = load_file(tmp_path / "state.safetensors")
    assert int(state["step"]) == 5
    assert all(torch.isfinite(v).all() for k, v in state.items() if k.startswith("module."))


def test_a_state_of_another_module_is_refused(tmp_path, unbroken):
    module = nn.Linear(2, 2)
    with pytest.raises(UniARError, match="does not fit this recipe"):
        run_stage("toy", module, lambda *_: {}, _config(), folder=tmp_path / "unbroken", seed=1, say=lambda _: None)


def test_learning_rate_by_hand():
    config = _config(steps=13, lr=1.0, warmup=3)
    assert [learning_rate(config, i) for i in range(3)] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert learning_rate(config, 3) == pytest.approx(1.0)
    assert learning_rate(config, 8) == pytest.approx(0.55)
    assert learning_rate(config, 13) == pytest.approx(0.1)
