"""What every quantiser is: bound the input, take the nearest code, hand on its vector straight through.

A kind says how the input is bounded (`bound`), which code is nearest (`nearest`), which vector a code stands for (`vectors_of`)
and what it asks of the network (`penalty`). The rest is here and the same for all, so `decode(encode(z))` is what `forward`
gives because both go through the same two functions. Straight-through estimator: Bengio et al., "Estimating or Propagating
Gradients Through Stochastic Neurons" (arXiv 1308.3432). No quantiser here has parameters: what it learns (`vq`) is in buffers.

The dots in a shape are any leading axes, also none and also of length 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from uniar.errors import InputError


class Quantized(NamedTuple):
    """What `forward` gives."""

    vectors: Tensor
    """Float (…, dim), dtype of the input: the quantised values; gradients reach the input (see `bound` of the kind)."""
    codes: Tensor
    """(…, *shape): the discrete code, no gradient."""
    loss: Tensor
    """Scalar, at least float32: the quantiser's own loss, weighted by its own settings; 0 where it has none."""


class Usage(NamedTuple):
    """How the codes of a sample are spread; each value is nan for a sample of no codes."""

    entropy: float
    """Bits: entropy of the empirical distribution of whole codes; at most log2 of the number of samples, so it tells little
    about a code of many more bits than that."""
    marginal: float
    """Bits: mean over the symbols of a code of the entropy of the symbol's empirical distribution."""
    used: float
    """Number of distinct codes over the most that there could be: the size of the codebook, or the number of samples if less."""


class Step(NamedTuple):
    """One quantisation of bounded values; shapes as in `Quantized`, nothing straight through."""

    hard: Tensor
    codes: Tensor
    loss: Tensor


class Quantizer(ABC, nn.Module):
    """A map from vectors to codes and back.

    Args:
        dim: width of a vector.
        shape: trailing shape of a code; () is one symbol a code.
        cardinality: number of values of each symbol, in the order of the flattened `shape`; inf where they are not counted.
    """

    refinement: float | Tensor = 1.0
    """How much smaller the rest after quantisation is than the bounded values, for `residual`; a tensor is (dim) float32."""

    def __init__(self, dim: int, *, shape: tuple[int, ...], cardinality: tuple[float, ...]):
        super().__init__()
        self.dim, self.shape, self.cardinality = dim, shape, cardinality
        self.bits: float = math.log2(math.prod(cardinality))
        """log2 of the number of codes."""

    @abstractmethod
    def bound(self, z: Tensor) -> Tensor:
        """Continuous values that are quantised, (…, dim) -> (…, dim); the gradient of `forward` is the one of this function."""

    @abstractmethod
    def nearest(self, soft: Tensor) -> Tensor:
        """Code of bounded values: (…, dim) -> (…, *shape)."""

    @abstractmethod
    def vectors_of(self, codes: Tensor, *, dtype: torch.dtype) -> Tensor:
        """Vector of a code, computed in `dtype`, float32 or float64: (…, *shape) -> (…, dim)."""

    def penalty(self, soft: Tensor, hard: Tensor) -> Tensor:
        """The quantiser's loss, a scalar.

        Args:
            soft: bounded values (…, dim), at least one row.
            hard: vectors of their codes (…, dim), no gradient.
        """
        return soft.new_zeros(())

    def step(self, soft: Tensor) -> Step:
        """Codes, their vectors and the loss of bounded values (…, dim)."""
        with torch.no_grad():
            codes = self.nearest(soft.detach())
            hard = self.vectors_of(codes, dtype=soft.dtype)
        # A mean over no rows is nan.
        return Step(hard, codes, self.penalty(soft, hard) if soft.numel() else soft.new_zeros(()))

    def forward(self, z: Tensor) -> Quantized:
        """Quantise float (…, dim), straight through; in training mode a kind with a codebook also learns from z.

        Raises:
            InputError: z is not float or not `dim` wide.
        """
        soft = self._bounded(z)
        step = self.step(soft)
        hard, soft = step.hard.to(z.dtype), soft.to(z.dtype)
        # hard + 0, not soft + (hard - soft): the latter is off by a rounding, and decode must give the same bits.
        return Quantized(hard + (soft - soft.detach()), step.codes, step.loss)

    @torch.no_grad()
    def encode(self, z: Tensor) -> Tensor:
        """Codes (…, *shape) of float (…, dim); changes no state in any mode.

        Raises:
            InputError: z is not float or not `dim` wide.
        """
        return self.nearest(self._bounded(z))

    @torch.no_grad()
    def decode(self, codes: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Vectors (…, dim) of codes (…, *shape), equal to the last bit to `forward(z).vectors` of a z with these codes and `dtype`.

        Values outside a symbol's cardinality are not looked for: that would stop a GPU at every call.

        Raises:
            InputError: the trailing shape is another.
        """
        return self.vectors_of(self._checked(codes), dtype=torch.promote_types(dtype, torch.float32)).to(dtype)

    @torch.no_grad()
    def usage(self, codes: Tensor) -> Usage:
        """Spread of a sample of codes (…, *shape), every leading position a sample.

        Raises:
            InputError: the trailing shape is another.
        """
        rows = self._checked(codes).reshape(-1, len(self.cardinality)).to(torch.int64)
        if not len(rows):
            return Usage(math.nan, math.nan, math.nan)
        counts = torch.unique(rows, dim=0, return_counts=True)[1]
        marginals = [_entropy(torch.bincount(symbol)) for symbol in rows.unbind(-1)]
        return Usage(_entropy(counts), math.fsum(marginals) / len(marginals), len(counts) / min(len(rows), math.prod(self.cardinality)))

    def _bounded(self, z: Tensor) -> Tensor:
        if not z.is_floating_point() or z.dim() == 0 or z.shape[-1] != self.dim:
            raise InputError(f"z: got {z.dtype} of shape {tuple(z.shape)}; expected float of (..., {self.dim}), the quantizer's dim.")
        # Half precision is too coarse to round or to compare distances in.
        return self.bound(z.to(torch.promote_types(z.dtype, torch.float32)))

    def _checked(self, codes: Tensor) -> Tensor:
        trailing = tuple(codes.shape[max(0, codes.dim() - len(self.shape)) :])
        if trailing != self.shape:
            raise InputError(f"codes: got shape {tuple(codes.shape)}; expected one that ends in {self.shape}, the quantizer's shape.")
        return codes


def _entropy(counts: Tensor) -> float:
    p = counts[counts > 0].double() / counts.sum()
    return float((p * (1 / p).log2()).sum())
