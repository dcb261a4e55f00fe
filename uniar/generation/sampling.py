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


def guided(logits: Tensor, scale: float) -> Tensor:
    """`guide` above 1; at or below it there are no unconditional rows and the logits stay."""
    return guide(logits, scale) if scale > 1 else logits


def margins_of(logits: Tensor) -> Tensor:
    """Two logits a bit (…, 2) -> logit of 1 less logit of 0, float32 (…); taken in the logits' own precision."""
    return (logits[..., 1] - logits[..., 0]).float()


def uniforms(shape: Sequence[int], generators: Sequence[torch.Generator], device: torch.device) -> Tensor:
    """One uniform number a bit from each sample's own CPU generator: float32 (B, *shape) in [0, 1).

    A sample's draws do not depend on its neighbours. The same number of them at every temperature and with every head keeps the stream
    aligned between settings.
    """
    return torch.stack([torch.rand(tuple(shape), generator=g) for g in generators]).to(device)


def sample_margins(margins: Tensor, *, temperature: float, uniform: Tensor) -> Tensor:
    """Draw every bit independently: P(1) = sigmoid of its margin divided by the temperature.

    Args:
        margins: (B, …), see `margins_of`.
        temperature: > 0; 0 takes the likelier value (a tie gives 0).
        uniform: (B, …) in [0, 1), see `uniforms`.

    Returns:
        uint8 (B, …).
    """
    if temperature == 0:
        return (margins > 0).to(torch.uint8)
    return (uniform < torch.sigmoid(margins / temperature)).to(torch.uint8)
