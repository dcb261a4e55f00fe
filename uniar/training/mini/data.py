"""Batches of the world as tensors; everything from the generator of the step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from uniar.data.shapes import Scene, label_maps, render
from uniar.vision.projection import raster_order


def numpy_rng(stream: torch.Generator) -> np.random.Generator:
    """The numpy generator of a step, drawn from its torch generator."""
    return np.random.default_rng(int(torch.randint(0, 2**62, (), generator=stream)))


def images_of(scenes: Sequence[Scene], canvas: int) -> Tensor:
    """Scenes -> float32 (B, 3, canvas, canvas) in [-1, 1]."""
    array = np.stack([render(s, canvas) for s in scenes])
    return torch.from_numpy(array).permute(0, 3, 1, 2).float() / 127.5 - 1


def patches_of(images: Tensor, patch: int, merge: int = 2) -> tuple[Tensor, Tensor]:
    """Images -> what the vision stack reads, as the processor makes it for images whose sides it need not change.

    Args:
        images: (B, 3, H, W) in [-1, 1].
        patch: patch side.
        merge: group side.

    Returns:
        pixel_values (B * patches, 3 * 2 * patch * patch) in group order, grid_thw int64 (B, 3).
    """
    b, c, height, width = images.shape
    rows, columns = height // patch, width // patch
    x = images.reshape(b, c, rows // merge, merge, patch, columns // merge, merge, patch)
    x = x.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(b * rows * columns, c, 1, patch, patch)
    x = x.expand(-1, -1, 2, -1, -1).reshape(b * rows * columns, -1)
    return x, torch.tensor([[1, rows, columns]] * b)


def labels_of(scenes: Sequence[Scene], patch: int, canvas: int) -> dict[str, Tensor]:
    """Patch labels in group order: int64 (B * patches) for `shape`, `color`, `background`."""
    side = canvas // patch
    # `raster_order` maps group rows to raster rows; its inverse puts raster labels into group order.
    group = torch.argsort(raster_order(side, side, 2))
    maps = [label_maps(s, patch, canvas) for s in scenes]
    return {k: torch.from_numpy(np.stack([m[k] for m in maps]))[:, group].flatten() for k in maps[0]}
