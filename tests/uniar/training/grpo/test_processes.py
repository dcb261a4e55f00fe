"""Several processes are one: the same rollouts, rewards, losses and gradients at the same global batch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from safetensors.torch import load_file

# peft asks transformers by names that it now deprecates.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:`{name}` is deprecated and will be removed in v6:FutureWarning")
    for name in ("gradient_checkpointing_enable", "is_gradient_checkpointing")
]
SCRIPT = Path(__file__).with_name("grpo_run.py")


@pytest.fixture(scope="module")
def small() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("grpo_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(options: dict[str, str]) -> list[str]:
    """Options as the script reads them."""
    return [f"{key}={value}" for key, value in options.items()]


def close(alone: list[dict[str, float]], two: list[dict[str, float]]) -> None:
    for a, b in zip(alone, two, strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert b[key] == pytest.approx(value, abs=1e-5), (a["step"], key)


@pytest.mark.parametrize(
    ("settings", "several"),
    [
        ({}, {}),
        ({"inner_epochs": "2"}, {"accumulate": "2", "micro_batch": "3"}),
        ({"lora": "4"}, {}),
        ({}, {"sharding": "fsdp2"}),
        ({"inner_epochs": "2"}, {"sharding": "fsdp2", "accumulate": "2", "micro_batch": "3"}),
        pytest.param({"inner_epochs": "2"}, {"sharding": "zero2", "accumulate": "2", "micro_batch": "3"}, marks=pytest.mark.deepspeed),
        pytest.param({"lora": "4"}, {"sharding": "zero1"}, marks=pytest.mark.deepspeed),
    ],
    ids=["ddp", "ddp micro-batches", "ddp lora", "fsdp2", "fsdp2 micro-batches", "zero2 micro-batches", "zero1 lora"],
)
def test_two_processes_are_one(small, toy, tmp_path, started, settings, several):
    alone, two = tmp_path / "alone", tmp_path / "two"
    assert small.train(alone, 6, settings)
    started(SCRIPT, two, 4, *words(settings | several), processes=2)
    told = toy.log_of(alone)
    close(told[:4], toy.log_of(two))
    # Something is at stake in each figure: images are missing, a reward is asked of half of them, the weights have moved.
    assert [r["step"] for r in told] == [1, 2, 3, 4, 5, 6] and {r["reward_odd_applies"] for r in told} == {0.5}
    assert any(r["images_missing"] > 0 for r in told) and all(r["grad_norm"] > 1e-3 for r in told) and told[-1]["kl"] > 1e-4
    # The state of two processes goes on in one.
    assert small.train(two, 6, settings)
    close(told, toy.log_of(two))
    a, b = (load_file(folder / "step-00000006" / "module.safetensors") for folder in (alone, two))
    assert a.keys() == b.keys()
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-3


@pytest.mark.parametrize("settings", [{}, {"lora": "4"}, {"sharding": "fsdp2"}], ids=["ddp", "ddp lora", "fsdp2"])
def test_two_processes_go_on_from_a_state_of_one(small, toy, tmp_path, started, settings):
    alone, two = tmp_path / "alone", tmp_path / "two"
    whole = {k: v for k, v in settings.items() if k != "sharding"}
    assert small.train(alone, 4, whole)
    assert small.train(two, 2, whole)
    started(SCRIPT, two, 4, *words(settings), processes=2)
    close(toy.log_of(alone), toy.log_of(two))
    a, b = (load_file(folder / "step-00000004" / "optimizer.safetensors") for folder in (alone, two))
    # The text classifier has had no gradient, so it has no slots, however often the run was resumed.
    assert a.keys() == b.keys() and not any("lm_head" in name for name in a)
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-3
