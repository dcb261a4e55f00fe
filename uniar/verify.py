"""Recompute the tensors recorded beside a checkpoint through the code paths that users call, and compare.

`golden.safetensors` holds the AR model's and the tokenizer's records, `golden_decoder.safetensors` the pixel decoder's
(names: docs/model.md). Floats must agree within the tolerance (twice that for whole sampling loops), integers exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uniar.checkpoint.layout import resolve
from uniar.checkpoint.load import load_decoder, load_feature_encoder, load_model, load_vision
from uniar.checkpoint.weights import read_json, read_tensors
from uniar.diffusion.decoder import PromptEmbeds
from uniar.errors import CheckpointError
from uniar.generation.codes import Prefix, generate_codes
from uniar.vision.bsq import codes_of_indices, indices_of

# Errors add up over a sampling loop and the VAE.
_LOOSE = {"dec.final_latents": 2.0, "dec.image": 2.0}
# Records that are inputs of others; they are read, not recomputed.
_INPUTS = {
    *("tok.pixel_values", "tok.grid_thw", "und.input_ids", "und.pixel_values", "und.grid_thw"),
    *("t2i.prefix_input_ids", "t2i.attention_mask", "edit.prefix_input_ids", "edit.attention_mask", "edit.pixel_values"),
    *("edit.input_grid_thw", "tf.input_ids", "tf.attention_mask", "dec.prompt_embeds", "dec.pooled_prompt_embeds"),
    *("dec.init_latents", "dit.hidden_states", "dit.siglip_tensor", "dit.encoder_hidden_states", "dit.pooled_projections"),
    "dit.timestep",
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One compared tensor."""

    name: str
    shape: tuple[int, ...]
    ok: bool
    detail: str
    """Max absolute error, or the share of equal values."""


def verify(checkpoint: str | Path, *, tolerance: float = 1e-4) -> Iterator[Check]:
    """Compare every recorded tensor; yields one `Check` a tensor, in the order of the files.

    Args:
        checkpoint: folder or bundled name.
        tolerance: largest absolute error of a float.

    Raises:
        CheckpointError: the checkpoint cannot be read or has no records.
    """
    folder = resolve(checkpoint)
    sources = [(stem, run) for stem, run in _SOURCES.items() if (folder / f"{stem}.safetensors").is_file()]
    if not sources:
        raise CheckpointError(f"{folder}: no golden.safetensors and no golden_decoder.safetensors; there is nothing to verify against.")
    for stem, recompute in sources:
        recorded = read_tensors(folder, stem)
        computed = recompute(folder, recorded)
        for name in sorted(recorded):
            if name in _INPUTS:
                continue
            if name not in computed:
                yield Check(name=name, shape=tuple(recorded[name].shape), ok=False, detail="unknown record: not recomputed")
                continue
            yield _compare(name, recorded[name], computed[name], tolerance * _LOOSE.get(name, 1.0))


def _compare(name: str, want: Tensor, got: Tensor, tolerance: float) -> Check:
    shape = tuple(want.shape)
    if tuple(got.shape) != shape:
        return Check(name=name, shape=shape, ok=False, detail=f"shape {tuple(got.shape)} instead")
    if want.is_floating_point():
        error = (want.double() - got.double()).abs().max().item() if want.numel() else 0.0
        return Check(name=name, shape=shape, ok=error <= tolerance, detail=f"max abs error {error:.2e}")
    equal = (want == got.to(want.dtype)).double().mean().item() if want.numel() else 1.0
    return Check(name=name, shape=shape, ok=equal == 1.0, detail=f"{100 * equal:.4g}% equal")


@torch.inference_mode()
def _autoregressive(folder: Path, g: dict[str, Tensor]) -> dict[str, Tensor]:
    model = load_model(folder, dtype=torch.float32)
    out: dict[str, Tensor] = {}
    if "tok.pixel_values" in g:
        out |= _tokenizer(load_vision(folder) if (folder / "bsq_encoder").is_dir() else model.visual, g)
    if "und.input_ids" in g:
        understood = model(input_ids=g["und.input_ids"], pixel_values=g["und.pixel_values"], image_grid_thw=g["und.grid_thw"])
        out["und.logits"] = understood.logits
    if "t2i.prefix_input_ids" in g:
        out |= _rollouts(model, g, "t2i", *_output_grid(folder, model, g))
    if "edit.prefix_input_ids" in g:
        out |= _rollouts(model, g, "edit", *_output_grid(folder, model, g))
    if "tf.input_ids" in g:
        out |= _teacher_forcing(model, g, *_output_grid(folder, model, g))
    return out


def _tokenizer(vision: Any, g: dict[str, Tensor]) -> dict[str, Tensor]:
    codes = vision.encode(g["tok.pixel_values"], g["tok.grid_thw"])
    indices = indices_of(codes)
    round_trip = torch.equal(codes_of_indices(indices, vision.config.bsq_dim), codes)
    raw = vision.level_features(codes)
    out = {
        "tok.codes": codes,
        "tok.indices": indices,
        "tok.indices_to_codes_equal": torch.tensor([float(round_trip)]),
        "tok.bsq_features_main": raw[0],
        "codes2feat.decoder_main": vision.level_features(g["tok.codes"])[0],
    }
    pixels, from_codes = vision(g["tok.pixel_values"], g["tok.grid_thw"]), vision.embed(g["tok.codes"])
    out |= {"tok.merged_main": pixels.main, "codes2feat.merged_main": from_codes.main}
    for k in range(len(raw) - 1):
        out[f"tok.bsq_features_deepstack.{k}"] = raw[k + 1]
        out[f"codes2feat.decoder_deepstack.{k}"] = vision.level_features(g["tok.codes"])[k + 1]
        out[f"tok.merged_deepstack.{k}"] = pixels.deepstack[k]
        out[f"codes2feat.merged_deepstack.{k}"] = from_codes.deepstack[k]
    return out


def _output_grid(folder: Path, model: Any, g: dict[str, Tensor]) -> tuple[int, int]:
    """Visual tokens (rows, columns) of the recorded images: told by golden_decoder.json, checked against the records."""
    told = read_json(folder / "golden_decoder.json")
    unit = model.config.vision_config.token_pixels
    return told["ar_height"] // unit, told["ar_width"] // unit


def _rollouts(model: Any, g: dict[str, Tensor], kind: str, rows: int, columns: int) -> dict[str, Tensor]:
    ids, mask = g[f"{kind}.prefix_input_ids"], g[f"{kind}.attention_mask"].bool()
    b = ids.shape[0] // 2
    codes, grids = [None] * b, [[] for _ in range(b)]
    input_grids = g.get(f"{kind}.input_grid_thw")
    if input_grids is not None:
        # The record repeats the input image for the unconditional row.
        patches = input_grids.prod(-1).tolist()
        for i, pixels in enumerate(g[f"{kind}.pixel_values"].split(patches)[:b]):
            codes[i] = model.visual.encode(pixels, input_grids[i : i + 1])
            grids[i] = [tuple(input_grids[i].tolist())]
    prefixes = [
        Prefix(
            input_ids=ids[i][mask[i]], unconditional_ids=ids[b + i][mask[b + i]], codes=codes[i], grid_thw=grids[i]
        )
        for i in range(b)
    ]
    out = {}
    for name in g:
        if name.startswith(f"{kind}.codes_cfg"):
            scale = float(name.removeprefix(f"{kind}.codes_cfg"))
            settings = {"rows": rows, "columns": columns, "seeds": [0] * b, "guidance_scale": scale, "temperature": 1e-5}
            one_by_one = generate_codes(model, prefixes, exact=True, **settings)
            batched = generate_codes(model, prefixes, exact=False, **settings)
            # Both paths are users' paths; where they differ, the one that misses is shown.
            out[name] = batched if torch.equal(one_by_one, g[name]) else one_by_one
    total, merge = rows * columns, model.config.vision_config.spatial_merge_size
    placeholders = torch.full((ids.shape[0], total), model.config.image_token_id)
    output = (1, rows * merge, columns * merge)
    all_grids = [x for i in range(ids.shape[0]) for x in (*grids[i % b], output)]
    out[f"{kind}.position_ids"] = model.positions(
        torch.cat([ids, placeholders], 1),
        torch.tensor(all_grids),
        torch.cat([g[f"{kind}.attention_mask"], torch.ones_like(placeholders)], 1),
    )
    return out


def _teacher_forcing(model: Any, g: dict[str, Tensor], rows: int, columns: int) -> dict[str, Tensor]:
    codes = g["t2i.codes_cfg1.0"]
    b, n = codes.shape[:2]
    merge = model.config.vision_config.spatial_merge_size
    grid = torch.tensor([[1, rows * merge, columns * merge]] * b)
    positions = model.positions(g["tf.input_ids"], grid, g["tf.attention_mask"])
    states = model.states(
        position_ids=positions,
        input_ids=g["tf.input_ids"],
        visual=model.visual.embed(codes.flatten(0, 1)),
        attention_mask=g["tf.attention_mask"],
    )
    # The logits at a position predict the next token, so the image's are one place earlier.
    logits = model.bit_logits(states, position_ids=positions, attention_mask=g["tf.attention_mask"])[:, -n - 1 : -1]
    agreement = (logits.argmax(-1) == codes).double().mean()
    return {"tf.logits": logits, "tf.argmax_agreement": agreement.float().reshape(1)}


@torch.inference_mode()
def _decoder(folder: Path, g: dict[str, Tensor]) -> dict[str, Tensor]:
    decoder = load_decoder(folder, dtype=torch.float32)
    vision = load_feature_encoder(folder)
    told = read_json(folder / "golden_decoder.json")
    patch = vision.config.patch_size
    grid = (told["ar_height"] // patch, told["ar_width"] // patch)
    features = vision.feature_map(codes_of_indices(g["dec.indices"], vision.config.bsq_dim), *grid)
    out = {"dec.siglip_tensor": features, "dec.indices": indices_of(codes_of_indices(g["dec.indices"], vision.config.bsq_dim))}
    final = decoder.sample(
        features,
        feature_grid=grid,
        noise=g["dec.init_latents"],
        steps=told["num_inference_steps"],
        guidance_scale=told["guidance_scale"],
        prompt=PromptEmbeds(g["dec.prompt_embeds"], g["dec.pooled_prompt_embeds"]),
    )
    out |= {"dec.final_latents": final, "dec.image": decoder.pixels(final)}
    if "dit.hidden_states" in g:
        out["dit.out"] = decoder.transformer(
            g["dit.hidden_states"],
            features=g["dit.siglip_tensor"],
            feature_grid=grid,
            timestep=g["dit.timestep"],
            prompt_embeds=g["dit.encoder_hidden_states"],
            pooled_prompt_embeds=g["dit.pooled_projections"],
        )
    return out


_SOURCES: dict[str, Callable[[Path, dict[str, Tensor]], dict[str, Tensor]]] = {
    "golden": _autoregressive,
    "golden_decoder": _decoder,
}
