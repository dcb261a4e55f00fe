"""The settings of a GRPO run; the published ones are the defaults (UniAR, GRPO section)."""

from __future__ import annotations

from dataclasses import dataclass

from uniar.errors import ConfigError
from uniar.training.adapters import LoraSettings
from uniar.training.grpo.rewards import RewardUse


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpoConfig:
    """What a step asks, how it samples, judges and learns. Length, prompts and learning rate are the engine's (`EngineConfig`)."""

    rewards: tuple[RewardUse, ...]
    """At least one; names differ."""
    height: int = 512
    """Pixels of the rollout, a multiple of the checkpoint's token side."""
    width: int = 512
    """Likewise."""
    upscale: float = 1.0
    """Size of the judged image / size of the rollout, 1 to 2."""
    group_size: int = 16
    """Images a prompt, 2 or more."""
    temperature: float = 1.0
    """Of the rollout and of the loss, above 0."""
    decoder_steps: int = 14
    """Euler steps of the pixel decoder."""
    decoder_guidance_scale: float = 1.0
    """Of the pixel decoder; at or below 1 it is off."""
    clip: float = 0.2
    """Ratios of bit probabilities are held within 1 - clip to 1 + clip; without effect when `inner_epochs` is 1."""
    beta: float = 0.01
    """Weight of the divergence from the reference, nats a bit; 0 keeps no reference."""
    inner_epochs: int = 1
    """Optimiser steps taken on one rollout."""
    micro_batch: int = 64
    """Samples that run through the model or the decoder together; of larger batches the backward recomputes the activations."""
    exact: bool = False
    """Whether rollouts run one at a time, so that codes do not depend on the batch to the last bit; slower."""
    max_failed: float = 0.25
    """Largest share of one step's images that may fail to decode, and of one reward's values that may fail, 0 to 1."""
    lora: LoraSettings | None = None
    """None is full fine-tuning of everything but the vision encoder."""

    def __post_init__(self) -> None:
        if not self.rewards:
            raise ConfigError("rewards: got none; expected at least one. Name an entry point of the group uniar.rewards.")
        names = [use.name for use in self.rewards]
        if len(set(names)) < len(names):
            raise ConfigError(f"rewards: got {', '.join(names)}; expected different names. Give one entry a reward.")
        for key in ("height", "width", "decoder_steps", "inner_epochs", "micro_batch"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key}: got {getattr(self, key)}; expected 1 or more.")
        if self.group_size < 2:
            raise ConfigError(f"group_size: got {self.group_size}; expected 2 or more, since an image is compared with its siblings.")
        if not 1 <= self.upscale <= 2:
            raise ConfigError(f"upscale: got {self.upscale}; expected 1 to 2.")
        if not self.temperature > 0:
            raise ConfigError(f"temperature: got {self.temperature}; expected above 0, since arg-max explores nothing.")
        if not 0 < self.clip < 1 or not self.beta >= 0 or not 0 <= self.max_failed <= 1:
            got = f"{self.clip}, {self.beta}, {self.max_failed}"
            raise ConfigError(f"clip, beta, max_failed: got {got}; expected 0 < clip < 1, beta of 0 or more and a share of 0 to 1.")
