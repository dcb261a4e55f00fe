"""`uniar train` for the stage grpo: checkpoint, prompts and rewards in, engine, checkpoint out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import uniar
from uniar.checkpoint.load import load_model
from uniar.seeding import derive_seed
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.exporting import export_language
from uniar.training.grpo.record_mix import open_records
from uniar.training.grpo.trainer import GrpoStage
from uniar.training.recipes import GrpoRecipe, decisive, locate_data
from uniar.training.running import finish, refuse_sharded_adapters


def train_grpo(
    recipe: GrpoRecipe, out: Path, *, say: Callable[[str], None], max_minutes: float | None = None, export: Path | None = None
) -> Path | None:
    """Train, resuming what `out` holds, and write the checkpoint.

    Args:
        recipe: what to train.
        out: folder of states, log and evaluations.
        say: prints one line.
        max_minutes: stop cleanly after that long; the same command goes on later.
        export: folder of the checkpoint; default `out/checkpoint`.

    Returns:
        the checkpoint, or None when the time was up before the last step.
    """
    processes = Processes()
    refuse_sharded_adapters(recipe.grpo.lora, processes, recipe.train.sharding, key="grpo.lora")
    base = uniar.load(recipe.checkpoint, dtype=torch.float32, device=processes.device)
    seed = derive_seed(recipe.seed, recipe.stage)
    stage = GrpoStage.from_checkpoint(
        base, recipe.grpo, prompts=recipe.train.batch_size, records=open_records(locate_data(recipe.data), seed=seed), seed=seed
    )
    engine = Engine(stage, recipe.train, folder=out, seed=recipe.seed, say=say, processes=processes, describe=decisive(recipe))
    return finish(recipe, engine, partial(export_policy, engine, base.folder), max_minutes=max_minutes, export=export)


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
            own = {name.removeprefix("policy."): tensor for name, tensor in weights.items() if name.startswith("policy.")}
            plain.load_state_dict(own, strict=False)
    return export_language(engine.processes, plain, base, target)
