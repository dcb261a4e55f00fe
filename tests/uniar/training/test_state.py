"""States on disk: what a run has not touched yet is resumed as such, and a state of other optimisers is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from uniar.errors import TrainingError
from uniar.training.engine import Engine
from uniar.training.optim import EngineConfig
from uniar.training.stage import Prepared, StageDefaults, StepOutput


class Halves(StageDefaults, torch.nn.Module):
    """One matrix that always learns, one that does from the fourth step on, one that never does."""

    name, loss_weights = "halves", {"fit": 1.0}

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.always, self.late, self.never = (torch.nn.Linear(3, 3, bias=False) for _ in range(3))

    def prepare(self, step, numbers):
        x = torch.tensor([[n % 5, n % 3, 1.0] for n in numbers])
        return Prepared((x, step >= 3), {"fit": float(len(numbers))})

    def forward(self, data):
        x, both = data
        made = self.always(x) + (self.late(x) if both else 0)
        return StepOutput({"fit": (made - x.flip(1)).pow(2).sum()}, {})

    def repeated_blocks(self):
        return []


def run(folder: Path, steps: int, **settings) -> None:
    config = EngineConfig(**({"steps": steps, "batch_size": 4, "lr": 0.01, "schedule": "constant", "warmup": 1} | settings))
    engine = Engine(Halves(), config, folder=folder, seed=0, say=lambda _: None)
    engine.resume()
    engine.run()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_part_without_a_gradient_yet_is_resumed_without_slots(tmp_path, optimizer):
    run(tmp_path / "whole", 6, optimizer=optimizer)
    for steps in (1, 2, 3, 5, 6):
        run(tmp_path / "stopped", steps, optimizer=optimizer)
    for name in ("module", "optimizer"):
        a, b = (load_file(tmp_path / run / "step-00000006" / f"{name}.safetensors") for run in ("whole", "stopped"))
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    # Momentum and the count of updates begin with the first gradient: three steps later than those of the other.
    assert {n.split(".")[0] for n in a} == {"always", "late"}
    if optimizer == "adamw":
        assert (a["always.weight/step"], a["late.weight/step"]) == (6, 3)


@pytest.mark.parametrize(("before", "after"), [("adamw", "muon"), ("muon", "adamw")])
def test_a_state_of_other_optimisers_is_refused(tmp_path, before, after):
    run(tmp_path, 2, optimizer=before)
    with pytest.raises(TrainingError, match="step-00000002: written with other optimisers than this recipe's"):
        run(tmp_path, 4, optimizer=after)


def test_a_state_that_lost_some_slots_of_a_part_is_refused(tmp_path):
    from safetensors.torch import save_file

    run(tmp_path, 2)
    file = tmp_path / "step-00000002" / "optimizer.safetensors"
    slots = load_file(file)
    del slots["always.weight/exp_avg_sq"]
    save_file(slots, file)
    with pytest.raises(TrainingError, match="written with other optimisers"):
        run(tmp_path, 4)
