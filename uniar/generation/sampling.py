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
    margin = (logits[..., 1] - logits[..., 0]).float()
    # The same number of draws at every temperature keeps the stream aligned between settings.
    uniform = torch.stack([torch.rand(margin.shape[1:], generator=g) for g in generators]).to(margin.device)
    if temperature == 0:
        return (margin > 0).to(torch.uint8)
    return (uniform < torch.sigmoid(margin / temperature)).to(torch.uint8)
