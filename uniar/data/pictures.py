"""Pictures -> codes by a tokenizer, through the checkpoint's own image processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from uniar.data.samples import Picture
from uniar.errors import InputError

_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH]
"""All of them: PyTorch chooses, as it does outside of training."""


def pixels_of(pictures: Sequence[Picture], processor: Any, merge: int) -> tuple[Tensor, Tensor]:
    """Sized pictures -> what the vision stack reads.

    Args:
        pictures: with an image each.
        processor: the checkpoint's image processor.
        merge: side of a patch group.

    Returns:
        pixel_values float32 (patches, channels * frames * patch * patch), grid_thw int64 (pictures, 3).

    Raises:
        InputError: a picture has another size than its rows and columns say.
    """
    # They are sized already; a second resize could only change them.
    inputs = processor(images=[p.image.convert("RGB") for p in pictures], do_resize=False, return_tensors="pt")
    grids = inputs["image_grid_thw"]
    for picture, grid in zip(pictures, grids.tolist(), strict=True):
        wanted = [1, picture.rows * merge, picture.columns * merge]
        if grid != wanted:
            raise InputError(
                f"picture: got {picture.image.width} x {picture.image.height} pixels, {grid} patches; expected {wanted}. "
                "Resize it first (uniar.data.sizing)."
            )
    return inputs["pixel_values"], grids


class PictureEncoder:
    """Makes codes of pictures that have none.

    Args:
        visual: the vision stack (`UniARVisionModel`).
        image_processor: of the same checkpoint, or the processor that holds it.
        exact: one image after another, so that a picture's codes do not depend on its neighbours to the last bit; default: on
            the CPU.
    """

    def __init__(self, visual: Any, image_processor: Any, *, exact: bool | None = None):
        self._visual, self._exact = visual, exact
        self._processor = getattr(image_processor, "image_processor", image_processor)

    def __call__(self, pictures: Sequence[Picture]) -> list[Tensor]:
        """Codes of each picture: uint8 (rows * columns, L, G, D) on the CPU.

        Raises:
            InputError: a picture has another size than its rows and columns say.
        """
        c = self._visual.config
        values, grids = pixels_of(pictures, self._processor, c.spatial_merge_size)
        exact = self._visual.device.type == "cpu" if self._exact is None else self._exact
        sizes = grids.prod(-1).tolist()
        if exact:
            parts = [self._encode(v, g[None]) for v, g in zip(values.split(sizes), grids, strict=True)]
        else:
            parts = list(self._encode(values, grids).split([n // c.group_size for n in sizes]))
        return parts

    def _encode(self, values: Tensor, grids: Tensor) -> Tensor:
        # Training may have narrowed precision and attention kernels; a picture's codes must not depend on who asks.
        with torch.autocast(self._visual.device.type, enabled=False), sdpa_kernel(_KERNELS):
            return self._visual.encode(values.to(self._visual.device), grids).cpu()
