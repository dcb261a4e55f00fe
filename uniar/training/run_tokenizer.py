"""The stage tokenizer of a recipe: understanding data in, the checkpoint with the new vision stack out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import uniar
from uniar.data.sizing import Sizing
from uniar.errors import ConfigError
from uniar.seeding import derive_seed
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.exporting import below, export_with_encoder
from uniar.training.recipes import TokenizerRecipe
from uniar.training.running import Ready, mixed_samples
from uniar.training.tokenizer import TokenizerStage

STALE = "The codes mean something else now: the pixel decoder and the visual head of this checkpoint must be trained again."


def tokenizer_ready(recipe: TokenizerRecipe, _: Path, processes: Processes, say: Callable[[str], None]) -> Ready:
    """See `training.running.train_stage`."""
    base = uniar.load(recipe.checkpoint, dtype=torch.float32)
    if base.model.config.dual:
        raise ConfigError(
            f"checkpoint: got {recipe.checkpoint}, which reads pixels with a vision stack of its own (reads_pixels); expected one whose "
            "tokenizer is read. Train another."
        )
    own = {"quantizer": recipe.tokenizer.quantizer, "levels": recipe.tokenizer.levels}
    given = next((name for name, value in own.items() if value is not None), None)
    if given is not None and not recipe.fresh:
        raise ConfigError(f"tokenizer.{given}: got one without fresh; its codes mean something else. Set fresh to true.")
    if recipe.tokenizer.keep_blocks and not recipe.fresh:
        raise ConfigError("tokenizer.keep_blocks: got true without fresh; then everything is kept. Set fresh to true.")
    if recipe.fresh:
        restart_vision(base.model, derive_seed(recipe.seed, recipe.stage, "init"), keep_blocks=recipe.tokenizer.keep_blocks, **own)
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

    def write(engine: Engine, target: Path) -> Path:
        return export_with_encoder(processes, stage.model, base.folder, target, below("model.", engine.weights()))

    return Ready(stage, write, afterwards=stale)


def restart_vision(
    model: Any,
    seed: int,
    *,
    quantizer: Mapping[str, Any] | None = None,
    levels: Sequence[int] | None = None,
    keep_blocks: bool = False,
) -> None:
    """Give the vision stack and its quantiser fresh weights of their own configuration.

    Args:
        model: the whole AR model.
        seed: of the weights.
        quantizer: another quantiser (`TokenizerConfig.quantizer`); its `dim` is the new width of a level's vectors, and the visual head,
            whose size follows from it, starts afresh too.
        levels: other levels (`TokenizerConfig.levels`), likewise.
        keep_blocks: see `TokenizerConfig.keep_blocks`.

    Raises:
        ConfigError: levels that are no blocks, or more of them than the language model has layers to take them.
    """
    vision, old = model.config.vision_config, model.visual
    before = list(vision.deepstack_visual_indexes)
    if levels is not None:
        depth, layers = vision.depth, model.config.text_config.num_hidden_layers
        if len(set(levels)) < len(levels) or any(not 0 <= level < depth - 1 for level in levels) or len(levels) > layers:
            raise ConfigError(
                f"tokenizer.levels: got {list(levels)}; expected at most {layers} block numbers from 0 to {depth - 2}, each once."
            )
        vision.deepstack_visual_indexes = list(levels)
    if quantizer is not None:
        settings = {key: value for key, value in quantizer.items() if key != "dim"}
        vision.bsq_dim = int(quantizer.get("dim", vision.bsq_dim))
        vision.quantizer = settings
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(model)(model.config)
    if keep_blocks:
        _keep_blocks(old, fresh.visual, before)
    if quantizer is None and levels is None:
        model.visual.load_state_dict(fresh.visual.state_dict())
        return
    model.model.visual, model.output_layer_vistok = fresh.model.visual, fresh.output_layer_vistok


def _keep_blocks(old: Any, new: Any, before: Sequence[int]) -> None:
    """Copy all but the quantiser and its projections from one vision stack to another; a level's merger where both have the level."""
    for name in ("patch_embed", "pos_embed", "blocks", "merger"):
        getattr(new, name).load_state_dict(getattr(old, name).state_dict())
    for merger, block in zip(new.deepstack_merger_list, new.config.deepstack_visual_indexes, strict=True):
        if block in before:
            merger.load_state_dict(old.deepstack_merger_list[before.index(block)].state_dict())
