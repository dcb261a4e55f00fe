"""The stages of the chain `mini` on the meta device; see `dry_stages`.

The chain trains its text tokenizer itself, so its vocabulary is taken to be as large as the recipe allows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from uniar.training.activations import decoder_kept, language_kept, vae_kept, vision_kept
from uniar.training.dry_stages import Blank, DryStage, Figure, decoder_figures, generation_part, model_figures, steps_figures
from uniar.training.footprint import Footprint, size
from uniar.training.mini.build import SPECIAL_TOKENS, fresh_decoder, model_config, vision_config
from uniar.training.mini.recipe import MiniRecipe

CHAIN = "the chain mini"


class _Vocabulary:
    """As much of a text tokenizer as the model's configuration asks for."""

    def __init__(self, words: int):
        self._words = words

    def __len__(self) -> int:
        return self._words

    def convert_tokens_to_ids(self, name: str) -> int:
        return self._words - len(SPECIAL_TOKENS) + SPECIAL_TOKENS.index(name)


def blank_of_mini(recipe: MiniRecipe) -> Blank:
    """The checkpoint that the chain's own stages make."""

    def read(part: str) -> dict[str, Any]:
        if part == "model":
            return model_config(recipe, _Vocabulary(recipe.language.vocabulary)).to_dict()
        with torch.device("meta"):
            decoder = fresh_decoder(recipe)
        return {k: v for k, v in dict(getattr(decoder, part).config).items() if not k.startswith("_")}

    return Blank(read, words=1, where="mini")


def dry_mini(recipe: MiniRecipe, blank: Blank) -> list[DryStage]:
    """The chain's own stages, in order."""
    return [_tokenizer(recipe), _vae(recipe, blank), _decoder(recipe, blank), _autoregressive(recipe, blank)]


def _stage(name: str, config: Any, counts: list[Figure], unit: Figure, **footprint: Any) -> DryStage:
    module = footprint["module"]
    trained = Figure("trained in this stage", size(p for p in module.parameters() if p.requires_grad))
    samples = Figure("samples a step", config.batch_size)
    return DryStage(
        name=name,
        parameters=(*counts, trained),
        length=steps_figures(config, samples, unit),
        footprint=Footprint(config=config, **footprint),
        unsplit=CHAIN,
    )


def _tokenizer(recipe: MiniRecipe) -> DryStage:
    from uniar.training.mini.tokenizer import TokenizerStage

    c, vision = recipe.tokenizer, vision_config(recipe)
    with torch.device("meta"):
        stage = TokenizerStage(recipe)
    tokens = (recipe.canvas // vision.token_pixels) ** 2
    return _stage(
        "tokenizer",
        c,
        [Figure("vision tower", size(stage.vision.parameters()))],
        Figure("visual tokens a step", c.batch_size * tokens, f"{tokens} an image"),
        module=stage,
        path=(stage,),
        kept=vision_kept(vision, tokens=tokens, precision=c.precision),
        rows=c.batch_size,
    )


def _vae(recipe: MiniRecipe, blank: Blank) -> DryStage:
    c, decoder = recipe.vae, blank.decoder()
    pixels = recipe.canvas**2
    return _stage(
        "vae",
        c,
        [Figure("VAE", size(decoder.vae.parameters()))],
        Figure("pixels a step", c.batch_size * pixels),
        module=decoder.vae,
        path=(decoder.vae,),
        kept=vae_kept(decoder.vae.config, side=recipe.canvas, precision=c.precision),
        rows=c.batch_size,
    )


def _decoder(recipe: MiniRecipe, blank: Blank) -> DryStage:
    c, decoder = recipe.decoder, blank.decoder()
    shape = decoder.transformer.config
    patches = (shape.sample_size // shape.patch_size) ** 2
    return _stage(
        "decoder",
        c,
        decoder_figures(decoder),
        Figure("latent patches a step", c.batch_size * patches, f"{patches} an image"),
        module=decoder.transformer,
        path=(decoder.transformer,),
        kept=decoder_kept(shape, words=decoder.prompt.embeds.shape[1], precision=c.precision),
        rows=c.batch_size,
    )


def _autoregressive(recipe: MiniRecipe, blank: Blank) -> DryStage:
    c, model = recipe.autoregressive, blank.model()
    stage = _Autoregressive(model)
    visual, length = model.model.visual, recipe.packed_length
    return _stage(
        "autoregressive",
        c,
        model_figures(model),
        Figure("tokens a step", c.batch_size * length, f"at most; a sample is taken to fill a row of {length}"),
        module=stage,
        path=(model.model.language_model, model.lm_head, generation_part(model), visual.merger, visual.deepstack_merger_list),
        kept=language_kept(model.config, length=length, precision=c.precision),
        rows=c.batch_size,
    )


class _Autoregressive(nn.Module):
    """What `mini.autoregressive` trains; its constructor would train a text tokenizer."""

    classifiers = ("model.lm_head", "model.output_layer_vistok")

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        for name, parameter in model.visual.named_parameters():
            parameter.requires_grad_("merger" in name)
