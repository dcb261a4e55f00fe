"""The stages pretrain and sft of a recipe: a mix in, the checkpoint with the trained AR model out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import uniar
from uniar.data.code_cache import CachedPictures, CodeCache, tokenizer_fingerprint
from uniar.data.pictures import PictureEncoder
from uniar.data.samples import TrainingSample
from uniar.data.sizing import Sizing
from uniar.seeding import derive_seed
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.exporting import below, export_language
from uniar.training.language import LanguageStage
from uniar.training.recipes import LanguageRecipe, Preview
from uniar.training.running import Ready, mixed_samples, refuse_sharded_adapters


def language_ready(recipe: LanguageRecipe, out: Path, processes: Processes, say: Callable[[str], None]) -> Ready:
    """See `training.running.train_stage`."""
    refuse_sharded_adapters(recipe.language.lora, processes, recipe.train.sharding, key="language.lora")
    base = uniar.load(recipe.checkpoint, dtype=torch.float32)
    processor = base.processor
    draw = mixed_samples(recipe, Sizing.from_processor(processor.image_processor), say)
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

    def write(engine: Engine, target: Path) -> Path:
        if recipe.language.lora is not None:
            return export_language(processes, stage.merged() if processes.main else None, base.folder, target)
        return export_language(processes, stage.model, base.folder, target, below("model.", engine.weights()))

    return Ready(stage, write, every)


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
