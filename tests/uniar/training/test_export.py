"""What sharded training exports is a checkpoint: names, shapes and values survive, told by `uniar verify`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("export_run.py")
SHARDINGS = ["fsdp2", *(pytest.param(f"zero{level}", marks=pytest.mark.deepspeed) for level in (1, 2, 3))]


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_a_sharded_run_that_learns_nothing_exports_what_verifies(golden, tmp_path, uniar_cli, started, sharding):
    started(SCRIPT, golden, tmp_path, 0.0, sharding, processes=2)
    made = tmp_path / "checkpoint"
    # The export leaves recordings out, since new weights would not reproduce them; these weights must.
    for file in golden.glob("golden*"):
        assert not (made / file.name).exists()
        shutil.copy(file, made / file.name)
    told = uniar_cli("verify", made)
    assert told.code == 0, told.out + told.err
    assert "32 of 32 tensors agree." in told.out


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_a_sharded_run_that_learns_exports_what_it_learnt(golden, tmp_path, uniar_cli, started, sharding):
    started(SCRIPT, golden, tmp_path, 0.01, sharding, processes=2)
    made = tmp_path / "checkpoint"
    stored, before = load_file(made / "model.safetensors"), load_file(golden / "model.safetensors")
    state = load_file(tmp_path / "run" / "step-00000002" / "module.safetensors")
    assert stored.keys() == before.keys() == {n.removeprefix("model.") for n in state}
    assert all(torch.equal(stored[n], state[f"model.{n}"].to(stored[n].dtype)) for n in stored)
    changed = {n for n in stored if not torch.equal(stored[n], before[n])}
    assert any("language_model.layers.0" in n for n in changed) and any("visual_decoder" in n for n in changed)
    for file in golden.glob("golden*"):
        shutil.copy(file, made / file.name)
    assert uniar_cli("verify", made).code == 1
