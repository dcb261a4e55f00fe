"""The rollout: prefill a prompt, then one visual token a step, with one cache for both stacks.

Cost: each step runs the new position only, in the language stack and in the visual head. Guidance rows exist only when
guidance is used.

Determinism. The codes of a sample are a function of its prompt, the settings and its seed. With `exact=True` samples run
one by one (a conditional and an unconditional row together): every matrix product then has a shape that depends on that
sample alone, and the codes are bit-identical whatever else is asked for. With `exact=False` samples share a batch;
floating-point sums are then ordered by the batch's shape, and a draw that lies within rounding of its threshold
(about 1 bit in 10**6 in float32, 10**3 in bfloat16) may differ. The default is exact on CPU and batched on GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from uniar.errors import InputError
from uniar.generation.fixed import FixedSteps, aligned
from uniar.generation.sampling import uniforms
from uniar.language.cache import KVCache
from uniar.model import UniARForConditionalGeneration
from uniar.seeding import generator
from uniar.vision.tokenizer import VisualFeatures

FIXED_FROM = 32
"""Tokens of an image from which the steps run in fixed shapes: recording a graph takes as long as a few steps."""


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """One sample's prompt, tokenised."""

    input_ids: Tensor
    """int64 (T,), ends with `<|vision_start|>`; one placeholder per visual token of each image."""
    unconditional_ids: Tensor | None = None
    """int64 (T',), the same with an empty prompt; needed when guidance is used."""
    codes: Tensor | None = None
    """uint8 (N, L, G, D) of the input images, when editing."""
    grid_thw: list[tuple[int, int, int]] = field(default_factory=list)
    """Patches of each input image."""


def generate_codes(
    model: UniARForConditionalGeneration,
    prefixes: Sequence[Prefix],
    *,
    rows: int,
    columns: int,
    seeds: Sequence[int],
    guidance_scale: float = 1.0,
    temperature: float = 1.0,
    exact: bool | None = None,
    pad_token_id: int = 0,
    on_step: Callable[[int, int], None] | None = None,
    on_logits: Callable[[int, Tensor], None] | None = None,
    fixed: bool | None = None,
) -> Tensor:
    """Make the codes of one image per prefix.

    Args:
        model: in eval mode.
        prefixes: B prompts.
        rows: visual tokens per column of the image.
        columns: visual tokens per row.
        seeds: B seeds; all draws of a sample come from (its seed, "codes").
        guidance_scale: bit-logit guidance; at or below 1 no unconditional row is run.
        temperature: divides the guided logits; 0 is arg-max.
        exact: see the module text; None means exact on CPU.
        pad_token_id: fills the left of shorter rows; masked, so its value is of no effect.
        on_step: called with (tokens done, tokens in all) of each pass.
        on_logits: called with (token index, guided logits (samples of the pass, L, G, D, 2)) before they are sampled from;
            the released head alone has such.
        fixed: run the steps in fixed shapes (`generation.fixed`), on a GPU as a CUDA graph; None means so on a GPU, for
            images of 32 tokens or more, in a process that trains or generates alone. Not with `on_logits`.

    Returns:
        uint8 (B, rows * columns, L, G, D) on the CPU.

    Raises:
        InputError: sizes or numbers that cannot be used.
    """
    if rows < 1 or columns < 1:
        raise InputError(f"rows, columns: got {rows}, {columns}; expected at least one visual token each way.")
    if temperature < 0:
        raise InputError(f"temperature: got {temperature}; expected 0 (arg-max) or more.")
    if len(seeds) != len(prefixes):
        raise InputError(f"seeds: got {len(seeds)}; expected one for each of the {len(prefixes)} prompts.")
    if guidance_scale > 1 and any(p.unconditional_ids is None for p in prefixes):
        raise InputError(f"guidance_scale: got {guidance_scale}; above 1 every prefix needs unconditional_ids.")
    if exact is None:
        exact = model.device.type == "cpu"
    if fixed is None:
        alone = not (torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1)
        fixed = model.device.type == "cuda" and rows * columns >= FIXED_FROM and alone
    size = 1 if exact else max(len(prefixes), 1)
    parts = [
        _rollout(
            model,
            prefixes[i : i + size],
            rows=rows,
            columns=columns,
            generators=[generator(s, "codes") for s in seeds[i : i + size]],
            guidance_scale=guidance_scale,
            temperature=temperature,
            pad_token_id=pad_token_id,
            on_step=on_step,
            on_logits=on_logits,
            fixed=fixed and on_logits is None,
        )
        for i in range(0, len(prefixes), size)
    ]
    return torch.cat(parts)


@torch.inference_mode()
def _rollout(
    model: UniARForConditionalGeneration,
    prefixes: Sequence[Prefix],
    *,
    rows: int,
    columns: int,
    generators: Sequence[torch.Generator],
    guidance_scale: float,
    temperature: float,
    pad_token_id: int,
    on_step: Callable[[int, int], None] | None,
    on_logits: Callable[[int, Tensor], None] | None,
    fixed: bool,
) -> Tensor:
    config, device, head = model.config, model.device, model.output_layer_vistok
    guided = guidance_scale > 1
    texts = [p.input_ids for p in prefixes]
    owners = list(prefixes)
    if guided:
        texts += [p.unconditional_ids for p in prefixes]
        owners += list(prefixes)
    input_ids, attention_mask = left_pad(texts, pad_token_id)
    total = rows * columns
    merge = config.vision_config.spatial_merge_size
    output_grid = (1, rows * merge, columns * merge)
    grids = [g for p in owners for g in (*p.grid_thw, output_grid)]
    placeholders = torch.full((len(texts), total), config.image_token_id)
    position_ids = model.positions(
        torch.cat([input_ids, placeholders], 1),
        torch.tensor(grids),
        torch.cat([attention_mask, torch.ones_like(placeholders)], 1),
    ).to(device)
    given = [p.codes for p in owners if p.codes is not None]
    visual = model.visual.embed(torch.cat(given)) if given else None
    padded = not bool(attention_mask.all())
    mask = torch.cat([attention_mask, torch.ones_like(placeholders)], 1).to(device) if padded else None

    width = input_ids.shape[1]
    cache = KVCache(
        layers=config.text_config.num_hidden_layers + config.visual_depth, capacity=aligned(width + total) if fixed else width + total
    )
    out: list[Tensor] = []
    past, step = 0, {"input_ids": input_ids.to(device), "visual": visual}
    # Fixed shapes begin behind the prompt.
    plain = 1 if fixed else total
    for t in range(plain):
        end = width + t
        where = {
            "position_ids": position_ids[..., past:end],
            "attention_mask": None if mask is None else mask[:, :end],
            "cache": cache,
        }
        states = model.states(**step, **where)
        codes = head.draw(
            model.bit_hidden(states, **where)[:, -1],
            guidance_scale=guidance_scale,
            temperature=temperature,
            uniform=uniforms(head.shape, generators, device),
            on_logits=None if on_logits is None else partial(on_logits, t),
        )
        out.append(codes.cpu())
        if on_step is not None:
            on_step(t + 1, total)
        both = torch.cat([codes, codes]) if guided else codes
        features: VisualFeatures = model.visual.embed(both)
        past = end
        step = {"inputs_embeds": features.main[:, None], "visual": features}
    made = torch.stack(out, 1)
    if plain == total:
        return made
    steps = FixedSteps(
        model,
        cache=cache,
        valid=attention_mask.bool(),
        position_ids=position_ids[..., width:],
        features=features,
        uniform=torch.stack([uniforms(head.shape, generators, torch.device("cpu")) for _ in range(total - 1)]).to(device),
        guidance_scale=guidance_scale,
        temperature=temperature,
    )
    rest = steps.run(None if on_step is None else lambda done: on_step(done + 1, total))
    return torch.cat([made, rest.transpose(0, 1).cpu()], 1)


def left_pad(rows: Sequence[Tensor], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Rows of int64 (T_i,) -> ids and mask, both int64 (B, max T), padding on the left (mask 0)."""
    width = max(len(r) for r in rows)
    ids = torch.full((len(rows), width), pad_token_id, dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = row
        mask[i, width - len(row) :] = 1
    return ids, mask
