"""Losses as functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from uniar.heads.base import bernoulli


def bit_loss(logits: Tensor, codes: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy per bit, mean over the bits of a token, then over tokens (UniAR, AR training).

    Args:
        logits: (N, L, G, D, 2).
        codes: (N, L, G, D) in {0, 1}.
        weight: (N,), weight of each token; default 1.

    Returns:
        scalar in nats.
    """
    margin = logits[..., 1].float() - logits[..., 0].float()
    per_token = bernoulli(margin, codes).nats
    if weight is None:
        return per_token.mean()
    return (per_token * weight).sum() / weight.sum().clamp(min=1e-8)


def text_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Next-token cross-entropy; targets -100 carry no loss.

    Args:
        logits: (M, vocabulary).
        targets: int64 (M,).

    Returns:
        scalar in nats; zero (with gradient) when no target counts.
    """
    if not bool((targets != -100).any()):
        return logits.sum() * 0.0
    return F.cross_entropy(logits.float(), targets, ignore_index=-100)


def reconstruction_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error plus mean squared error: sharp edges and few outliers. Any equal shapes."""
    difference = prediction - target
    return difference.abs().mean() + difference.pow(2).mean()


def grad_norm(parameters: list[torch.nn.Parameter], limit: float) -> float:
    """Clip the gradients to a global norm and return the norm before clipping."""
    return float(torch.nn.utils.clip_grad_norm_(parameters, limit))
