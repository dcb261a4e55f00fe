"""Fine-tuning with adapters: little is trained and saved, and the checkpoint is a plain one."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import uniar
from uniar.training.recipe_file import OURS
from uniar.training.recipes import read
from uniar.training.running import train_stage

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
CHANGES = (
    "data=mix/mini-sft.yaml", "train.steps=4", "train.batch_size=2", "train.precision=float32", "train.save_every=2",
    "language.packed_length=256", "language.lora={rank: 4, alpha: 8}", "train.lr=0.01",
)  # fmt: skip


def test_adapters_are_trained_saved_resumed_and_folded_in(tmp_path):
    recipe = read(OURS / "sft.yaml", CHANGES)
    whole = train_stage(recipe, tmp_path / "whole", say=lambda _: None)
    assert train_stage(recipe, tmp_path / "parts", say=lambda _: None, max_minutes=0) is None
    parts = train_stage(recipe, tmp_path / "parts", say=lambda _: None)
    state = load_file(tmp_path / "whole" / "step-00000004" / "module.safetensors")
    assert all(".lora_A." in n or ".lora_B." in n or n == "start" for n in state) and len(state) > 10
    mine, again = (load_file(m / "model.safetensors") for m in (whole, parts))
    assert mine.keys() == again.keys() and all(torch.equal(mine[n], again[n]) for n in mine)
    found = load_file(uniar.load("uniar-mini").folder / "model.safetensors")
    assert found.keys() == mine.keys()
    changed = {n for n in mine if not torch.equal(mine[n], found[n])}
    assert changed and all(n.endswith("proj.weight") and "visual." not in n for n in changed)
    # The stored dtype is told, not the one that the training computed in.
    assert (whole / "config.json").read_text("utf-8") == (uniar.load("uniar-mini").folder / "config.json").read_text("utf-8")
    assert uniar.load(whole).generate(["a photo of a star"], height=64, width=64, seeds=[0], decoder_steps=1)[0].image.size == (64, 64)
