"""The stage grpo of a recipe: prompts and rewards in, the checkpoint with the trained policy out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

import uniar
from uniar.checkpoint.load import load_model
from uniar.errors import ConfigError
from uniar.seeding import derive_seed
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.exporting import below, export_language
from uniar.training.grpo.record_mix import open_records
from uniar.training.grpo.trainer import GrpoStage
from uniar.training.recipes import GrpoRecipe, locate_data
from uniar.training.running import Ready, refuse_sharded_adapters


def grpo_ready(recipe: GrpoRecipe, _: Path, processes: Processes, __: Callable[[str], None]) -> Ready:
    """See `training.running.train_stage`."""
    refuse_sharded_adapters(recipe.grpo.lora, processes, recipe.train.sharding, key="grpo.lora")
    base = uniar.load(recipe.checkpoint, dtype=torch.float32, device=processes.device)
    kind = base.model.config.visual_head_kind
    if kind != "parallel":
        raise ConfigError(
            f"checkpoint: got {recipe.checkpoint} with the visual head {kind}; the policy's ratio is taken bit by bit, which needs the "
            "released head. Use a checkpoint with it."
        )
    seed = derive_seed(recipe.seed, recipe.stage)
    stage = GrpoStage.from_checkpoint(
        base, recipe.grpo, prompts=recipe.train.batch_size, records=open_records(locate_data(recipe.data), seed=seed), seed=seed
    )
    return Ready(stage, lambda engine, target: export_policy(engine, base.folder, target))


def export_policy(engine: Engine, base: Path, target: Path) -> Path:
    """Write a checkpoint in the released layout: the trained policy, adapters folded in, and the rest of `base`.

    Every process must call it; the main one writes.
    """
    stage: GrpoStage = engine.stage
    weights = engine.weights()
    plain = None
    if engine.processes.main:
        if stage.config.lora is not None:
            plain = stage.merged()
        else:
            plain = load_model(base, device="cpu", dtype=torch.float32)
            # The frozen vision stack is not in the state.
            plain.load_state_dict(below("policy.", weights), strict=False)
    return export_language(engine.processes, plain, base, target)
