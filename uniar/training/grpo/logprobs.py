"""Log-probabilities of given codes, bit by bit: by teacher forcing, and as the rollout saw them.

All bits of a visual token are independent given what stands before it, so one forward over prompt and codes gives every
bit's log-probability. Source: UniAR, sections on parallel bitwise prediction and on GRPO. Leaves ratio, clipping and
divergence to `loss`.

B samples, T prompt positions, N visual tokens, L levels, G patches a token, D bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from uniar.errors import InputError
from uniar.generation.codes import Prefix, left_pad
from uniar.generation.sampling import margins_of
from uniar.model import UniARForConditionalGeneration


def of_logits(logits: Tensor, codes: Tensor, *, temperature: float) -> Tensor:
    """Log-probability of each bit under its two logits.

    Args:
        logits: (…, D, 2), of bit 0 and bit 1.
        codes: (…, D) in {0, 1}.
        temperature: above 0; divides the logits, as in sampling.

    Returns:
        float32 (…, D), at most 0.

    Raises:
        InputError: temperature 0, which is arg-max and has no density.
    """
    if not temperature > 0:
        raise InputError(f"temperature: got {temperature}; expected above 0, since arg-max has no log-probability.")
    # As the rollout takes them: these are the odds that were drawn from.
    margin = margins_of(logits) / temperature
    return F.logsigmoid(margin * (2 * codes.to(margin.device, margin.dtype) - 1))


def bit_logprobs(
    model: UniARForConditionalGeneration,
    prefixes: Sequence[Prefix],
    codes: Tensor,
    *,
    rows: int,
    columns: int,
    temperature: float = 1.0,
    pad_token_id: int = 0,
) -> Tensor:
    """Log-probability of every bit of the given codes, in one forward; differentiable in the model's weights.

    Args:
        model: what judges the codes.
        prefixes: B prompts of any lengths, with or without input images.
        codes: uint8 (B, N, L, G, D) in {0, 1}, N = rows * columns, raster order.
        rows: visual tokens per column of the written image.
        columns: visual tokens per row.
        temperature: above 0; divides the logits.
        pad_token_id: fills the left of shorter rows; masked, so its value is of no effect.

    Returns:
        float32 (B, N, L, G, D) on the model's device.

    Raises:
        InputError: codes of another number or size than the prompts ask for, or a temperature of 0.
    """
    n = rows * columns
    if codes.shape[:2] != (len(prefixes), n):
        raise InputError(f"codes: got {tuple(codes.shape[:2])} samples and tokens; expected {(len(prefixes), n)}. Give one image a prompt.")
    config, device = model.config, model.device
    input_ids, mask = left_pad([p.input_ids for p in prefixes], pad_token_id)
    padded = not bool(mask.all())
    placeholders = torch.full((len(prefixes), n), config.image_token_id)
    input_ids = torch.cat([input_ids, placeholders], 1)
    mask = torch.cat([mask, torch.ones_like(placeholders)], 1)
    merge = config.vision_config.spatial_merge_size
    grids = [g for p in prefixes for g in (*p.grid_thw, (1, rows * merge, columns * merge))]
    position_ids = model.positions(input_ids, torch.tensor(grids), mask).to(device)

    # The state at a position predicts the next one, so the last visual token is never read.
    read = [c for p, own in zip(prefixes, codes, strict=True) for c in ([] if p.codes is None else [p.codes.to(own.device)]) + [own[:-1]]]
    where = {"position_ids": position_ids[..., :-1], "attention_mask": mask[:, :-1].to(device) if padded else None}
    states = model.states(input_ids=input_ids[:, :-1].to(device), visual=model.visual.embed(torch.cat(read)), **where)
    hidden = model.bit_hidden(states, **where)
    return of_logits(model.classify(hidden[:, -n:]), codes, temperature=temperature)


class RolloutLogits:
    """Keeps the logits that a rollout sampled from: hand it to `generate_codes` as `on_logits`."""

    def __init__(self) -> None:
        self._passes: list[list[Tensor]] = []

    def __call__(self, token: int, logits: Tensor) -> None:
        """Take in the guided logits (samples of the pass, L, G, D, 2) of one visual token."""
        if token == 0:
            self._passes.append([])
        self._passes[-1].append(logits.cpu())

    def logprobs(self, codes: Tensor, *, temperature: float) -> Tensor:
        """Log-probabilities of the codes that came out.

        Args:
            codes: uint8 (B, N, L, G, D), what `generate_codes` returned.
            temperature: of that rollout, above 0.

        Returns:
            float32 (B, N, L, G, D) on the CPU.

        Raises:
            InputError: the codes are not those of this rollout.
        """
        seen = torch.cat([torch.stack(tokens, 1) for tokens in self._passes]) if self._passes else torch.empty(0)
        if seen.shape[:-1] != codes.shape:
            raise InputError(
                f"codes: got {tuple(codes.shape)}; this rollout made {tuple(seen.shape[:-1])}. Give it the codes that it returned."
            )
        return of_logits(seen, codes.cpu(), temperature=temperature)
