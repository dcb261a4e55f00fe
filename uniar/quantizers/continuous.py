"""No quantisation: the upper bound of an ablation, what the network reaches when nothing is rounded away.

Source: none; the identity. The "code" of a vector is the vector.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uniar.quantizers.base import Quantized, Quantizer, Usage


class Continuous(Quantizer):
    """Codes are the float values themselves, (…, dim) in the dtype of z; `bits` is inf. No loss, no settings.

    d vectors / d z = I.
    """

    def __init__(self, dim: int):
        super().__init__(dim, shape=(dim,), cardinality=(math.inf,) * dim)

    def forward(self, z: Tensor) -> Quantized:
        """z, z without its gradient, 0; InputError as in the base."""
        soft = self._bounded(z)
        return Quantized(z, z.detach(), soft.new_zeros(()))

    def encode(self, z: Tensor) -> Tensor:
        """z as it is, without its gradient; InputError as in the base."""
        self._bounded(z)
        return z.detach()

    def bound(self, z: Tensor) -> Tensor:
        """As it is."""
        return z

    def nearest(self, soft: Tensor) -> Tensor:
        """As it is."""
        return soft

    def vectors_of(self, codes: Tensor, *, dtype: torch.dtype) -> Tensor:
        """As they are."""
        return codes.to(dtype)

    def usage(self, codes: Tensor) -> Usage:
        """Nan thrice: real numbers have no entropy in bits, and no number of codes to compare with."""
        self._checked(codes)
        return Usage(math.nan, math.nan, math.nan)
