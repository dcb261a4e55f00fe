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
from uniar.errors import ConfigError
from uniar.seeding import derive_seed
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.exporting import below, export_language, export_with_encoder
from uniar.training.language import LanguageStage
from uniar.training.rebuilding import rebuilt, regroup
from uniar.training.recipes import LanguageRecipe, Preview
from uniar.training.running import Ready, mixed_samples, refuse_sharded_adapters


def language_ready(recipe: LanguageRecipe, out: Path, processes: Processes, say: Callable[[str], None]) -> Ready:
    """See `training.running.train_stage`."""
    if recipe.language.lora is not None and not recipe.rebuild.nothing:
        raise ConfigError("rebuild: got one with language.lora; adapters belong to weights that stay. Leave one of them out.")
    refuse_sharded_adapters(recipe.language.lora, processes, recipe.train.sharding, key="language.lora")
    base = uniar.load(recipe.checkpoint, dtype=torch.float32)
    model, processor = rebuilt(base.model, recipe.rebuild, seed=derive_seed(recipe.seed, recipe.stage, "init")), base.processor
    if model.config.dual and processes.world > 1:
        # Its reading stack learns nothing from a micro-batch without questions, and processes must agree on what learns.
        raise ConfigError(f"rebuild.reads_pixels: got true with {processes.world} processes; expected one. Start it without a launcher.")
    # The pipeline that draws previews holds the model that is trained.
    base.model = model
    if recipe.rebuild.spatial_merge is not None:
        regroup(processor, recipe.rebuild.spatial_merge)
    draw = mixed_samples(recipe, Sizing.from_processor(processor.image_processor), say)
    source: Callable[[int], TrainingSample] = draw
    if recipe.cache:
        made_by = tokenizer_fingerprint(model.visual, processor.image_processor)
        cached = CachedPictures(CodeCache(Path(recipe.cache), fingerprint=made_by))

        def source(number: int) -> TrainingSample:
            return cached(draw(number))

    stage = LanguageStage(
        model,
        tokenizer=processor.tokenizer,
        image_processor=processor.image_processor,
        draw=source,
        encode_pictures=PictureEncoder(model.visual, processor.image_processor),
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
        weights = below("model.", engine.weights())
        if not recipe.rebuild.nothing:
            return export_with_encoder(processes, stage.model, base.folder, target, weights)
        return export_language(processes, stage.model, base.folder, target, weights)

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
