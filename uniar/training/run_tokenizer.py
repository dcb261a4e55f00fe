"""The stage tokenizer of a recipe: understanding data in, the checkpoint with the new vision stack out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

import uniar
from uniar.checkpoint.weights import write_tensors
from uniar.data.sizing import Sizing
from uniar.seeding import derive_seed
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.exporting import below, copied_checkpoint, of_the_model, save_model, stored_dtype
from uniar.training.recipes import TokenizerRecipe
from uniar.training.running import Ready, mixed_samples
from uniar.training.tokenizer import TokenizerStage

STALE = "The codes mean something else now: the pixel decoder and the visual head of this checkpoint must be trained again."


def tokenizer_ready(recipe: TokenizerRecipe, _: Path, __: Processes, say: Callable[[str], None]) -> Ready:
    """See `training.running.train_stage`."""
    base = uniar.load(recipe.checkpoint, dtype=torch.float32)
    if recipe.fresh:
        restart_vision(base.model, derive_seed(recipe.seed, recipe.stage, "init"))
    processor = base.processor
    stage = TokenizerStage(
        base.model,
        tokenizer=processor.tokenizer,
        image_processor=processor.image_processor,
        draw=mixed_samples(recipe, Sizing.from_processor(processor.image_processor), say),
        config=recipe.tokenizer,
        seed=derive_seed(recipe.seed, recipe.stage),
        name=recipe.stage,
    )
    stale = STALE if (base.folder / "sd3_transformer").is_dir() else ""
    return Ready(stage, lambda engine, target: export_tokenizer(engine, base.folder, target), afterwards=stale)


def restart_vision(model: torch.nn.Module, seed: int) -> None:
    """Give the vision stack and its quantiser fresh weights of their own configuration."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(model)(model.config)
    model.visual.load_state_dict(fresh.visual.state_dict())


def export_tokenizer(engine: Engine, base: Path, target: Path) -> Path:
    """Write a checkpoint in the released layout: AR model and `bsq_encoder/` with the new vision stack, the rest of `base`.

    Every process must call it; the main one writes. A checkpoint that is there is replaced once the new one is whole.
    """
    weights = below("model.", engine.weights())
    if engine.processes.main:
        model, dtype = engine.stage.model, stored_dtype(base)
        with copied_checkpoint(base, target, without=_replaced) as fresh:
            save_model(model, fresh, weights, dtype)
            write_tensors(fresh / "bsq_encoder" / "model.safetensors", below("model.visual.", weights), dtype)
    engine.processes.wait()
    return target


def _replaced(path: Path) -> bool:
    return of_the_model(path) or (path.parent == Path("bsq_encoder") and path.name.startswith("model") and ".safetensors" in path.name)
