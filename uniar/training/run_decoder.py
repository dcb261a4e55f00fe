"""The stage decoder of a recipe: images of a mix in, the checkpoint with the new pixel decoder out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

import uniar
from uniar.checkpoint.load import load_vision
from uniar.checkpoint.weights import write_tensors
from uniar.data.pictures import PictureEncoder
from uniar.data.sizing import Sizing
from uniar.seeding import derive_seed
from uniar.training.decoder import DecoderStage
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.exporting import below, copied_checkpoint, stored_dtype
from uniar.training.recipes import DecoderRecipe
from uniar.training.running import Ready, mixed_samples

WEIGHTS = "sd3_transformer/diffusion_pytorch_model.safetensors"


def decoder_ready(recipe: DecoderRecipe, _: Path, processes: Processes, say: Callable[[str], None]) -> Ready:
    """See `training.running.train_stage`."""
    base = uniar.load(recipe.checkpoint, dtype=torch.float32)
    processor = base.processor.image_processor
    stage = DecoderStage(
        base.decoder,
        base.feature_encoder,
        draw=mixed_samples(recipe, replace(Sizing.from_processor(processor), keep_original=True), say),
        # The tokenizer alone, since the language model has no part here. Pictures go together: a bit that rounding decides is no
        # matter where bits are flipped on purpose.
        encode_pictures=PictureEncoder(load_vision(base.folder, device=processes.device), processor, exact=False),
        config=recipe.decoder,
        seed=derive_seed(recipe.seed, recipe.stage),
        name=recipe.stage,
    )
    if recipe.fresh:
        stage.restart(derive_seed(recipe.seed, recipe.stage, "init"))
    return Ready(stage, lambda engine, target: export_decoder(engine, base.folder, target))


def export_decoder(engine: Engine, base: Path, target: Path) -> Path:
    """Write a checkpoint in the released layout: the trained transformer (its running average where there is one), the rest of `base`.

    Every process must call it; the main one writes. A checkpoint that is there is replaced once the new one is whole.
    """
    weights = engine.weights()
    if engine.processes.main:
        own = below("transformer.", weights)
        dtype = stored_dtype(base / "sd3_transformer", "diffusion_pytorch_model")
        with copied_checkpoint(base, target, without=_replaced) as fresh:
            write_tensors(fresh / WEIGHTS, own, dtype)
            config = json.loads((base / "sd3_transformer" / "config.json").read_text("utf-8"))
            config |= {
                "drop_image_token_prob_for_cfg": engine.stage.config.feature_dropout,
                "train_use_random_crop_pos_embed": engine.stage.config.random_crop,
            }
            (fresh / "sd3_transformer" / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    engine.processes.wait()
    return target


def _replaced(path: Path) -> bool:
    # The old transformer's weights; and golden records, which the new weights would not reproduce.
    return path.name == "golden_decoder.safetensors" or (path.parent.name == "sd3_transformer" and ".safetensors" in path.name)
