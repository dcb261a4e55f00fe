"""What a training stage is to the engine: data it prepares, loss terms as sums, and which of its parts are what.

Losses travel as sums with their counts, never as means: the engine divides by the count of the whole global batch, so one
process, several processes and accumulated micro-batches minimise the same number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn


class Prepared(NamedTuple):
    """A micro-batch, ready for `forward`."""

    data: Any
    """Whatever the stage's forward takes."""
    counts: Mapping[str, float]
    """Loss term -> how many units (tokens, images) its sum runs over, weights included; known before the forward."""


class StepOutput(NamedTuple):
    """What a forward returns."""

    sums: Mapping[str, Tensor]
    """Loss term -> differentiable sum over its units; the same names as `Prepared.counts`."""
    logged: Mapping[str, tuple[float, float]]
    """Further figures as (sum, count); reported as their quotient over the global batch."""


class Stage(Protocol):
    """An `nn.Module` that the engine can train."""

    name: str
    """For the log and the seeds."""
    loss_weights: Mapping[str, float]
    """Weight of each loss term in the minimised sum of means."""
    classifiers: tuple[str, ...]
    """Names of parts whose matrices are classifiers (kept from Muon)."""

    def prepare(self, step: int, numbers: Sequence[int]) -> Prepared:
        """Read and tokenise the samples of those global numbers; no gradients. Draws belong to the step and the sample."""
        ...

    def __call__(self, data: Any) -> StepOutput:
        """Forward of one micro-batch."""
        ...

    def repeated_blocks(self) -> Sequence[nn.Module]:
        """Layers worth compiling or sharding one by one."""
        ...
