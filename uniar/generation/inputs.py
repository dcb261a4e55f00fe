"""What transformers' `generate` asks of a model with images: slices of the inputs for each step, and rows repeated with their images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import CausalLMOutputWithPast

CACHE = "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"
"""What the installed transformers calls the cache between `generate` and a model: `cache` from 5.24 on."""


class GeneratesText:
    """Mixed into the model, before transformers' own `GenerationMixin`."""

    config: Any
    positions: Any

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Slice what the cache already holds; positions are recomputed from the whole sequence, so no state is kept."""
        cache = kwargs.get(CACHE)
        past = cache.get_seq_length() if cache is not None else 0
        position_ids = self.positions(input_ids, image_grid_thw, attention_mask)
        first = past == 0
        return {
            "input_ids": input_ids[:, past:],
            "position_ids": position_ids[:, :, past:],
            "attention_mask": attention_mask,
            CACHE: cache,
            "pixel_values": pixel_values if first else None,
            "image_grid_thw": image_grid_thw if first else None,
            "use_cache": kwargs.get("use_cache", True),
            "logits_to_keep": 1,
        }

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: Tensor | None = None, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Any]]:
        # Images are not a batch axis: a row may hold several. For several returns per row they are repeated row by row.
        pixels, grids = kwargs.pop("pixel_values", None), kwargs.pop("image_grid_thw", None)
        if pixels is not None and expand_size > 1:
            pixels, grids = self._repeat_images(input_ids, pixels, grids, expand_size)
        input_ids, kwargs = super()._expand_inputs_for_generation(
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **kwargs
        )
        if pixels is not None:
            kwargs.update(pixel_values=pixels, image_grid_thw=grids)
        return input_ids, kwargs

    def _repeat_images(self, input_ids: Tensor, pixels: Tensor, grids: Tensor, times: int) -> tuple[Tensor, Tensor]:
        patches = grids.prod(-1).tolist()
        per_image = list(zip(pixels.split(patches), grids.split(1), strict=True))
        group = self.config.vision_config.group_size
        out_pixels, out_grids, at = [], [], 0
        for row in (input_ids == self.config.image_token_id).sum(-1).tolist():
            mine, tokens = [], 0
            while tokens < row:
                mine.append(per_image[at])
                tokens += patches[at] // group
                at += 1
            for _ in range(times):
                out_pixels += [p for p, _ in mine]
                out_grids += [g for _, g in mine]
        return torch.cat(out_pixels), torch.cat(out_grids)
