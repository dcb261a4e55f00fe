"""Finite scalar quantisation: squash each coordinate into a range and round it to one of a few levels.

Source: Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple" (arXiv 2309.15505), section 3 and appendix A. With L levels
and h = floor(L / 2), a coordinate becomes the integer nearest to tanh(z + shift) * (L - 1) * (1 - 0.001) / 2 - offset, then is
divided by h. Even L: an offset of 1/2 puts the L integers at -h ... h - 1, and a shift of tan(offset / half range) takes 0 back
to the level 0. The paper's tangent is all but the exact inverse hyperbolic tangent from 4 levels on; at 2 levels it puts the
border at z = -1.56, so that one value is rare: for bits take `bsq` or `lfq`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from uniar.errors import ConfigError
from uniar.kinds import whole
from uniar.quantizers.base import Quantizer

MARGIN = 1e-3
"""Share of the range that tanh leaves free, so that its ends round inwards."""


class FiniteScalarQuantizer(Quantizer):
    """A code is int64 (dim), coordinate i in 0 ... levels[i] - 1; vectors are in [-1, 1], the level 0 among them. No loss.

    d vectors / d z is diagonal: (1 - tanh(z + shift)^2) * half range / h.

    Args:
        dim: width of a vector.
        levels: number of levels of each coordinate, 2 or more; as many as `dim`.

    Raises:
        ConfigError: levels that are not whole numbers, too few of them or too many.
    """

    def __init__(self, dim: int, *, levels: Sequence[int]):
        if not isinstance(levels, (list, tuple)) or len(levels) != dim:
            raise ConfigError(f"quantizer.levels: got {levels!r}; expected {dim} whole numbers, one a dimension (dim).")
        levels = tuple(whole(f"levels[{i}]", n, least=2) for i, n in enumerate(levels))
        super().__init__(dim, shape=(dim,), cardinality=levels)
        self.levels = levels

    @property
    def refinement(self) -> Tensor:
        """Half the distance of two levels."""
        return torch.tensor([0.5 / (n // 2) for n in self.levels])

    def bound(self, z: Tensor) -> Tensor:
        """Into the range that rounds to the levels, divided by h."""
        half = [(n - 1) * (1 - MARGIN) / 2 for n in self.levels]
        offset = [0.5 * (n % 2 == 0) for n in self.levels]
        shift = [math.tan(o / r) for o, r in zip(offset, half, strict=True)]
        return (torch.tanh(z + z.new_tensor(shift)) * z.new_tensor(half) - z.new_tensor(offset)) / self._below(z)

    def nearest(self, soft: Tensor) -> Tensor:
        """Index of the nearest level: int64 (…, dim)."""
        # Bounded values need no clamp; what `residual` leaves at the upper edge of an even number of levels does.
        h = self._below(soft).to(torch.int64)
        top = torch.tensor([(n - 1) // 2 for n in self.levels], device=soft.device)
        return (soft * h).round().to(torch.int64).clamp(-h, top) + h

    def vectors_of(self, codes: Tensor, *, dtype: torch.dtype) -> Tensor:
        """(index - h) / h."""
        h = self._below(codes)
        return (codes - h).to(dtype) / h

    def _below(self, like: Tensor) -> Tensor:
        """Levels below 0, floor(levels / 2): float32 (dim). Made anew: a buffer outside the state dict is lost where weights are loaded."""
        return torch.tensor([float(n // 2) for n in self.levels], device=like.device)
