"""The GRPO loss on bits: clipped surrogate with a ratio per bit, and a per-bit estimate of the divergence from a reference.

Source: UniAR, GRPO section (ratio, clipping and divergence per bit; mean over a sample's bits, then over samples); PPO
(1707.06347) for the surrogate; Schulman, "Approximating KL divergence", for the estimate k3. Functions of tensors only.

B samples; the further axes (N, L, G, D) are a sample's bits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class GrpoLoss(NamedTuple):
    """The loss and what it is made of; scalars."""

    loss: Tensor
    """Differentiable: minus the surrogate, plus beta times the divergence."""
    kl: Tensor | None
    """k3 in nats a bit, without beta, no gradient; None without a reference."""
    clip_fraction: Tensor
    """Share of bits, 0 to 1, whose ratio is clipped, so that the surrogate has no gradient there."""
    ratio: Tensor
    """Mean ratio of new to old probability of a bit."""


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """r - 1 - log r with r = reference / policy: unbiased for KL(policy || reference) of codes drawn from the policy, never negative.

    Args:
        logprobs: of the policy, any shape, nats.
        reference: of the reference, the same shape.
    """
    log_ratio = reference - logprobs
    # expm1 keeps what is left when the two nearly agree.
    return torch.expm1(log_ratio) - log_ratio


def grpo_loss(
    logprobs: Tensor,
    old: Tensor,
    reference: Tensor | None,
    advantages: Tensor,
    *,
    present: Tensor | None = None,
    clip: float = 0.2,
    beta: float = 0.01,
) -> GrpoLoss:
    """The loss over a batch of samples.

    Args:
        logprobs: (B, …) of every bit under the policy, nats, differentiable.
        old: the same bits under the weights that drew them; no gradient.
        reference: the same bits under the frozen reference; None for no divergence.
        advantages: (B,).
        present: bool (B,); False takes a sample out of every mean. Default: all.
        clip: ratios are held within 1 - clip to 1 + clip.
        beta: weight of the divergence, nats a bit.

    Returns:
        `GrpoLoss`; a batch without a present sample has loss 0 (with gradient 0).
    """
    batch = logprobs.shape[0]
    weight = torch.ones(batch, device=logprobs.device) if present is None else present.to(logprobs.device, torch.float32)
    share = weight / weight.sum().clamp(min=1.0)

    def mean(bits: Tensor) -> Tensor:
        return (bits.flatten(1).float().mean(1) * share).sum()

    a = advantages.to(logprobs.device, logprobs.dtype).reshape(batch, *([1] * (logprobs.dim() - 1)))
    ratio = torch.exp(logprobs - old)
    surrogate = torch.minimum(ratio * a, ratio.clamp(1 - clip, 1 + clip) * a)
    loss = -mean(surrogate)
    kl = None
    if reference is not None:
        divergence = mean(k3(logprobs, reference))
        loss = loss + beta * divergence
        kl = divergence.detach()
    with torch.no_grad():
        clipped = ((ratio > 1 + clip) & (a > 0)) | ((ratio < 1 - clip) & (a < 0))
        return GrpoLoss(loss, kl, mean(clipped), mean(ratio))
