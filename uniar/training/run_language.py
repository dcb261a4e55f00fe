"""`uniar train` for the stages pretrain and sft: checkpoint and mix in, engine, checkpoint out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

import uniar
from uniar.checkpoint.weights import weight_files
from uniar.data.code_cache import CachedPictures, CodeCache, tokenizer_fingerprint
from uniar.data.faults import Faults
from uniar.data.mix import Mix
from uniar.data.pictures import PictureEncoder
from uniar.data.samples import TrainingSample
from uniar.data.sizing import Sizing
from uniar.seeding import derive_seed
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.language import LanguageStage
from uniar.training.recipes import LanguageRecipe, Preview
from uniar.training.trackers import open_trackers


def train_language(
    recipe: LanguageRecipe, out: Path, *, say: Callable[[str], None], max_minutes: float | None = None, export: Path | None = None
) -> Path | None:
    """Train, resuming what `out` holds, and write the checkpoint.

    Args:
        recipe: what to train.
        out: folder of states, log and previews.
        say: prints one line.
        max_minutes: stop cleanly after that long; the same command goes on later.
        export: folder of the checkpoint; default `out/checkpoint`.

    Returns:
        the checkpoint, or None when the time was up before the last step.
    """
    processes = Processes()
    base = uniar.load(recipe.checkpoint, dtype=torch.float32)
    processor = base.processor
    mix = Mix.open(Path(recipe.data), sizing=Sizing.from_processor(processor.image_processor), seed=recipe.seed)
    draw = Faults(mix, report=lambda line: say(f"broken record: {line}"), policy=recipe.faults)
    source: Callable[[int], TrainingSample] = draw
    if recipe.cache:
        made_by = tokenizer_fingerprint(base.model.visual, processor.image_processor)
        cached = CachedPictures(CodeCache(Path(recipe.cache), fingerprint=made_by))

        def source(number: int) -> TrainingSample:
            return cached(draw(number))

    stage = LanguageStage(
        base.model,
        tokenizer=processor.tokenizer,
        draw=source,
        encode_pictures=PictureEncoder(base.model.visual, processor.image_processor),
        config=recipe.language,
        seed=derive_seed(recipe.seed, recipe.stage),
        name=recipe.stage,
    )
    every = {}
    if recipe.preview is not None:
        every["preview"] = (recipe.preview.every, _preview(base, recipe.preview, out / "previews", processes))
    engine = Engine(
        stage,
        recipe.train,
        folder=out,
        seed=recipe.seed,
        say=say,
        processes=processes,
        every=every,
        trackers=open_trackers(recipe.trackers, out) if processes.main else (),
        # What decides the numbers; how many processes share the work does not.
        describe=_decisive(recipe),
    )
    done = engine.resume()
    if done:
        say(f"{recipe.stage}: going on after step {done}")
    if not engine.run(max_seconds=None if max_minutes is None else 60 * max_minutes):
        return None
    return export_language(engine, base.folder, export or out / "checkpoint")


def _decisive(recipe: LanguageRecipe) -> dict[str, Any]:
    data = asdict(recipe)
    for key in ("preview", "trackers", "cache"):
        del data[key]
    for key in ("save_every", "log_every", "keep", "accumulate", "sharding", "compile"):
        del data["train"][key]
    return data


def _preview(base: Any, preview: Preview, folder: Path, processes: Processes) -> Callable[[int, nn.Module], None]:
    def make(step: int, stage: nn.Module) -> None:
        # The pipeline holds the very model that is trained, so its current weights draw.
        if not processes.main or processes.world > 1:
            return
        from PIL import Image

        stage.eval()
        made = base.generate(
            list(preview.prompts),
            height=preview.height,
            width=preview.width,
            seeds=list(range(len(preview.prompts))),
            guidance_scale=preview.guidance_scale,
            temperature=preview.temperature,
            decoder_steps=preview.decoder_steps,
            decoder_guidance_scale=1.0,
        )
        sheet = Image.new("RGB", (sum(m.image.width for m in made), made[0].image.height))
        for i, m in enumerate(made):
            sheet.paste(m.image, (i * m.image.width, 0))
        folder.mkdir(parents=True, exist_ok=True)
        sheet.save(folder / f"step-{step:08d}.png")

    return make


def export_language(engine: Engine, base: Path, target: Path) -> Path:
    """Write a checkpoint in the released layout: the trained AR model, everything else as in `base`.

    Every process must call it; the main one writes. A checkpoint that is there is replaced once the new one is whole.
    """
    weights = engine.weights()
    if engine.processes.main:
        model = engine.stage.model
        own = {name.removeprefix("model."): tensor for name, tensor in weights.items() if name.startswith("model.")}
        fresh = target.with_name(f".{target.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(base, fresh, ignore=lambda where, names: _replaced(names) if Path(where) == base else set())
        dtype = _stored_dtype(base)
        model.config.dtype = dtype
        model.save_pretrained(fresh, state_dict={k: v.to(dtype) if v.is_floating_point() else v for k, v in own.items()})
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    engine.processes.wait()
    return target


def _replaced(names: list[str]) -> set[str]:
    # The old AR weights; and golden records, which the new weights would not reproduce.
    return {name for name in names if name.startswith("golden") or (name.startswith("model") and ".safetensors" in name)}


def _stored_dtype(folder: Path) -> torch.dtype:
    # One tensor tells; reading them all would hold the whole model a second time.
    with safe_open(weight_files(folder, "model")[0], framework="pt") as file:
        return next(t.dtype for t in map(file.get_tensor, file.keys()) if t.is_floating_point())
