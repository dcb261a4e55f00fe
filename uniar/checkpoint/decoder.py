"""Folder -> pixel decoder: transformer, VAE, scheduler and the constant prompt's embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from uniar.checkpoint.weights import load_strict, read_json, read_tensors
from uniar.diffusion.decoder import PROMPT, PixelDecoder, PromptEmbeds
from uniar.diffusion.transformer import FeatureConditionedSD3
from uniar.errors import CheckpointError


def read_decoder(folder: Path, *, dtype: torch.dtype) -> PixelDecoder:
    """The parts of a folder, on the CPU; see `checkpoint.load.load_decoder`."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler

    where, pipeline = folder / "sd3_transformer", folder / "sd3_pipeline"
    transformer = build_transformer(read_json(where / "config.json"), where)
    load_strict(transformer, read_tensors(where, "diffusion_pytorch_model"), where=str(where), dtype=dtype)
    vae_config = read_json(pipeline / "vae" / "config.json")
    vae = AutoencoderKL.from_config(vae_config)
    load_strict(vae, read_tensors(pipeline / "vae", "diffusion_pytorch_model"), where=str(pipeline / "vae"), dtype=dtype)
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(read_json(pipeline / "scheduler" / "scheduler_config.json"))
    prompt = _prompt_embeds(pipeline)
    return PixelDecoder(transformer, vae, scheduler, prompt)


def build_transformer(config: dict[str, Any], where: Path) -> FeatureConditionedSD3:
    """The pixel decoder's transformer of a configuration, with fresh weights.

    Args:
        config: of `sd3_transformer/config.json`.
        where: folder of that file, for the message.

    Raises:
        CheckpointError: a key that it does not know.
    """
    return FeatureConditionedSD3(**_known(FeatureConditionedSD3, config, where))


def _known(cls: Any, config: dict[str, Any], where: Path) -> dict[str, Any]:
    import inspect

    names = set(inspect.signature(cls.__init__).parameters) - {"self"}
    unknown = sorted(k for k in config if not k.startswith("_") and k not in names)
    if unknown:
        raise CheckpointError(f"{where / 'config.json'}: {unknown[0]}: unknown key; expected one of {', '.join(sorted(names))}.")
    return {k: v for k, v in config.items() if k in names}


def _prompt_embeds(pipeline: Path) -> PromptEmbeds | None:
    stored = pipeline / "prompt_embeds.safetensors"
    if stored.is_file():
        tensors = read_tensors(pipeline, "prompt_embeds")
        return PromptEmbeds(tensors["prompt_embeds"], tensors["pooled_prompt_embeds"])
    if (pipeline / "text_encoder").is_dir():
        return _compute_prompt_embeds(pipeline)
    return None


@torch.inference_mode()
def _compute_prompt_embeds(pipeline: Path) -> PromptEmbeds:
    # The pipeline object is used for its encode_prompt only; the heavy parts stay out.
    from diffusers import StableDiffusion3Pipeline

    index = json.loads((pipeline / "model_index.json").read_text("utf-8")) if (pipeline / "model_index.json").is_file() else {}
    if not index:
        raise CheckpointError(f"{pipeline / 'model_index.json'}: not found; the text encoders cannot be put together without it.")
    pipe = StableDiffusion3Pipeline.from_pretrained(str(pipeline), transformer=None, vae=None, torch_dtype=torch.float32)
    embeds, _, pooled, _ = pipe.encode_prompt(PROMPT, PROMPT, PROMPT, do_classifier_free_guidance=False)
    return PromptEmbeds(embeds.cpu(), pooled.cpu())
