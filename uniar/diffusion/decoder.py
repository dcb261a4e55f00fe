"""PixelDecoder: feature map -> image. Holds the DiT, the VAE, the scheduler and the constant prompt's embeddings.

Both branches of the guidance use the same constant sentence; the unconditional one gets zero features. Since the sentence
never changes its embeddings are stored beside the checkpoint (`sd3_pipeline/prompt_embeds.safetensors`) and the three text
encoders are not loaded. Source: UniAR, visual decoder; release settings 28 steps, guidance 1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from uniar.diffusion.flow import denoise, schedule
from uniar.diffusion.transformer import FeatureConditionedSD3
from uniar.errors import CheckpointError, InputError
from uniar.seeding import generator

PROMPT = "Please reconstruct this image and restore all the details."


class PromptEmbeds(NamedTuple):
    """Embeddings of the constant prompt."""

    embeds: Tensor
    """(1 or B, words, joint_attention_dim)."""
    pooled: Tensor
    """(1 or B, pooled_projection_dim)."""


class PixelDecoder(nn.Module):
    """DiT + VAE.

    Args:
        transformer: the feature-conditioned DiT.
        vae: diffusers' AutoencoderKL.
        scheduler: diffusers' FlowMatchEulerDiscreteScheduler.
        prompt: embeddings of `PROMPT`, or None (then every call must bring them).
    """

    def __init__(self, transformer: FeatureConditionedSD3, vae: Any, scheduler: Any, prompt: PromptEmbeds | None):
        super().__init__()
        self.transformer = transformer
        self.vae = vae
        self.scheduler = scheduler
        self.prompt = prompt

    @property
    def vae_factor(self) -> int:
        """Pixels per latent, each way."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """(C, h, w) of an image of that many pixels.

        Raises:
            InputError: sizes that the latent's patches do not divide.
        """
        unit = self.vae_factor * self.transformer.config.patch_size
        if height % unit or width % unit:
            raise InputError(f"height, width: got {height} x {width} pixels; expected multiples of {unit} for this decoder.")
        limit = self.transformer.config.pos_embed_max_size * unit
        if max(height, width) > limit:
            raise InputError(f"height, width: got {height} x {width} pixels; this decoder reaches {limit}. Lower upscale.")
        return self.transformer.config.in_channels, height // self.vae_factor, width // self.vae_factor

    def noise(self, seeds: Sequence[int], shape: tuple[int, int, int]) -> Tensor:
        """Initial latents (B, *shape), each sample's from (its seed, "latents")."""
        return torch.stack([torch.randn(shape, generator=generator(s, "latents")) for s in seeds])

    @torch.inference_mode()
    def sample(
        self,
        features: Tensor,
        *,
        feature_grid: tuple[int, int],
        noise: Tensor,
        steps: int = 28,
        guidance_scale: float = 1.5,
        prompt: PromptEmbeds | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Noise -> final latents.

        Args:
            features: (B, rows * columns, siglip_channels), raster order.
            feature_grid: (rows, columns).
            noise: (B, C, h, w).
            steps: Euler steps.
            guidance_scale: at or below 1 the unconditional branch is not run.
            prompt: overrides the stored embeddings.
            on_step: progress.

        Returns:
            (B, C, h, w).

        Raises:
            CheckpointError: no prompt embeddings stored and none given.
        """
        prompt = prompt or self.prompt
        if prompt is None:
            raise CheckpointError(
                "sd3_pipeline/prompt_embeds.safetensors: not found, and the folder has no text encoders to compute it from. "
                "Fetch the whole checkpoint, or store the embeddings of the constant prompt there."
            )
        weight = self.transformer.proj_out.weight
        device, dtype = weight.device, weight.dtype
        b = noise.shape[0]
        embeds = prompt.embeds.to(device, dtype).expand(b, -1, -1)
        pooled = prompt.pooled.to(device, dtype).expand(b, -1)
        features = features.to(device, dtype)
        guided = guidance_scale > 1
        if guided:
            features = torch.cat([torch.zeros_like(features), features])
            embeds, pooled = torch.cat([embeds, embeds]), torch.cat([pooled, pooled])

        def velocity(latents: Tensor, t: Tensor) -> Tensor:
            x = torch.cat([latents, latents]) if guided else latents
            v = self.transformer(
                x.to(dtype),
                features=features,
                feature_grid=feature_grid,
                timestep=t.expand(x.shape[0]),
                prompt_embeds=embeds,
                pooled_prompt_embeds=pooled,
            )
            if not guided:
                return v
            unconditional, conditional = v.chunk(2)
            return unconditional + guidance_scale * (conditional - unconditional)

        patches = noise.shape[-1] * noise.shape[-2] // self.transformer.config.patch_size**2
        timesteps = schedule(self.scheduler, steps=steps, patches=patches, device=device)
        return denoise(velocity, noise.to(device, dtype), scheduler=self.scheduler, timesteps=timesteps, on_step=on_step)

    @torch.inference_mode()
    def pixels(self, latents: Tensor) -> Tensor:
        """Final latents (B, C, h, w) -> images (B, 3, H, W) in [-1, 1], not clamped."""
        c = self.vae.config
        return self.vae.decode((latents / c.scaling_factor + (c.shift_factor or 0.0)).to(self.vae.dtype)).sample

    def decode(
        self,
        features: Tensor,
        *,
        feature_grid: tuple[int, int],
        height: int,
        width: int,
        seeds: Sequence[int],
        steps: int = 28,
        guidance_scale: float = 1.5,
        exact: bool | None = None,
    ) -> Tensor:
        """Feature maps -> images (B, 3, height, width) in [-1, 1], not clamped; sizes in pixels.

        `exact` runs the samples one by one, so that an image does not depend on its neighbours to the last bit; the
        default is exact on CPU.
        """
        shape = self.latent_shape(height, width)
        if exact is None:
            exact = self.transformer.device.type == "cpu"
        size = 1 if exact else len(seeds)
        out = []
        for i in range(0, len(seeds), size):
            latents = self.sample(
                features[i : i + size],
                feature_grid=feature_grid,
                noise=self.noise(seeds[i : i + size], shape),
                steps=steps,
                guidance_scale=guidance_scale,
            )
            out.append(self.pixels(latents))
        return torch.cat(out)
