"""The decoder stage: flow matching on VAE latents, given the frozen tokenizer's features.

The transformer learns to turn the features of an image into its pixels, at the size that the tokenizer saw or up to twice that.
Features are dropped at a set rate, so that guidance works; a few bits are flipped, so that the decoder forgives a wrongly sampled
one; the position table is read at a random corner, so that every part of it is trained. Tokenizer and VAE are frozen. Source:
UniAR, visual decoder (its training is not published); SD3 (2403.03206) for velocity and noise levels.

B images, (h, w) latent sizes, L levels, G patches a token, D bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from uniar.data.samples import Picture, TrainingSample
from uniar.diffusion.flow import shifted, training_pair
from uniar.errors import ConfigError
from uniar.seeding import generator
from uniar.training.stage import Prepared, StageDefaults, StepOutput

if TYPE_CHECKING:
    # diffusers takes seconds to import, and recipes of every stage import the settings below.
    from uniar.diffusion.decoder import PixelDecoder


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderConfig:
    """What the stage `decoder` does with its images."""

    feature_dropout: float = 0.1
    """Share of images whose features are zero, for guidance; the release's `drop_image_token_prob_for_cfg`."""
    max_upscale: float = 2.0
    """Largest side of the picture / side that the tokenizer saw, 1 to 2."""
    upscale_share: float = 0.5
    """Share of micro-batches above upscale 1, their ratio drawn evenly up to `max_upscale`."""
    random_crop: bool = True
    """Whether the position table is read at a random corner; its centre is used in sampling."""
    flip_rate: float = 0.03
    """Largest share of flipped bits in the codes that the features are made of."""
    noise_shift: float = 2.0
    """Above 1 the noisy levels get more of the training, where the features decide most (SD3, eq. 23)."""

    def __post_init__(self) -> None:
        for key in ("feature_dropout", "upscale_share", "flip_rate"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"{key}: got {getattr(self, key)}; expected 0 to 1.")
        if not 1 <= self.max_upscale <= 2:
            raise ConfigError(f"max_upscale: got {self.max_upscale}; expected 1 to 2.")
        if not self.noise_shift > 0:
            raise ConfigError(f"noise_shift: got {self.noise_shift}; expected above 0; 1 draws the noise levels evenly.")


class SizeGroup(NamedTuple):
    """Images of one size on their way through the stage."""

    pictures: list[Picture]
    """B, as the tokenizer sees them."""
    flips: Tensor
    """bool (B, N, L, G, D): bits that the decoder reads wrongly."""
    grid: tuple[int, int]
    """Patch rows and columns that the tokenizer saw."""
    targets: Tensor
    """float32 (B, 3, H, W) in -1 to 1: what is to be drawn."""
    noise: Tensor
    """float32 (B, C, h, w)."""
    sigma: Tensor
    """float32 (B,): noise levels in 0 to 1."""
    kept: Tensor
    """bool (B,): False where the features are dropped."""
    crop: tuple[int, int] | None
    """Corner of the position table, patches; None is its centre."""


class DecoderStage(StageDefaults, nn.Module):
    """See `training.stage.Stage`.

    Args:
        decoder: the pixel decoder; its transformer learns.
        features: the frozen tokenizer that feeds it (`UniAR.feature_encoder`).
        draw: global sample number -> sample; the last picture of it that kept its original is drawn.
        encode_pictures: pictures -> codes.
        config: see `DecoderConfig`.
        seed: of the run.
        name: of the stage.

    Raises:
        ConfigError: sizes that this decoder cannot learn.
    """

    loss_weights = {"velocity": 1.0}  # noqa: RUF012

    def __init__(
        self,
        decoder: PixelDecoder,
        features: Any,
        *,
        draw: Callable[[int], TrainingSample],
        encode_pictures: Callable[[Sequence[Picture]], Sequence[Tensor]],
        config: DecoderConfig,
        seed: int,
        name: str = "decoder",
    ):
        super().__init__()
        shape = decoder.transformer.config
        if config.max_upscale > 1 and config.upscale_share > 0 and not shape.super_resolution:
            raise ConfigError(
                f"decoder.max_upscale: got {config.max_upscale}, but this decoder has super_resolution false. Use max_upscale 1."
            )
        if decoder.prompt is None:
            raise ConfigError("checkpoint: it holds no embeddings of the constant prompt (sd3_pipeline/prompt_embeds.safetensors).")
        self.transformer = decoder.transformer
        self.config, self.name = config, name
        self._seed, self._draw, self._encode = seed, draw, encode_pictures
        # In a tuple modules are not registered: neither the optimiser nor the state sees frozen ones.
        self._frozen = (decoder, features.eval().requires_grad_(False), decoder.vae.eval().requires_grad_(False))
        self._side = decoder.vae_factor * shape.patch_size

    def repeated_blocks(self) -> list[nn.Module]:
        """Layers worth compiling or sharding one by one."""
        return list(self.transformer.transformer_blocks)

    def restart(self, seed: int) -> None:
        """Give the transformer fresh weights of its own configuration."""
        decoder = self._frozen[0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            decoder.transformer = type(self.transformer).from_config(self.transformer.config)
        self.transformer = decoder.transformer

    def checkpoint_activations(self) -> None:
        """Recompute the blocks' activations in the backward."""
        self.transformer.enable_gradient_checkpointing()

    def prepare(self, step: int, numbers: Sequence[int]) -> Prepared:
        """Samples -> pictures, targets and noise, by size."""
        found = [(n, p) for n in numbers if (p := _picture(self._draw(n))) is not None]
        groups: dict[tuple[int, int, int, int], list[tuple[int, Picture]]] = {}
        ratio = self._ratio(step)
        for number, picture in found:
            groups.setdefault((picture.rows, picture.columns, *self._target_size(picture, ratio)), []).append((number, picture))
        data = [self._group(step, members, size) for (_, _, *size), members in groups.items()]
        return Prepared(data, {"velocity": float(len(found))}, {"images": float(len(found))})

    def _ratio(self, step: int) -> float:
        # One a step, so that images of one size stay one batch.
        c = self.config
        drawn, ratio = torch.rand(2, generator=generator(self._seed, f"upscale/{step}")).tolist()
        return 1 + (c.max_upscale - 1) * ratio if drawn < c.upscale_share else 1.0

    def _target_size(self, picture: Picture, ratio: float) -> tuple[int, int]:
        height, width = picture.image.height, picture.image.width
        # An image that has no finer detail than the tokenizer saw cannot teach upscaling.
        room = min(picture.original.height / height, picture.original.width / width)
        ratio = max(1.0, min(ratio, room))
        return tuple(round(ratio * s / self._side) * self._side for s in (height, width))

    def _group(self, step: int, members: list[tuple[int, Picture]], size: Sequence[int]) -> SizeGroup:
        c, (height, width) = self.config, size
        first, vision = members[0][1], self._frozen[1].config
        latent = self._frozen[0].latent_shape(height, width)
        code = (first.rows * first.columns, vision.num_levels, vision.group_size, vision.bsq_dim)
        flips, noise, sigma, kept = [], [], [], []
        for number, _ in members:
            # All draws of an image belong to its number, so they do not depend on the batch or the rank.
            g = generator(self._seed, f"image/{number}")
            flips.append(torch.rand(code, generator=g) < c.flip_rate * torch.rand((), generator=g))
            noise.append(torch.randn(latent, generator=g))
            sigma.append(shifted(torch.rand((), generator=g), c.noise_shift))
            kept.append(torch.rand((), generator=g) >= c.feature_dropout)
        return SizeGroup(
            pictures=[picture for _, picture in members],
            flips=torch.stack(flips),
            grid=(first.rows * vision.spatial_merge_size, first.columns * vision.spatial_merge_size),
            targets=torch.stack([_pixels(p, height, width) for _, p in members]),
            noise=torch.stack(noise),
            sigma=torch.stack(sigma),
            kept=torch.stack(kept),
            crop=self._corner(step, height, width) if c.random_crop else None,
        )

    def _corner(self, step: int, height: int, width: int) -> tuple[int, int]:
        shape = self.transformer.config
        table = min(shape.pos_embed_max_size, shape.random_crop_pos_embed_max_resolution or shape.pos_embed_max_size)
        start = (shape.pos_embed_max_size - table) // 2
        g = generator(self._seed, f"crop/{step}")
        rows, columns = height // self._side, width // self._side
        return tuple(start + int(torch.randint(0, max(1, table - n + 1), (), generator=g)) for n in (rows, columns))

    def forward(self, data: list[SizeGroup]) -> StepOutput:
        """Groups of images -> the sum over images of the mean squared error of the velocity."""
        device = self.transformer.proj_out.weight.device
        total: Tensor = self.transformer.proj_out.weight.sum() * 0.0
        larger = 0
        for group in data:
            errors = self._errors(group, device)
            total = total + errors.sum()
            larger += len(errors) * (group.targets.shape[-2] > group.grid[0] * self._frozen[1].config.patch_size)
        n = sum(len(group.sigma) for group in data)
        return StepOutput({"velocity": total}, {"upscaled": (float(larger), float(n))})

    def _errors(self, group: SizeGroup, device: torch.device) -> Tensor:
        decoder, features, vae = self._frozen
        features.to(device), vae.to(device)
        with torch.no_grad():
            codes = torch.stack(list(self._encode(group.pictures))) ^ group.flips.to(torch.uint8)
            conditions = features.feature_map(codes.to(device), *group.grid)
            mean = vae.encode(group.targets.to(device, vae.dtype)).latent_dist.mean.float()
            latents = (mean - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor
        b = len(latents)
        sigma = group.sigma.to(device)
        noisy, target = training_pair(latents, group.noise.to(device), sigma)
        prompt = decoder.prompt
        velocity = self.transformer(
            noisy,
            features=conditions.float() * group.kept.to(device).view(b, 1, 1),
            feature_grid=group.grid,
            timestep=sigma * 1000,
            prompt_embeds=prompt.embeds.to(device).expand(b, -1, -1),
            pooled_prompt_embeds=prompt.pooled.to(device).expand(b, -1),
            crop=group.crop,
        )
        return (velocity.float() - target).pow(2).flatten(1).mean(1)


def _picture(sample: TrainingSample) -> Picture | None:
    pictures = [p for p in sample.parts if isinstance(p, Picture) and p.original is not None]
    return pictures[-1] if pictures else None


def _pixels(picture: Picture, height: int, width: int) -> Tensor:
    image = picture.image
    if (height, width) != (image.height, image.width):
        # From the original, which has the detail; Pillow's filter widens with the shrinking, so nothing aliases.
        image = picture.original.resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 127.5 - 1
