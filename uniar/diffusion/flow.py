"""Flow matching: the sampling loop and the training target, as functions of tensors and a scheduler.

Straight paths x_t = (1 - t) * x + t * noise with velocity noise - x (Liu et al. 2209.03003; SD3, Esser et al. 2403.03206).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def schedule(scheduler: Any, *, steps: int, patches: int, device: torch.device) -> Tensor:
    """Set the scheduler's timesteps and return them, (steps,), from 1000 downwards.

    Args:
        scheduler: diffusers' FlowMatchEulerDiscreteScheduler of the checkpoint.
        steps: number of Euler steps.
        patches: latent patches, for schedulers that shift by image size.
        device: where the sampling runs.
    """
    extra = {}
    if scheduler.config.get("use_dynamic_shifting"):
        c = scheduler.config
        slope = (c.max_shift - c.base_shift) / (c.max_image_seq_len - c.base_image_seq_len)
        extra["mu"] = c.base_shift + slope * (patches - c.base_image_seq_len)
    scheduler.set_timesteps(steps, device=device, **extra)
    return scheduler.timesteps


def denoise(
    velocity: Callable[[Tensor, Tensor], Tensor],
    latents: Tensor,
    *,
    scheduler: Any,
    timesteps: Tensor,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Euler steps from noise to latents.

    Args:
        velocity: (latents (B, C, h, w), timestep scalar) -> guided velocity (B, C, h, w).
        latents: noise (B, C, h, w).
        scheduler: with its timesteps set.
        timesteps: from `schedule`.
        on_step: called with (steps done, steps in all).

    Returns:
        (B, C, h, w).
    """
    for i, t in enumerate(timesteps):
        latents = scheduler.step(velocity(latents, t), t, latents, return_dict=False)[0]
        if on_step is not None:
            on_step(i + 1, len(timesteps))
    return latents


def training_pair(latents: Tensor, noise: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy latents and their velocity target; sigma (B,) in 0..1."""
    s = sigma.view(-1, 1, 1, 1)
    return (1 - s) * latents + s * noise, noise - latents


def shifted(sigma: Tensor, shift: float) -> Tensor:
    """Move noise levels (…) in 0..1 towards 1: shift * s / (1 + (shift - 1) * s) (SD3, 2403.03206, eq. 23)."""
    return shift * sigma / (1 + (shift - 1) * sigma)
