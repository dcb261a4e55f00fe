"""Optimisers of a stage: who is trained by which, exact resume, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from uniar.errors import ConfigError, TrainingError
from uniar.training.loop import computing, run_stage
from uniar.training.optim import LoopConfig, Optimizers, learning_rate


class Toy(nn.Module):
    """An embedding, a hidden matrix, a norm and a classifier."""

    classifiers = ("head",)

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.words = nn.Embedding(5, 8)
            self.hidden = nn.Linear(8, 6)
            self.norm = nn.LayerNorm(6)
            self.head = nn.Linear(6, 3)
        self.compiled: list[dict] = []

    def step(self, _: int, stream: torch.Generator) -> dict[str, torch.Tensor]:
        """Guess a word's number modulo three."""
        words = torch.randint(0, 5, (16,), generator=stream)
        return {"loss": nn.functional.cross_entropy(self.head(self.norm(self.hidden(self.words(words)))).float(), words % 3)}


def _config(**changes) -> LoopConfig:
    settings = {"steps": 12, "batch_size": 16, "lr": 0.02, "warmup": 2, "save_every": 5, "log_every": 12}
    return LoopConfig(**(settings | {"optimizer": "muon", "precision": "bfloat16"} | changes))


def _run(folder: Path, config: LoopConfig, **options) -> Toy:
    toy = Toy()
    run_stage("toy", toy, toy.step, config, folder=folder, seed=1, say=lambda _: None, **options)
    return toy


def test_muon_gets_hidden_matrices_and_nothing_else():
    toy = Toy()
    adamw, muon = Optimizers(toy, _config()).parts
    assert [p.shape for g in muon.param_groups for p in g["params"]] == [toy.hidden.weight.shape]
    rest = {id(p) for g in adamw.param_groups for p in g["params"]}
    assert rest == {id(p) for p in toy.parameters()} - {id(toy.hidden.weight)}
    # Norms and biases have no decay.
    assert all(p.dim() < 2 for p in adamw.param_groups[1]["params"]) and adamw.param_groups[1]["weight_decay"] == 0


def test_a_muon_step_moves_a_matrix_by_an_orthogonal_one():
    toy = Toy()
    optimizers = Optimizers(toy, _config(weight_decay=0.0))
    before = toy.hidden.weight.detach().clone()
    toy.step(0, torch.Generator().manual_seed(0))["loss"].backward()
    optimizers.step(0.02)
    moved = (toy.hidden.weight.detach() - before) / 0.02
    # AdamW's size: 0.2 * sqrt(longer side) times a matrix whose singular values are all near one.
    singular = torch.linalg.svdvals(moved / (0.2 * 8**0.5))
    # The gradient of three classes has rank two after the norm's centring: those directions are near one, the rest small.
    assert 0.6 < singular[0] < 1.3
    assert torch.linalg.matrix_rank(moved, atol=1e-3) >= 2


def test_learning_is_learning(tmp_path):
    start = Toy()
    trained = _run(tmp_path, _config(steps=60))
    stream = lambda: torch.Generator().manual_seed(99)  # noqa: E731
    assert trained.step(0, stream())["loss"] < 0.5 * start.step(0, stream())["loss"]


def test_a_resumed_muon_run_is_an_unbroken_one(tmp_path):
    _run(tmp_path / "a", _config())
    _run(tmp_path / "b", _config(), max_seconds=0.0)
    for _ in range(12):
        _run(tmp_path / "b", _config(), max_seconds=0.0)
    a, b = (load_file(tmp_path / x / "state.safetensors") for x in "ab")
    assert a.keys() == b.keys() and any(k.startswith("optimizer.1.") for k in a)
    assert [k for k in a if not torch.equal(a[k], b[k])] == []


def test_a_state_of_another_optimizer_is_refused(tmp_path):
    _run(tmp_path, _config(steps=5))
    with pytest.raises(TrainingError, match="written with other optimisers"):
        _run(tmp_path, _config(optimizer="adamw"))


def test_blocks_are_compiled_only_when_asked(tmp_path):
    class Compilable(Toy):
        def repeated_blocks(self) -> list[nn.Module]:
            self.hidden.compile = lambda **options: self.compiled.append(options)
            return [self.hidden]

    for wanted in (False, True):
        toy = Compilable()
        run_stage("toy", toy, toy.step, _config(compile=wanted), folder=tmp_path / str(wanted), seed=1, say=lambda _: None)
        assert toy.compiled == ([{"dynamic": True}] if wanted else [])


def test_bfloat16_reaches_the_products_and_leaves_no_trace():
    layer, x = nn.Linear(4, 4), torch.randn(2, 4)
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    with computing("bfloat16"):
        assert layer(x).dtype == torch.bfloat16
    with computing("float32"):
        assert layer(x).dtype == torch.float32
    with pytest.raises(ZeroDivisionError), computing("bfloat16"):
        _ = 1 / 0
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == before
    assert not torch.is_autocast_enabled("cpu")


def test_schedule_by_hand():
    config = _config(steps=12, warmup=2, lr=1.0, final_lr=0.2)
    assert [learning_rate(config, i) for i in (0, 1)] == [0.5, 1.0]
    assert learning_rate(config, 7) == pytest.approx(0.2 + 0.8 * 0.5)
    assert learning_rate(config, 12) == pytest.approx(0.2)


@pytest.mark.parametrize(("key", "value"), [("optimizer", "muno"), ("precision", "fp16")])
def test_unknown_names_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"{key}: got '{value}'; expected one of"):
        _config(**{key: value})


def test_a_torch_without_muon_is_told(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ConfigError, match="Use torch 2.9 or newer, or 'adamw'"):
        Optimizers(Toy(), _config())
