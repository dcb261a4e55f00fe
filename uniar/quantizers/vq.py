"""Vector quantisation: the nearest of a codebook of vectors that follow the inputs by exponential moving averages.

Source: van den Oord et al., "Neural Discrete Representation Learning" (arXiv 1711.00937), eq. 3 for straight-through and commitment,
appendix A.1 for the averages; Razavi et al., "Generating Diverse High-Fidelity Images with VQ-VAE-2" (arXiv 1906.00446), eq. 2.
Dead codes are replaced by inputs as in Dhariwal et al., "Jukebox" (arXiv 2005.00341), section 3.1. Not here: cosine distance,
k-means, a codebook trained by gradient, sums over processes (the codebook learns from the rows of its own process).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from uniar.kinds import number, whole
from uniar.quantizers.base import Quantizer, Step
from uniar.seeding import generator


class VectorQuantizer(Quantizer):
    """A code is one int64 index, shape (); vectors are rows of the codebook. Keep it in float32.

    d vectors / d z = I.

    The codebook is drawn from a normal distribution, replaced by inputs in the first batch in training mode, and updated by every
    later one; the vectors of a batch are those from before its update. A forward in training mode changes the state, so it must
    not run twice a batch (activation checkpointing). All state is in the buffers `codebook` (size, dim), `uses` (size: moving
    average of the rows a batch gives to a code) and `updates` (), so a run resumed from the state dict goes on exactly; on a
    GPU only under `torch.use_deterministic_algorithms(True)`, since sums there depend on the order of threads.

    Args:
        dim: width of a vector.
        size: number of codes, 2 or more.
        commitment: weight of the mean squared distance of a coordinate to its quantised value.
        decay: of the moving averages a batch, 0 to below 1.
        revive_below: a code is dead when its share of the uses is below this share of an equal one (1 / size); it becomes a
            random input of the batch. 0: codes stay dead.
        seed: of the draws; draw number n belongs to (seed, n), so it depends on no other draw.

    Raises:
        ConfigError: a setting out of range.
    """

    codebook: Tensor
    uses: Tensor
    updates: Tensor

    def __init__(self, dim: int, *, size: int, commitment: float = 0.25, decay: float = 0.99, revive_below: float = 0.1, seed: int = 0):
        super().__init__(dim, shape=(), cardinality=(whole("size", size, least=2),))
        self.size, self.seed = size, whole("seed", seed, least=0)
        self.commitment, self.decay = number("commitment", commitment), number("decay", decay, below=1)
        self.revive_below = number("revive_below", revive_below, below=1)
        self.register_buffer("codebook", torch.randn(size, dim, generator=generator(seed, "quantizer/codebook")))
        self.register_buffer("uses", torch.ones(size))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def bound(self, z: Tensor) -> Tensor:
        """As it is."""
        return z

    def nearest(self, soft: Tensor) -> Tensor:
        """Index of the code at the smallest Euclidean distance, the first of equals: int64 (…)."""
        # Not through a matrix product: its cancellation would let the other rows of a batch decide a near tie.
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(soft.reshape(-1, self.dim), self.codebook.to(soft.dtype), compute_mode=exact)
        return distances.argmin(-1).reshape(soft.shape[:-1])

    def vectors_of(self, codes: Tensor, *, dtype: torch.dtype) -> Tensor:
        """Rows of the codebook."""
        return self.codebook[codes].to(dtype)

    def penalty(self, soft: Tensor, hard: Tensor) -> Tensor:
        """commitment * mean squared distance; its gradient reaches z only."""
        return self.commitment * F.mse_loss(soft, hard)

    def step(self, soft: Tensor) -> Step:
        """As in the base; in training mode the codebook learns from the rows."""
        rows = soft.detach().reshape(-1, self.dim).to(self.codebook.dtype)
        if not self.training or not len(rows):
            return super().step(soft)
        if self.updates == 0:
            self.codebook.copy_(self._drawn(rows, self.size))
            # An equal share for all, so that no code is dead before it had time to be used.
            self.uses.fill_(len(rows) / self.size)
        out = super().step(soft)
        self._learn(rows, out.codes.reshape(-1))
        return out

    @torch.no_grad()
    def _learn(self, rows: Tensor, codes: Tensor) -> None:
        self.updates += 1
        counts = torch.bincount(codes, minlength=self.size).to(rows.dtype)
        sums = torch.zeros_like(self.codebook).index_add_(0, codes, rows)
        self.uses.mul_(self.decay).add_(counts, alpha=1 - self.decay)
        # The averages m / N of the paper with m = N e put in: no second buffer, and an unused code stays where it is to the last bit.
        moves = (sums - counts[:, None] * self.codebook) / self.uses.clamp_min(torch.finfo(rows.dtype).tiny)[:, None]
        self.codebook.add_(moves, alpha=1 - self.decay)
        share = self.uses.mean()
        dead = self.uses < self.revive_below * share
        if dead.any():
            self.codebook[dead] = self._drawn(rows, int(dead.sum()))
            self.uses[dead] = share

    def _drawn(self, rows: Tensor, count: int) -> Tensor:
        """Random rows, each once before any twice."""
        order = torch.randperm(len(rows), generator=generator(self.seed, f"quantizer/draw/{int(self.updates)}"))
        return rows[order.repeat(-(-count // len(rows)))[:count].to(rows.device)]
