"""Stages 2 and 3: the VAE, then the DiT by flow matching on its latents, given the frozen tokenizer's features.

Features are dropped with the configured probability (guidance), and a few bits are flipped, so that the decoder forgives a
wrongly sampled bit. Source: UniAR visual decoder; SD3 (2403.03206) for the shift of the noise levels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from uniar.data.shapes import sample_scene
from uniar.diffusion.flow import shifted, training_pair
from uniar.training.losses import reconstruction_loss
from uniar.training.mini.build import fresh_decoder
from uniar.training.mini.data import images_of, numpy_rng, patches_of
from uniar.training.mini.recipe import MiniRecipe

KL_WEIGHT = 1e-4
FIRST_LOG_VARIANCE = -6.0
NOISE_SHIFT = 2.0
"""The features decide nearly all of the picture, so it is made in the first, noisiest steps; they get more of the training."""


class VaeStage(nn.Module):
    """diffusers' AutoencoderKL at small size; keeps running statistics of its latents for the scaling factor."""

    def __init__(self, recipe: MiniRecipe):
        super().__init__()
        self.recipe = recipe
        self.vae = fresh_decoder(recipe).vae
        with torch.no_grad():
            # The posterior starts narrow: at a deviation of one its noise hides the image for the first thousand steps.
            head, latents = self.vae.encoder.conv_out, recipe.pixels.latents
            head.weight[latents:] = 0
            head.bias[latents:] = FIRST_LOG_VARIANCE
        self.register_buffer("latent_mean", torch.zeros(()))
        self.register_buffer("latent_std", torch.ones(()))

    def step(self, _: int, stream: torch.Generator) -> Mapping[str, Tensor]:
        """One batch of scenes -> named losses."""
        rng = numpy_rng(stream)
        images = images_of([sample_scene(rng) for _ in range(self.recipe.vae.batch_size)], self.recipe.canvas)
        posterior = self.vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=stream)
        pixel = reconstruction_loss(self.vae.decode(posterior.mean + posterior.std * noise).sample.float(), images)
        kl = 0.5 * (posterior.mean.pow(2) + posterior.var - 1 - posterior.logvar).mean()
        with torch.no_grad():
            latents = posterior.mean.float()
            self.latent_mean.lerp_(latents.mean(), 0.02)
            self.latent_std.lerp_(latents.std(), 0.02)
        return {"loss": pixel + KL_WEIGHT * kl, "pixel": pixel.detach(), "kl": kl.detach()}

    def repeated_blocks(self) -> list[nn.Module]:
        """Layers worth compiling."""
        return [*self.vae.encoder.down_blocks, *self.vae.decoder.up_blocks]

    def scaling(self) -> tuple[float, float]:
        """(scaling_factor, shift_factor) that bring the latents to zero mean and unit deviation."""
        return 1 / float(self.latent_std), float(self.latent_mean)


class DecoderStage(nn.Module):
    """The DiT; tokenizer and VAE are frozen."""

    def __init__(self, recipe: MiniRecipe, *, vision: nn.Module, vae: VaeStage):
        super().__init__()
        self.recipe = recipe
        self.transformer = fresh_decoder(recipe).transformer
        # Frozen parts are kept out of the state: they have their own stage's.
        self._frozen = (vision.eval(), vae.eval())

    def repeated_blocks(self) -> list[nn.Module]:
        """Layers worth compiling."""
        return [*self.transformer.transformer_blocks, *self._frozen[0].blocks]

    def step(self, _: int, stream: torch.Generator) -> Mapping[str, Tensor]:
        """One batch of scenes -> flow-matching loss."""
        r = self.recipe
        vision, vae = self._frozen
        rng = numpy_rng(stream)
        images = images_of([sample_scene(rng, habits=i % 2 == 0) for i in range(r.decoder.batch_size)], r.canvas)
        b, side = images.shape[0], r.canvas // r.vision.patch
        with torch.no_grad():
            pixel_values, grid = patches_of(images, r.vision.patch)
            codes = vision.encode(pixel_values, grid).unflatten(0, (b, -1))
            rate = torch.rand(b, 1, 1, 1, 1, generator=stream) * 0.03
            codes = codes ^ (torch.rand(codes.shape, generator=stream) < rate).to(codes.dtype)
            features = vision.feature_map(codes, side, side)
            scale, shift = vae.scaling()
            latents = (vae.vae.encode(images).latent_dist.mean.float() - shift) * scale
        kept = torch.rand(b, 1, 1, generator=stream) >= self.transformer.config.drop_image_token_prob_for_cfg
        sigma = shifted(torch.rand(b, generator=stream), NOISE_SHIFT)
        noisy, target = training_pair(latents, torch.randn(latents.shape, generator=stream), sigma)
        width = self.transformer.config.joint_attention_dim
        velocity = self.transformer(
            noisy,
            features=features * kept,
            feature_grid=(side, side),
            timestep=sigma * 1000,
            prompt_embeds=torch.zeros(b, 1, width),
            pooled_prompt_embeds=torch.zeros(b, self.transformer.config.pooled_projection_dim),
        )
        return {"loss": (velocity.float() - target).pow(2).mean()}
