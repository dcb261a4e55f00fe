"""The released head: two logits for each bit of the next visual token, all bits in parallel and independent given the state.

The position of the modules inside the Sequential gives the released parameter names. Source: UniAR, section on parallel bitwise
prediction.
"""

from __future__ import annotations

from torch import Tensor, nn

from uniar.generation.sampling import guided, margins_of, sample_margins
from uniar.heads.base import BitLoss, OnLogits, VisualHead, bernoulli
from uniar.language.layers import RMSNorm

MLP_WIDTH = 16 * 1024
"""Width of the MLP variant, a constant of the release."""


class ParallelHead(VisualHead):
    """(…, H) -> logits of independent bits; what maps states to 2 * M numbers is the class that it is mixed into."""

    kind = "parallel"

    def logits(self, states: Tensor) -> Tensor:
        """See `VisualHead`."""
        return self(states).unflatten(-1, (*self.shape, 2))

    def nats(self, states: Tensor, codes: Tensor, draws: Tensor | None = None) -> BitLoss:
        """See `VisualHead`."""
        return bernoulli(margins_of(self.logits(states)), codes)

    def draw(
        self, states: Tensor, *, guidance_scale: float, temperature: float, uniform: Tensor, on_logits: OnLogits | None = None
    ) -> Tensor:
        """See `VisualHead`."""
        found = guided(self.logits(states), guidance_scale)
        if on_logits is not None:
            on_logits(found)
        return sample_margins(margins_of(found), temperature=temperature, uniform=uniform)


class ParallelStack(ParallelHead, nn.Sequential):
    """Norm and one linear map, or norm and an MLP."""


class ParallelLinear(ParallelHead, nn.Linear):
    """One linear map."""


def parallel(hidden: int, shape: tuple[int, int, int], eps: float, *, mlp: bool, norm: bool) -> ParallelHead:
    """The released head; no biases.

    Args:
        hidden: H.
        shape: (L, G, D).
        eps: of the norm.
        mlp: norm and an MLP; wins over `norm`.
        norm: norm and a linear map; with neither it is a linear map alone.
    """
    out = 2 * shape[0] * shape[1] * shape[2]
    made: ParallelHead
    if mlp:
        first, last = nn.Linear(hidden, MLP_WIDTH, bias=False), nn.Linear(MLP_WIDTH, out, bias=False)
        made = ParallelStack(RMSNorm(hidden, eps), first, nn.GELU(approximate="tanh"), last)
    elif norm:
        made = ParallelStack(RMSNorm(hidden, eps), nn.Linear(hidden, out, bias=False))
    else:
        made = ParallelLinear(hidden, out, bias=False)
    made.shape = shape
    return made
