"""`uniar train` for the stage decoder: checkpoint and mix in, engine, checkpoint with the new pixel decoder out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

import uniar
from uniar.checkpoint.weights import write_tensors
from uniar.data.faults import Faults
from uniar.data.mix import Mix
from uniar.data.pictures import PictureEncoder
from uniar.data.sizing import Sizing
from uniar.seeding import derive_seed
from uniar.training.decoder import DecoderStage
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.exporting import copied_checkpoint, stored_dtype
from uniar.training.recipes import DecoderRecipe, decisive, locate_data
from uniar.training.running import finish

WEIGHTS = "sd3_transformer/diffusion_pytorch_model.safetensors"


def train_decoder(
    recipe: DecoderRecipe, out: Path, *, say: Callable[[str], None], max_minutes: float | None = None, export: Path | None = None
) -> Path | None:
    """Train, resuming what `out` holds, and write the checkpoint.

    Args:
        recipe: what to train.
        out: folder of states and log.
        say: prints one line.
        max_minutes: stop cleanly after that long; the same command goes on later.
        export: folder of the checkpoint; default `out/checkpoint`.

    Returns:
        the checkpoint, or None when the time was up before the last step.
    """
    processes = Processes()
    base = uniar.load(recipe.checkpoint, dtype=torch.float32)
    sizing = replace(Sizing.from_processor(base.processor.image_processor), keep_original=True)
    mix = Mix.open(locate_data(recipe.data), sizing=sizing, seed=recipe.seed)
    stage = DecoderStage(
        base.decoder,
        base.feature_encoder,
        draw=Faults(mix, report=lambda line: say(f"broken record: {line}"), policy=recipe.faults),
        # Together: a bit that rounding decides is no matter here, where bits are flipped on purpose.
        encode_pictures=PictureEncoder(base.model.visual, base.processor.image_processor, exact=False),
        config=recipe.decoder,
        seed=derive_seed(recipe.seed, recipe.stage),
        name=recipe.stage,
    )
    if recipe.fresh:
        stage.restart(derive_seed(recipe.seed, recipe.stage, "init"))
    engine = Engine(stage, recipe.train, folder=out, seed=recipe.seed, say=say, processes=processes, describe=decisive(recipe))
    return finish(recipe, engine, partial(export_decoder, engine, base.folder), max_minutes=max_minutes, export=export)


def export_decoder(engine: Engine, base: Path, target: Path) -> Path:
    """Write a checkpoint in the released layout: the trained transformer (its running average where there is one), the rest of `base`.

    Every process must call it; the main one writes. A checkpoint that is there is replaced once the new one is whole.
    """
    weights = engine.weights()
    if engine.processes.main:
        own = {name.removeprefix("transformer."): t for name, t in weights.items() if name.startswith("transformer.")}
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
