"""`uniar train` for the stage tokenizer: checkpoint and understanding data in, engine, checkpoint with the new vision stack out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

import uniar
from uniar.checkpoint.weights import write_tensors
from uniar.data.faults import Faults
from uniar.data.mix import Mix
from uniar.data.sizing import Sizing
from uniar.seeding import derive_seed
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.exporting import copied_checkpoint, save_model, stored_dtype
from uniar.training.recipes import TokenizerRecipe, decisive, locate_data
from uniar.training.running import finish
from uniar.training.tokenizer import TokenizerStage


def train_tokenizer(
    recipe: TokenizerRecipe, out: Path, *, say: Callable[[str], None], max_minutes: float | None = None, export: Path | None = None
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
    processor = base.processor
    mix = Mix.open(locate_data(recipe.data), sizing=Sizing.from_processor(processor.image_processor), seed=recipe.seed)
    stage = TokenizerStage(
        base.model,
        tokenizer=processor.tokenizer,
        image_processor=processor.image_processor,
        draw=Faults(mix, report=lambda line: say(f"broken record: {line}"), policy=recipe.faults),
        config=recipe.tokenizer,
        seed=derive_seed(recipe.seed, recipe.stage),
        name=recipe.stage,
    )
    engine = Engine(stage, recipe.train, folder=out, seed=recipe.seed, say=say, processes=processes, describe=decisive(recipe))

    def write(target: Path) -> Path:
        return export_tokenizer(engine, base.folder, target)

    made = finish(recipe, engine, write, max_minutes=max_minutes, export=export)
    if made is not None and processes.main and (made / "sd3_transformer").is_dir():
        say("The codes mean something else now: the pixel decoder and the visual head of this checkpoint must be trained again.")
    return made


def export_tokenizer(engine: Engine, base: Path, target: Path) -> Path:
    """Write a checkpoint in the released layout: AR model and `bsq_encoder/` with the new vision stack, the rest of `base`.

    Every process must call it; the main one writes. A checkpoint that is there is replaced once the new one is whole.
    """
    weights = {name.removeprefix("model."): t for name, t in engine.weights().items() if name.startswith("model.")}
    if engine.processes.main:
        model, dtype = engine.stage.model, stored_dtype(base)
        vision = {name.removeprefix("model.visual."): t for name, t in weights.items() if name.startswith("model.visual.")}
        with copied_checkpoint(base, target, without=_replaced) as fresh:
            save_model(model, fresh, weights, dtype)
            write_tensors(fresh / "bsq_encoder" / "model.safetensors", vision, dtype)
    engine.processes.wait()
    return target


def _replaced(path: Path) -> bool:
    # The old weights of model and tokenizer; and golden records, which the new weights would not reproduce.
    old = path.parent in (Path(), Path("bsq_encoder")) and path.name.startswith("model") and ".safetensors" in path.name
    return old or path.name.startswith("golden")
