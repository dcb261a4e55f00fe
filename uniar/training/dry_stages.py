"""Stages on the meta device: every module that a recipe trains or needs, with its real shapes and without a byte of weights.

The stages' own classes say what learns, as they do in a run; where one of them would read weights or start tools (GRPO), its rule
is repeated here. Leaves adding up to `footprint` and telling to `dry_run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from uniar.checkpoint.released import configuration, prompt_words
from uniar.configuration import UniARConfig
from uniar.diffusion.decoder import PixelDecoder, PromptEmbeds
from uniar.errors import ConfigError
from uniar.model import UniARForConditionalGeneration
from uniar.training.activations import decoder_kept, language_kept, vision_kept
from uniar.training.footprint import FLOAT, HALF, Beside, Footprint, size
from uniar.training.optim import EngineConfig, refuse_zero3
from uniar.training.rebuilding import Rebuild, changed
from uniar.training.recipes import DecoderRecipe, GrpoRecipe, LanguageRecipe, PackedRecipe, StageRecipe, TokenizerRecipe
from uniar.vision.tokenizer import UniARVisionModel

PROMPT_TOKENS = 64
"""Length that a GRPO prompt is taken to have, chat text included."""
IMAGE_SHARE = 0.5
"""Share of a packed row's positions that is taken to be image tokens, where the vision stack learns."""


class Figure(NamedTuple):
    """A number that is told."""

    name: str
    value: int
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class DryStage:
    """A stage and what is told of it."""

    name: str
    parameters: tuple[Figure, ...]
    length: tuple[Figure, ...]
    footprint: Footprint
    unsplit: str = ""
    """Why it cannot be sharded; empty: it can."""


class Blank:
    """Modules of a checkpoint on the meta device, made from its configuration alone.

    Args:
        read: name of a part (see `checkpoint.released.configuration`) -> its configuration.
        words: length of the constant prompt's embeddings.
        where: checkpoint, for messages.
    """

    def __init__(self, read: Callable[[str], dict[str, Any]], *, words: int, where: str):
        self._read, self._words, self._where = read, words, where

    @classmethod
    def of(cls, checkpoint: str) -> Blank:
        """Of a folder, a bundled name, or a hub id that is cached or of the release."""
        return cls(lambda part: configuration(checkpoint, part), words=prompt_words(checkpoint), where=checkpoint)

    def model(self, rebuild: Rebuild | None = None) -> UniARForConditionalGeneration:
        """The AR model, built anew as a recipe asks."""
        config = UniARConfig.from_dict(self._read("model"))
        with torch.device("meta"):
            return UniARForConditionalGeneration(config if rebuild is None else changed(config, rebuild))

    def vision(self) -> UniARVisionModel:
        """The tokenizer alone, as the pixel decoder has its own."""
        with torch.device("meta"):
            return UniARVisionModel(UniARConfig.from_dict(self._read("model")).vision_config)

    def decoder(self) -> PixelDecoder:
        """Transformer, VAE and the constant prompt; no scheduler."""
        from diffusers import AutoencoderKL

        from uniar.checkpoint.decoder import build_transformer

        with torch.device("meta"):
            transformer = build_transformer(self._read("transformer"), Path(self._where) / "sd3_transformer")
            vae = AutoencoderKL.from_config(self._read("vae"))
            c = transformer.config
            prompt = PromptEmbeds(torch.zeros(1, self._words, c.joint_attention_dim), torch.zeros(1, c.pooled_projection_dim))
        return PixelDecoder(transformer, vae, None, prompt)


def dry_stage(recipe: StageRecipe, blank: Blank, processes: int) -> DryStage:
    """A recipe of one stage.

    Args:
        recipe: what would be trained.
        blank: the checkpoint that it starts from.
        processes: GPUs.

    Raises:
        ConfigError: what the run itself would refuse: a batch that the processes do not divide, optimisers or adapters that cannot
            be sharded, sizes that do not fit.
    """
    c = recipe.train
    if c.batch_size % (processes * c.accumulate):
        raise ConfigError(
            f"train.batch_size: got {c.batch_size}; expected a multiple of {processes} processes x {c.accumulate} micro-batches."
        )
    make = {TokenizerRecipe: _tokenizer, DecoderRecipe: _decoder, LanguageRecipe: _language, GrpoRecipe: _grpo}[type(recipe)]
    stage = make(recipe, blank, c.batch_size // (processes * c.accumulate))
    split = c.sharding in ("fsdp2", "zero3") or (c.sharding != "none" and c.optimizer == "muon")
    if stage.unsplit and processes > 1 and split:
        raise ConfigError(f"train.sharding: got {c.sharding} with {stage.unsplit}, which needs whole weights. Use sharding none.")
    if processes > 1:
        refuse_zero3(c.sharding, ema=c.ema, rollouts=isinstance(recipe, GrpoRecipe), name=recipe.stage)
    return stage


def model_figures(model: UniARForConditionalGeneration) -> list[Figure]:
    """Parameter counts of an AR model and of its parts."""
    parts = model.model
    return [
        Figure("whole model", size(model.parameters())),
        Figure("vision tower", size(parts.visual.parameters())),
        Figure("generation part", size(generation_part(model).parameters()), "visual_decoder, output_layer_vistok"),
        Figure("language model", size(nn.ModuleList([parts.language_model, model.lm_head]).parameters()), "with lm_head"),
    ]


def generation_part(model: UniARForConditionalGeneration) -> nn.ModuleList:
    """What only writing images needs."""
    return nn.ModuleList([model.visual_decoder, model.output_layer_vistok])


def steps_figures(config: Any, samples: Figure, units: Figure) -> tuple[Figure, ...]:
    """Samples and units (tokens, patches) a step and in all."""
    most = "at most" if units.note.startswith("at most") else ""
    return (
        samples,
        units,
        Figure("steps", config.steps),
        Figure(f"{samples.name.removesuffix(' a step')} in all", samples.value * config.steps),
        Figure(f"{units.name.removesuffix(' a step')} in all", units.value * config.steps, most),
    )


def _trained(module: nn.Module) -> Figure:
    return Figure("trained in this stage", size(p for p in module.parameters() if p.requires_grad))


def _unsplit(config: EngineConfig) -> str:
    return "optimizer muon" if config.optimizer == "muon" else ""


def _packed(recipe: PackedRecipe, length: int, samples: int) -> tuple[int, tuple[Figure, ...]]:
    """Rows of a micro-batch, and the length of the run."""
    mean = recipe.tokens_per_sample
    told = f"{mean:,} a sample (tokens_per_sample)" if mean else f"at most; a sample is taken to fill a row of {length:,}"
    batch = recipe.train.batch_size
    figures = steps_figures(recipe.train, Figure("samples a step", batch), Figure("tokens a step", batch * (mean or length), told))
    # Rows that write are packed apart from the others, so one more is begun.
    return math.ceil(samples * mean / length) + (samples > 1) if mean else samples, figures


def _language(recipe: LanguageRecipe, blank: Blank, samples: int) -> DryStage:
    from uniar.training.language import LanguageStage

    nothing: Any = None
    model, c = blank.model(recipe.rebuild), recipe.language
    stage = LanguageStage(
        model,
        tokenizer=nothing,
        image_processor=nothing,
        draw=nothing,
        encode_pictures=nothing,
        config=c,
        seed=recipe.seed,
        name=recipe.stage,
    )
    visual = model.model.visual
    mergers: tuple[nn.Module, ...] = (visual.merger, visual.deepstack_merger_list) if c.vision == "mergers" else ()
    if model.config.dual:
        mergers = (*mergers, model.model.reader)
    rows, length = _packed(recipe, c.packed_length, samples)
    return DryStage(
        name=recipe.stage,
        parameters=(*model_figures(model), _trained(stage)),
        length=length,
        footprint=Footprint(
            module=stage,
            path=(model.model.language_model, model.lm_head, generation_part(model), *mergers),
            config=recipe.train,
            kept=language_kept(model.config, length=c.packed_length, precision=recipe.train.precision),
            rows=rows,
        ),
        unsplit=_unsplit(recipe.train),
    )


def _tokenizer(recipe: TokenizerRecipe, blank: Blank, samples: int) -> DryStage:
    from uniar.training.tokenizer import TokenizerStage

    nothing: Any = None
    model, c, precision = blank.model(), recipe.tokenizer, recipe.train.precision
    with torch.device("meta"):
        stage = TokenizerStage(model, tokenizer=nothing, image_processor=nothing, draw=nothing, config=c, seed=recipe.seed)
    rows, length = _packed(recipe, c.packed_length, samples)
    seen = max(1, round(IMAGE_SHARE * c.packed_length))
    kept = language_kept(model.config, length=c.packed_length, precision=precision, bits=0).plus(
        vision_kept(model.config.vision_config, tokens=seen, precision=precision)
    )
    teacher = (Beside("distillation", "4 B x vision tower as it was, frozen", (model.model.visual,)),)
    return DryStage(
        name=recipe.stage,
        parameters=(*model_figures(model), _trained(stage)),
        length=length,
        footprint=Footprint(
            module=stage,
            path=tuple(m for m in (model.model.visual, model.model.language_model, model.lm_head, stage.pixels) if m is not None),
            config=recipe.train,
            kept=kept,
            rows=rows,
            beside=teacher if c.distillation_weight else (),
        ),
        unsplit=_unsplit(recipe.train),
    )


def _decoder(recipe: DecoderRecipe, blank: Blank, samples: int) -> DryStage:
    from uniar.training.decoder import DecoderStage

    nothing: Any = None
    decoder, vision = blank.decoder(), blank.vision()
    stage = DecoderStage(decoder, vision, draw=nothing, encode_pictures=nothing, config=recipe.decoder, seed=recipe.seed, name=recipe.stage)
    shape = decoder.transformer.config
    patches, side = (shape.sample_size // shape.patch_size) ** 2, shape.sample_size * decoder.vae_factor
    batch = recipe.train.batch_size
    return DryStage(
        name=recipe.stage,
        parameters=(*decoder_figures(decoder), Figure("vision tower", size(vision.parameters()), "frozen"), _trained(stage)),
        length=steps_figures(
            recipe.train,
            Figure("images a step", batch),
            Figure("latent patches a step", batch * patches, f"{patches:,} an image, taken to be {side} x {side} pixels"),
        ),
        footprint=Footprint(
            module=stage,
            path=(decoder.transformer,),
            config=recipe.train,
            kept=decoder_kept(shape, words=decoder.prompt.embeds.shape[1], precision=recipe.train.precision),
            rows=samples,
            beside=(Beside("VAE and tokenizer", "4 B x both, frozen", (decoder.vae, vision)),),
        ),
        unsplit=_unsplit(recipe.train),
    )


def decoder_figures(decoder: PixelDecoder) -> list[Figure]:
    """Parameter counts of a pixel decoder."""
    return [
        Figure("pixel decoder (DiT)", size(decoder.transformer.parameters())),
        Figure("VAE", size(decoder.vae.parameters()), "frozen"),
    ]


def _grpo(recipe: GrpoRecipe, blank: Blank, prompts: int) -> DryStage:
    model, c = blank.model(), recipe.grpo
    figures = model_figures(model)
    unit = model.config.vision_config.token_pixels
    if c.height % unit or c.width % unit:
        raise ConfigError(f"grpo.height, grpo.width: got {c.height} x {c.width}; expected multiples of {unit} pixels for this checkpoint.")
    tokens = (c.height // unit) * (c.width // unit)
    length, rows = PROMPT_TOKENS + tokens, min(prompts * c.group_size, c.micro_batch)
    # The rules of `GrpoStage`, whose constructor reads weights: all but the vision tower learns, or the adapters alone.
    model.requires_grad_(True)
    model.visual.requires_grad_(False)
    decoder, vision = blank.decoder(), blank.vision()
    beside = [Beside("decoder and tokenizer", "4 B x DiT, VAE and tokenizer, frozen", (decoder.transformer, decoder.vae, vision))]
    if c.lora is not None:
        from uniar.training.adapters import adapt

        with torch.device("meta"):
            adapt(model, c.lora, seed=recipe.seed)
        figures.append(Figure("adapters", size(p for p in model.parameters() if p.requires_grad), f"rank {c.lora.rank}"))
    elif c.beta > 0:
        parts = (model.model.language_model, model.lm_head, generation_part(model))
        beside.append(Beside("reference", "4 B x policy without its vision tower, frozen", parts))
    stage = _Policy(model)
    batch, precision = recipe.train.batch_size * c.group_size, recipe.train.precision
    text = model.config.text_config
    # Keys come out of their norm in float32; values in the precision of the products.
    pair = text.num_key_value_heads * text.head_dim * (FLOAT + (HALF if precision == "bfloat16" else FLOAT))
    return DryStage(
        name=recipe.stage,
        parameters=(*figures, *decoder_figures(decoder), _trained(stage)),
        length=(
            Figure("prompts a step", recipe.train.batch_size),
            *steps_figures(
                recipe.train,
                Figure("images a step", batch, f"{c.group_size} a prompt"),
                Figure("visual tokens a step", batch * tokens, f"{tokens} an image of {c.height} x {c.width} pixels"),
            ),
        ),
        footprint=Footprint(
            module=stage,
            path=(model.model.language_model.embed_tokens, *stage.repeated_blocks(), model.output_layer_vistok),
            config=recipe.train,
            kept=language_kept(model.config, length=length, precision=precision, text=0, bits=tokens / length),
            rows=rows,
            beside=tuple(beside),
            cache=rows * length * pair * (text.num_hidden_layers + model.config.visual_depth),
            samples=True,
        ),
        unsplit="grpo.lora" if c.lora is not None else _unsplit(recipe.train),
    )


class _Policy(nn.Module):
    """The part of `GrpoStage` that the engine holds."""

    classifiers = ("policy.lm_head", "policy.output_layer_vistok")

    def __init__(self, policy: UniARForConditionalGeneration):
        super().__init__()
        self.policy = policy

    def repeated_blocks(self) -> list[nn.Module]:
        """As the stage's."""
        return [*self.policy.model.language_model.layers, *self.policy.visual_decoder]
