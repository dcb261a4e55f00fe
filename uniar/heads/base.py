"""What every visual head is: states in, the bits of the next visual token out, learned by `nats` and drawn by `draw`.

A head stands behind the causal stack (`visual_decoder`), which belongs to the model, since its layers share positions and cache with
the language stack. The released head (`parallel`) takes all bits of a token for independent given the state; the others are for
ablations and give that up in one way each. All draw from the same uniform numbers, one a bit, so that streams stay aligned.

N tokens, H width of a state, L levels, G patches a token, D bits a code, M = L * G * D bits a token.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniar.errors import ConfigError

OnLogits = Callable[[Tensor], None]
"""Told the guided logits (B, L, G, D, 2) of a token before it is sampled."""


class BitLoss(NamedTuple):
    """What `nats` gives."""

    nats: Tensor
    """float32 (N,): negative log-likelihood of a token, over its bits; an upper bound of it for `masked`."""
    right: Tensor
    """float32 (N,): share of the bits that were the likelier value, given what the head saw of the token; no gradient."""


class VisualHead(ABC, nn.Module):
    """Base of the heads; a kind sets `kind` and `shape`."""

    kind: str
    shape: tuple[int, int, int]
    """(L, G, D)."""
    classifiers: tuple[str, ...] = ("",)
    """Names, below the head, of the parts whose matrices are classifiers."""
    learning_draws: int = 0
    """Uniform numbers a token that `nats` needs."""

    @property
    def bits(self) -> int:
        """M, bits of a token."""
        return math.prod(self.shape)

    def logits(self, states: Tensor) -> Tensor:
        """Independent logits of every bit: (…, H) -> (…, L, G, D, 2).

        Raises:
            ConfigError: the bits of this head are not independent.
        """
        raise self.dependent()

    def dependent(self) -> ConfigError:
        """The error of who asks for `logits` where bits depend on each other."""
        return ConfigError(
            f"visual_head: got {self.kind}; independent logits of every bit exist with the released head alone. Use a checkpoint without it."
        )

    @abstractmethod
    def nats(self, states: Tensor, codes: Tensor, draws: Tensor | None = None) -> BitLoss:
        """Loss of known tokens.

        Args:
            states: (N, H) after the causal stack.
            codes: uint8 (N, L, G, D).
            draws: float32 (N, `learning_draws`) in [0, 1), where the head needs them.
        """

    @abstractmethod
    def draw(
        self, states: Tensor, *, guidance_scale: float, temperature: float, uniform: Tensor, on_logits: OnLogits | None = None
    ) -> Tensor:
        """Sample a token.

        Args:
            states: (B, H), or with a guidance scale above 1 (2B, H): the conditional rows, then the unconditional ones.
            guidance_scale: see `generation.sampling.guide`.
            temperature: > 0; 0 takes the likelier value.
            uniform: float32 (B, L, G, D) in [0, 1).
            on_logits: see `OnLogits`; the released head alone has such.

        Returns:
            uint8 (B, L, G, D).

        Raises:
            ConfigError: `on_logits` where bits depend on each other.
        """


def signs(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """Bits {0, 1} -> {-1, 1}."""
    return codes.to(dtype) * 2 - 1


def bernoulli(margins: Tensor, truth: Tensor) -> BitLoss:
    """Loss of bits that are independent given their margins, mean over the bits of a token (spec 3): both (N, …)."""
    nats = F.binary_cross_entropy_with_logits(margins, truth.float(), reduction="none").flatten(1).mean(1)
    return BitLoss(nats, ((margins.detach() > 0) == truth.bool()).flatten(1).float().mean(1))


def refuse(setting: str, value: object, wanted: str) -> ConfigError:
    """The error of a head's setting."""
    return ConfigError(f"visual_head.{setting}: got {value!r}; expected {wanted}.")
