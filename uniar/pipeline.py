"""The verbs on one object: generate, edit, understand, and reconstruct, which is the tokenizer and the pixel decoder alone.

Joins the rooms: prompt text and processor in, codes by the rollout, features by the tokenizer, pixels by the decoder. Parts
load when a verb first needs them. Every draw of a sample comes from its own seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from uniar.answering import Answering
from uniar.checkpoint.layout import BUNDLED, resolve, weight_paths
from uniar.checkpoint.load import load_decoder, load_feature_encoder, load_model, quiet
from uniar.checkpoint.weights import fingerprint
from uniar.errors import CheckpointError, InputError
from uniar.generation.codes import Prefix, generate_codes
from uniar.generation.conversation import Conversation
from uniar.generation.prompt import defused, generation_text
from uniar.seeding import generator


@dataclass(frozen=True, kw_only=True)
class GeneratedImage:
    """One result of generate or edit."""

    codes: np.ndarray
    """uint8 (N, L, G, D) in {0, 1}."""
    image: Image.Image | None
    """RGB, or None when decoding was not asked for."""


class UniAR(Answering):
    """A loaded checkpoint.

    Args:
        checkpoint: folder in the released layout, hub id, or `uniar-mini`.
        device: torch device of all parts.
        dtype: None means float32 on the CPU and the stored dtype elsewhere.
    """

    def __init__(self, checkpoint: str | Path = "uniar-mini", *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None):
        self.folder = resolve(checkpoint)
        self.bundled = str(checkpoint) in BUNDLED
        self.name = str(checkpoint) if self.bundled else self.folder.name
        self.device = torch.device(device)
        self.dtype = dtype

    @cached_property
    def model(self) -> Any:
        """The AR model."""
        return load_model(self.folder, device=self.device, dtype=self.dtype)

    @cached_property
    def decoder(self) -> Any:
        """The pixel decoder."""
        return load_decoder(self.folder, device=self.device, dtype=self.dtype or torch.float32)

    @cached_property
    def feature_encoder(self) -> Any:
        """The tokenizer copy that feeds the pixel decoder."""
        return load_feature_encoder(self.folder, device=self.device)

    @cached_property
    def processor(self) -> Any:
        """The checkpoint's own image processor, tokenizer and chat template.

        Raises:
            CheckpointError: processor files are missing.
        """
        from transformers import AutoProcessor

        try:
            # It warns that it does not know the model's type, which it need not.
            with quiet():
                return AutoProcessor.from_pretrained(self.folder)
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{self.folder}: tokenizer or processor files are missing or unreadable ({type(error).__name__}). "
                "Copy the base model's processor files beside config.json."
            ) from None

    def fingerprint(self) -> dict[str, Any]:
        """Identity of the weights: name, sha256 over all weight files, parameter count of the AR model."""
        return {
            "id": self.name,
            "sha256": fingerprint(weight_paths(self.folder), self.folder),
            "num_parameters": sum(p.numel() for p in self.model.parameters()),
            "bundled": self.bundled,
        }

    # -- verbs -----------------------------------------------------------------------------------------------------

    def generate(
        self,
        prompts: Sequence[str],
        *,
        height: int,
        width: int,
        seeds: Sequence[int],
        guidance_scale: float = 1.5,
        temperature: float = 1.0,
        upscale: float = 1.0,
        decoder_steps: int = 28,
        decoder_guidance_scale: float = 1.5,
        decode: bool = True,
        exact: bool | None = None,
        on_step: Callable[[int, int], None] | None = None,
        images: Sequence[Image.Image | None] | None = None,
    ) -> list[GeneratedImage]:
        """Text to image.

        Args:
            prompts: B prompts.
            height: pixels of the rollout, a multiple of the token side (32 in the release).
            width: likewise.
            seeds: B seeds, 0 to 2**63 - 1.
            guidance_scale: on the bit logits; at or below 1 it is off and costs nothing.
            temperature: of the bits; 0 is arg-max.
            upscale: output size / rollout size, 1 to 2.
            decoder_steps: Euler steps of the pixel decoder.
            decoder_guidance_scale: guidance of the pixel decoder.
            decode: False returns codes only.
            exact: see `generation.codes`; None means exact on CPU.
            on_step: called with (tokens done, tokens in all).
            images: B input images (None: a prompt has none), read as they are; `edit` brings them to height x width first.

        Returns:
            B results in order.

        Raises:
            InputError: a size, seed or scale that cannot be used.
        """
        unit = self.model.config.vision_config.token_pixels
        if height < unit or width < unit or height % unit or width % unit:
            raise InputError(f"height, width: got {height} x {width}; expected positive multiples of {unit} pixels for this checkpoint.")
        if decode:
            self.check_size(height=height, width=width, upscale=upscale)
        rows, columns = height // unit, width // unit
        guided = guidance_scale > 1
        given = [None] * len(prompts) if images is None else images
        prefixes = [self.prefix(p, i, rows=rows, columns=columns, guided=guided) for p, i in zip(prompts, given, strict=True)]
        codes = generate_codes(
            self.model,
            prefixes,
            rows=rows,
            columns=columns,
            seeds=seeds,
            guidance_scale=guidance_scale,
            temperature=temperature,
            exact=exact,
            pad_token_id=self._pad_id(),
            on_step=on_step,
        )
        made: Sequence[Image.Image | None] = [None] * len(prompts)
        if decode and len(prompts):
            made = self.decode(
                codes,
                height=height,
                width=width,
                seeds=seeds,
                upscale=upscale,
                decoder_steps=decoder_steps,
                decoder_guidance_scale=decoder_guidance_scale,
                exact=exact,
            )
        return [GeneratedImage(codes=c.numpy(), image=i) for c, i in zip(codes, made, strict=True)]

    def edit(
        self, prompts: Sequence[str], images: Sequence[Image.Image], *, height: int, width: int, seeds: Sequence[int], **settings: Any
    ) -> list[GeneratedImage]:
        """Change images as told; arguments as `generate`. The input image is resized to height x width first."""
        if len(images) != len(prompts):
            raise InputError(f"images: got {len(images)}; expected one for each of the {len(prompts)} prompts.")
        resized = [image.convert("RGB").resize((width, height)) for image in images]
        return self.generate(prompts, images=resized, height=height, width=width, seeds=seeds, **settings)

    def reconstruct(
        self,
        images: Sequence[Image.Image],
        *,
        height: int,
        width: int,
        seeds: Sequence[int],
        upscale: float = 1.0,
        decoder_steps: int = 28,
        decoder_guidance_scale: float = 1.5,
        exact: bool | None = None,
    ) -> list[GeneratedImage]:
        """Images to codes and back: what the tokenizer keeps and the pixel decoder restores, no language model between.

        Args:
            images: B images of width x height pixels.
            height: pixels, a multiple of the token side.
            width: likewise.
            seeds: B seeds of the pixel decoder's noise.
            upscale: output size / input size, 1 to 2.
            decoder_steps: Euler steps of the pixel decoder.
            decoder_guidance_scale: guidance of the pixel decoder.
            exact: see `PixelDecoder.decode`.

        Returns:
            B results in order, codes and image.

        Raises:
            InputError: an image of another size, or a size that the tokenizer or the decoder does not take.
        """
        self.check_size(height=height, width=width, upscale=upscale)
        if not len(images):
            return []
        codes = self.tokenize(images, height=height, width=width)
        made = self.decode(
            codes,
            height=height,
            width=width,
            seeds=seeds,
            upscale=upscale,
            decoder_steps=decoder_steps,
            decoder_guidance_scale=decoder_guidance_scale,
            exact=exact,
        )
        return [GeneratedImage(codes=c.numpy(), image=i) for c, i in zip(codes, made, strict=True)]

    def check_size(self, *, height: int, width: int, upscale: float = 1.0) -> None:
        """Refuse a size that cannot be decoded before the long part, not after it.

        Raises:
            InputError: sizes that the decoder does not take.
        """
        self.decoder.latent_shape(round(upscale * height), round(upscale * width))

    def tokenize(self, images: Sequence[Image.Image], *, height: int, width: int) -> Tensor:
        """Codes uint8 (B, N, L, G, D) of B images of one size, at least one.

        Raises:
            InputError: an image of another size, or a size that the tokenizer does not take.
        """
        for image in images:
            if image.size != (width, height):
                raise InputError(f"images: got {image.width} x {image.height} pixels; expected {width} x {height}. Crop it first.")
        encoded = self.encode(images)
        patch = self.feature_encoder.config.patch_size
        for _, grid in encoded:
            if (grid[1] * patch, grid[2] * patch) != (height, width):
                raise InputError(
                    f"height, width: got {height} x {width}; expected a size that the checkpoint's image processor leaves as it is (it "
                    f"made {grid[1] * patch} x {grid[2] * patch} of it): multiples of the token side within its pixel limits."
                )
        return torch.stack([own for own, _ in encoded])

    def converse(self, *, capacity: int = 4096) -> Conversation:
        """Open a conversation: drawing, asking and editing in one context; see `generation.conversation`.

        Args:
            capacity: positions in all.

        Raises:
            CheckpointError: the checkpoint reads pixels, so it cannot read what it has written without decoding it.
        """
        if self.model.config.dual:
            raise CheckpointError(
                f"{self.folder / 'config.json'}: reads_pixels: got true; a conversation reads codes. Use a checkpoint with one vision stack."
            )
        return Conversation(self.model, self.processor.tokenizer, stop_ids=self._stop_ids(), capacity=capacity)

    # -- parts of the verbs ----------------------------------------------------------------------------------------

    def encode(self, images: Sequence[Image.Image]) -> list[tuple[Tensor, tuple[int, int, int]]]:
        """Images to (codes uint8 (N, L, G, D), grid (1, rows, columns) in patches), through the checkpoint's processor."""
        out = []
        for image in images:
            inputs = self.processor.image_processor(images=[image.convert("RGB")], return_tensors="pt")
            grid = inputs["image_grid_thw"]
            codes = self.model.visual.encode(inputs["pixel_values"].to(self.device), grid)
            out.append((codes.cpu(), tuple(grid[0].tolist())))
        return out

    def decode(
        self,
        codes: Tensor,
        *,
        height: int,
        width: int,
        seeds: Sequence[int],
        upscale: float = 1.0,
        decoder_steps: int = 28,
        decoder_guidance_scale: float = 1.5,
        exact: bool | None = None,
        drop_levels: Sequence[int] = (),
    ) -> list[Image.Image]:
        """Codes (B, N, L, G, D) of rollouts of height x width pixels -> B images of upscale times that size.

        `drop_levels`: levels (0 is the last block) whose features the pixel decoder does not get, for ablations; what stands in their
        place is 0, as where training dropped the features.
        """
        if not 1 <= upscale <= 2:
            raise InputError(f"upscale: got {upscale}; expected 1 to 2.")
        patch, levels = self.feature_encoder.config.patch_size, self.feature_encoder.config.num_levels
        if not set(drop_levels) <= set(range(levels)):
            raise InputError(f"drop_levels: got {list(drop_levels)}; expected levels from 0 to {levels - 1}.")
        grid = (height // patch, width // patch)
        with torch.inference_mode():
            features = self.feature_encoder.feature_map(codes, *grid)
            if drop_levels:
                features.unflatten(-1, (-1, levels))[..., list(drop_levels)] = 0
        pixels = self.decoder.decode(
            features,
            feature_grid=grid,
            height=round(upscale * height),
            width=round(upscale * width),
            seeds=seeds,
            steps=decoder_steps,
            guidance_scale=decoder_guidance_scale,
            exact=exact,
        )
        array = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [Image.fromarray(a) for a in array]

    def flip(self, codes: Tensor, rate: float, *, seeds: Sequence[int]) -> Tensor:
        """Flip each bit of codes uint8 (B, …) with a probability, for ablations; the draws come from (its seed, "flips").

        Raises:
            InputError: a rate outside 0 to 1.
        """
        if not 0 <= rate <= 1:
            raise InputError(f"flip_rate: got {rate}; expected 0 to 1.")
        draws = [torch.rand(c.shape, generator=generator(s, "flips")) for c, s in zip(codes, seeds, strict=True)]
        return torch.where(torch.stack(draws) < rate, 1 - codes, codes) if draws else codes

    def prefix(self, prompt: str, image: Image.Image | None, *, rows: int, columns: int, guided: bool) -> Prefix:
        """Tokenise one prompt (and input image) for a rollout of rows x columns visual tokens."""
        codes, grids, tokens = None, [], 0
        if image is not None:
            codes, grid = self.encode([image])[0]
            grids, tokens = [grid], codes.shape[0]

        def ids(words: str) -> Tensor:
            text = generation_text(words, rows=rows, columns=columns, image_tokens=tokens)
            return torch.tensor(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=torch.int64)

        return Prefix(input_ids=ids(defused(prompt)), unconditional_ids=ids("") if guided else None, codes=codes, grid_thw=grids)


def load(checkpoint: str | Path = "uniar-mini", *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> UniAR:
    """Open a checkpoint; see `UniAR`.

    Raises:
        CheckpointError: it is not there or does not fit.
    """
    return UniAR(checkpoint, device=device, dtype=dtype)
