"""Binary spherical quantisation: bits, features of bits, integer indices, entropy loss, bit flips.

Source: Zhao et al., "Image and Video Tokenization with Binary Spherical Quantization" (arXiv 2406.07548); UniAR section
on the tokenizer for the constants. Pure functions of tensors: no state, no metrics kept, no codebook (2**64 entries would
not fit). D = bits per code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def normalize(z: Tensor) -> Tensor:
    """L2-normalise the last axis (…, D)."""
    return F.normalize(z, dim=-1)


def codes_of(z: Tensor) -> Tensor:
    """Bits of pre-quantised values: 1 where z > 0, else 0. (…, D) -> uint8 (…, D)."""
    return (z > 0).to(torch.uint8)


def vectors_of(codes: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Points on the sphere: (2 * bit - 1) / sqrt(D). (…, D) in {0, 1} -> float (…, D)."""
    return (codes.to(dtype) * 2 - 1) / codes.shape[-1] ** 0.5


def quantize(z: Tensor) -> Tensor:
    """Straight-through quantisation of pre-quantised values (…, D): forward the nearest corner, backward the identity
    on the normalised values."""
    u = normalize(z)
    hard = vectors_of(codes_of(u), dtype=u.dtype)
    return u + (hard - u).detach()


def flip_bits(z: Tensor, *, max_rate: float, generator: torch.Generator | None = None) -> Tensor:
    """Bit-flip augmentation: draw a strength from {0, 0.01, …, max_rate}, then flip each sign with that probability.

    Args:
        z: pre-quantised values (…, D).
        max_rate: largest probability p, 0 to 0.5.
        generator: source of the draws, on the CPU.

    Returns:
        z with some signs changed, same shape.
    """
    steps = round(max_rate * 100)
    if steps <= 0:
        return z
    rate = torch.randint(0, steps + 1, (), generator=generator).item() / 100
    flip = torch.rand(z.shape, generator=generator) < rate
    return torch.where(flip.to(z.device), -z, z)


def indices_of(codes: Tensor) -> Tensor:
    """Big-endian integer of a code; a 64-bit code wraps into the sign. (…, D<=64) in {0, 1} -> int64 (…)."""
    out = torch.zeros(codes.shape[:-1], dtype=torch.int64, device=codes.device)
    for bit in codes.to(torch.int64).unbind(-1):
        out = (out << 1) | bit
    return out


def codes_of_indices(indices: Tensor, bits: int) -> Tensor:
    """Inverse of `indices_of`: int64 (…) -> uint8 (…, bits). The arithmetic shift keeps bit 63 of a negative index."""
    shifts = torch.arange(bits - 1, -1, -1, device=indices.device)
    return ((indices.unsqueeze(-1) >> shifts) & 1).to(torch.uint8)


class EntropyLoss(NamedTuple):
    """Terms of the soft-entropy loss, each a scalar in nats."""

    loss: Tensor
    per_sample: Tensor
    codebook: Tensor


def entropy_loss(z: Tensor, *, gamma0: float = 1.0, gamma: float = 0.5) -> EntropyLoss:
    """gamma0 * mean entropy of a sample's bits - gamma * entropy of the mean bits (2406.07548, eq. 8; group size 1).

    Args:
        z: pre-quantised values (samples, D), before normalisation.
        gamma0: weight of certainty (each bit of a sample should be decided).
        gamma: weight of diversity (over samples, each bit should be used both ways).

    Returns:
        `EntropyLoss`.
    """
    u = normalize(z).reshape(-1, z.shape[-1]).float()
    # p is the probability of the negative sign; the entropy is the same for either.
    p = torch.sigmoid(-4 * u / u.shape[-1] ** 0.5)
    per_sample = _binary_entropy(p).sum(-1).mean()
    codebook = _binary_entropy(p.mean(0)).sum()
    return EntropyLoss(gamma0 * per_sample - gamma * codebook, per_sample, codebook)


def _binary_entropy(p: Tensor) -> Tensor:
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(p * p.log() + (1 - p) * (1 - p).log())
