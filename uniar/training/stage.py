"""What a training stage is to the engine: data it prepares, loss terms as sums, and which of its parts are what.

Losses travel as sums with their counts, never as means: the engine divides by the count of the whole global batch, so one
process, several processes and accumulated micro-batches minimise the same number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from uniar.errors import ConfigError


class Prepared(NamedTuple):
    """A micro-batch, ready for `forward`."""

    data: Any
    """Whatever the stage's forward takes."""
    counts: Mapping[str, float]
    """Loss term -> how many units (tokens, images) its sum runs over, weights included; known before the forward."""
    sizes: Mapping[str, float] = MappingProxyType({})
    """What it holds (`tokens`, `images`), for the log's throughput."""


class StepOutput(NamedTuple):
    """What a forward returns."""

    sums: Mapping[str, Tensor]
    """Loss term -> differentiable sum over its units; the same names as `Prepared.counts`."""
    logged: Mapping[str, tuple[float, float]]
    """Further figures as (sum, count); reported as their quotient over the global batch."""


class StageDefaults:
    """What most stages are; a base class for them."""

    classifiers: tuple[str, ...] = ()
    prefetch: bool = True
    steps_per_round: int = 1

    def refuse(self, values: Mapping[str, float]) -> None:
        """Nothing to object to."""

    def checkpoint_activations(self) -> None:
        """Refuse, unless the stage knows how.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("gradient_checkpointing: got true; this stage cannot recompute its activations. Set it to false.")


class Stage(Protocol):
    """An `nn.Module` that the engine can train."""

    name: str
    """For the log and the seeds."""
    loss_weights: Mapping[str, float]
    """Weight of each loss term in the minimised sum of means."""
    classifiers: tuple[str, ...]
    """Names of parts whose matrices are classifiers (kept from Muon)."""
    prefetch: bool
    """Whether `prepare` may run in a thread while the step before is computed: it must then use no weights."""
    steps_per_round: int
    """Steps that share what was prepared in the first of them; states are saved between rounds only."""

    def prepare(self, step: int, numbers: Sequence[int]) -> Prepared:
        """Read and tokenise the samples of those global numbers; no gradients. Draws belong to the step and the sample."""
        ...

    def __call__(self, data: Any) -> StepOutput:
        """Forward of one micro-batch."""
        ...

    def checkpoint_activations(self) -> None:
        """Recompute activations in the backward (`train.gradient_checkpointing`)."""
        ...

    def refuse(self, values: Mapping[str, float]) -> None:
        """Look at the values of a whole step, before its update; raise `TrainingError` to stop the run."""
        ...

    def repeated_blocks(self) -> Sequence[nn.Module]:
        """Layers worth compiling or sharding one by one."""
        ...
