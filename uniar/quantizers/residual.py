"""Residual quantisation: each stage quantises what the stages before it left over; the vector is the sum of theirs.

Source: Zeghidour et al., "SoundStream: An End-to-End Neural Audio Codec" (arXiv 2107.03312), section III-C, for `vq`; the same idea
for the kinds without a codebook. Those have vectors of one size, so stage i works at a scale: refinement**i, fixed. A `vq` stage
needs none (1), its codebook takes the size of its inputs. Fixed rather than learned: a good ratio is known for normal
coordinates, decoding needs no state, and the first stages alone are the code of a shallower quantiser. The input is bounded
once, before the first stage: residuals are of the bounded values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from uniar.kinds import construct, whole
from uniar.quantizers.base import Quantizer, Step
from uniar.quantizers.bsq import BinarySphericalQuantizer
from uniar.quantizers.fsq import FiniteScalarQuantizer
from uniar.quantizers.lfq import LookupFreeQuantizer
from uniar.quantizers.vq import VectorQuantizer

INNER: dict[str, type[Quantizer]] = {
    "bsq": BinarySphericalQuantizer,
    "fsq": FiniteScalarQuantizer,
    "lfq": LookupFreeQuantizer,
    "vq": VectorQuantizer,
}
"""Kinds that a stage can be; a continuous one would leave nothing over."""


class ResidualQuantizer(Quantizer):
    """A code is (depth, *shape of the inner kind), first stage first, dtype of the inner kind. Depth 1 is the inner kind.

    d vectors / d z is that of the inner kind. The loss is the sum over stages, each that of the inner kind for what the stage
    is given: the residual divided by the stage's scale.

    Args:
        dim: width of a vector.
        depth: number of stages, 1 or more.
        inner: kind of the stages, a key of `INNER`.
        settings: of the inner kind; a `seed` is the first stage's, the later ones count on from it.

    Raises:
        ConfigError: a setting that is unknown, missing or out of range, also of the inner kind.
    """

    def __init__(self, dim: int, *, depth: int, inner: str = "vq", **settings: Any):
        whole("depth", depth, least=1)
        first = construct(INNER, inner, dim, settings=settings, where="quantizer", own="quantizer.inner")
        stages = [first]
        for i in range(1, depth):
            # With equal seeds the stages would draw the same rows.
            own = settings | {"seed": first.seed + i} if isinstance(first, VectorQuantizer) else settings
            stages.append(construct(INNER, inner, dim, settings=own, where="quantizer"))
        super().__init__(dim, shape=(depth, *first.shape), cardinality=first.cardinality * depth)
        self.depth, self.stages = depth, nn.ModuleList(stages)

    def _scaled(self) -> Iterator[tuple[Quantizer, float | Tensor]]:
        return ((stage, stage.refinement**i) for i, stage in enumerate(self.stages))

    def bound(self, z: Tensor) -> Tensor:
        """As the inner kind does."""
        return self.stages[0].bound(z)

    def nearest(self, soft: Tensor) -> Tensor:
        """Codes of the stages, stacked: (…, depth, *inner shape)."""
        rest, codes = soft, []
        for stage, scale in self._scaled():
            codes.append(stage.nearest(rest / scale))
            rest = rest - stage.vectors_of(codes[-1], dtype=soft.dtype) * scale
        return torch.stack(codes, soft.dim() - 1)

    def vectors_of(self, codes: Tensor, *, dtype: torch.dtype) -> Tensor:
        """Sum over stages of their vectors times their scales."""
        parts = codes.unbind(codes.dim() - len(self.shape))
        return _sum(stage.vectors_of(part, dtype=dtype) * scale for (stage, scale), part in zip(self._scaled(), parts, strict=True))

    def step(self, soft: Tensor) -> Step:
        """The steps of the stages; in training mode each learns from its own inputs."""
        rest, steps, hards = soft, [], []
        for stage, scale in self._scaled():
            steps.append(stage.step(rest / scale))
            hards.append(steps[-1].hard * scale)
            rest = rest - hards[-1]
        codes = torch.stack([s.codes for s in steps], soft.dim() - 1)
        return Step(_sum(hards), codes, torch.stack([s.loss for s in steps]).sum())


def _sum(parts: Any) -> Tensor:
    # Left to right without a first 0, in forward and decode alike: sums in another order differ in the last bit.
    first, *others = parts
    for part in others:
        first = first + part
    return first
