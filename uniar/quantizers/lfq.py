"""Lookup-free quantisation: the sign of each coordinate, without a sphere; loss by entropy and commitment.

Source: Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (arXiv 2310.05737), section 3. With
q(c|z) proportional to exp(-|z - c|^2 / temperature), the bits of a vector are independent, so the entropy of its code is exactly
the sum over its bits. The entropy of the mean q over vectors has no such form: 2**dim codes would have to be listed. They are
listed for `group_bits` bits at a time and the entropies of the groups added, which is exact for dim <= group_bits and an
upper bound of the entropy of whole codes beyond.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from uniar.kinds import number, whole
from uniar.quantizers.base import Quantizer
from uniar.vision import bsq


class LookupFreeQuantizer(Quantizer):
    """A code is uint8 (dim) in {0, 1}, a bit a coordinate; vectors are ±scale.

    d vectors / d z = I.

    Args:
        dim: width of a vector and bits of a code.
        scale: absolute value of a coordinate, above 0.
        entropy_weight: of the entropy loss (nats a vector), 0 or more.
        gamma: weight of diversity against certainty (1) in it.
        temperature: of q, above 0.
        group_bits: bits whose joint distribution is listed, 1 to 16: rows * 2**group_bits floats are held.
        commitment: weight of the mean squared distance of a coordinate to its quantised value.

    Raises:
        ConfigError: a setting out of range.
    """

    # As for `bsq`, of normal coordinates whose standard deviation is `scale`.
    refinement = 0.55

    def __init__(
        self,
        dim: int,
        *,
        scale: float = 1.0,
        entropy_weight: float = 0.1,
        gamma: float = 1.0,
        temperature: float = 1.0,
        group_bits: int = 8,
        commitment: float = 0.25,
    ):
        super().__init__(dim, shape=(dim,), cardinality=(2,) * dim)
        self.scale, self.temperature = number("scale", scale, above=True), number("temperature", temperature, above=True)
        self.entropy_weight, self.gamma = number("entropy_weight", entropy_weight), number("gamma", gamma)
        self.commitment, self.group_bits = number("commitment", commitment), whole("group_bits", group_bits, least=1, most=16)

    def bound(self, z: Tensor) -> Tensor:
        """As it is."""
        return z

    def nearest(self, soft: Tensor) -> Tensor:
        """1 where positive: uint8 (…, dim)."""
        return bsq.codes_of(soft)

    def vectors_of(self, codes: Tensor, *, dtype: torch.dtype) -> Tensor:
        """(2 * bit - 1) * scale."""
        return (codes.to(dtype) * 2 - 1) * self.scale

    def penalty(self, soft: Tensor, hard: Tensor) -> Tensor:
        """entropy_weight * (certainty - gamma * diversity) + commitment; means over rows."""
        # |z + s|^2 - |z - s|^2 = 4 s z: the log odds of a positive sign.
        odds = 4 * self.scale / self.temperature * soft.reshape(-1, self.dim)
        # sigmoid(-x), not 1 - sigmoid(x): the small probability keeps its digits.
        p = torch.stack([torch.sigmoid(-odds), torch.sigmoid(odds)], -1)
        certainty = _entropy(p).sum(-1).mean()
        diversity = torch.stack([_entropy(_joint(group).mean(0)) for group in p.split(self.group_bits, 1)]).sum()
        entropies = self.entropy_weight * (certainty - self.gamma * diversity)
        return entropies + self.commitment * F.mse_loss(soft, hard)


def _joint(p: Tensor) -> Tensor:
    """Probabilities of all codes of independent bits: (rows, bits, 2) -> (rows, 2**bits)."""
    joint = p[:, 0]
    for bit in p.unbind(1)[1:]:
        joint = (joint[:, :, None] * bit[:, None]).flatten(1)
    return joint


def _entropy(p: Tensor) -> Tensor:
    # At 0 the product is 0, and the clamp keeps its gradient finite.
    return -(p * p.clamp_min(1e-12).log()).sum(-1)
