"""From guided bit logits to bits: guidance, temperature, one stream of draws a sample.

Shapes: B samples, L levels, G patches a token, D bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def guide(logits: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance u + scale * (c - u).

    Args:
        logits: (2B, …), the B conditional rows first, then the B unconditional rows.
        scale: guidance scale, above 1.

    Returns:
        (B, …).
    """
    conditional, unconditional = logits.chunk(2)
    return unconditional + scale * (conditional - unconditional)


def sample_bits(logits: Tensor, *, temperature: float, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw every bit independently: P(1) = softmax of its two logits divided by the temperature.

    Args:
        logits: (B, L, G, D, 2).
        temperature: > 0; 0 takes the larger logit (a tie gives 0).
        generators: one CPU generator a sample; each bit takes one uniform number from it, so a sample's draws do not
            depend on its neighbours.

    Returns:
        uint8 (B, L, G, D).
    """
    margins = (logits[..., 1] - logits[..., 0]).float()
    return sample_margins(margins, temperature=temperature, uniform=uniforms(margins.shape[1:], generators, margins.device))


def uniforms(shape: Sequence[int], generators: Sequence[torch.Generator], device: torch.device) -> Tensor:
    """One uniform number a bit from each sample's own CPU generator: float32 (B, *shape) in [0, 1).

    The same number of draws at every temperature and with every head keeps the stream aligned between settings.
    """
    return torch.stack([torch.rand(tuple(shape), generator=g) for g in generators]).to(device)


def sample_margins(margins: Tensor, *, temperature: float, uniform: Tensor) -> Tensor:
    """Bits of margins (logit of 1 less logit of 0) and uniform numbers of the same shape, uint8."""
    if temperature == 0:
        return (margins > 0).to(torch.uint8)
    return (uniform < torch.sigmoid(margins / temperature)).to(torch.uint8)
