"""Trained stages -> a checkpoint in the released layout, weights in bfloat16 (the release's dtype)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from uniar.checkpoint.weights import write_tensors
from uniar.errors import TrainingError
from uniar.training.mini.build import build_processor, fresh_decoder
from uniar.training.mini.recipe import MiniRecipe
from uniar.training.mini.run import STAGES, trained

DTYPE = torch.bfloat16


def export_checkpoint(recipe: MiniRecipe, out: Path, target: Path) -> Path:
    """Write `target` from the stages' last saved states.

    Args:
        recipe: the recipe they were trained with.
        out: folder of the stages.
        target: folder to write; an older checkpoint there is replaced once the new one is whole.

    Returns:
        target.

    Raises:
        TrainingError: a stage has no state.
    """
    missing = [s for s in STAGES if not (out / s / "state.safetensors").is_file()]
    if missing:
        raise TrainingError(f"{out}: no trained state of {', '.join(missing)}; train these stages first.")
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    model = trained(recipe, out, "autoregressive").model.to(DTYPE)
    model.config.dtype = DTYPE
    model.save_pretrained(fresh)
    build_processor(recipe, out / "processor").save_pretrained(fresh)

    vision = model.visual
    write_tensors(fresh / "bsq_encoder" / "model.safetensors", vision.state_dict())
    _json(fresh / "bsq_encoder" / "config.json", {**vision.config.to_dict(), "architectures": ["UniARVisionModel"]})

    decoder = fresh_decoder(recipe)
    decoder.transformer.load_state_dict(trained(recipe, out, "decoder").transformer.state_dict())
    vae_stage = trained(recipe, out, "vae")
    scale, shift = vae_stage.scaling()
    transformer = fresh / "sd3_transformer"
    write_tensors(transformer / "diffusion_pytorch_model.safetensors", decoder.transformer.state_dict(), DTYPE)
    _json(transformer / "config.json", {"_class_name": "SD3Transformer2DModelWithSigLIP", **_plain(decoder.transformer.config)})
    pipeline = fresh / "sd3_pipeline"
    write_tensors(pipeline / "vae" / "diffusion_pytorch_model.safetensors", vae_stage.vae.state_dict(), DTYPE)
    config = {"_class_name": "AutoencoderKL", **_plain(vae_stage.vae.config), "scaling_factor": scale, "shift_factor": shift}
    _json(pipeline / "vae" / "config.json", config)
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", **_plain(decoder.scheduler.config)}
    _json(pipeline / "scheduler" / "scheduler_config.json", scheduler)
    prompt = {"prompt_embeds": decoder.prompt.embeds, "pooled_prompt_embeds": decoder.prompt.pooled}
    write_tensors(pipeline / "prompt_embeds.safetensors", prompt)

    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return target


def _plain(config: object) -> dict:
    return {k: v for k, v in dict(config).items() if not k.startswith("_")}


def _json(path: Path, data: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, sort_keys=True, default=str) + "\n", "utf-8")
