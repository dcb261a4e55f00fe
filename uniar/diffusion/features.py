"""The feature map on its way into the DiT: scaling and resizing to the latent's patch grid.

The map comes from `UniARVisionModel.feature_map`: patches in raster order, levels interleaved per channel.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def resize_feature_map(features: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Bicubic resize (align_corners false) of a map given as rows, from its true shape.

    Args:
        features: (B, h * w, C) in raster order.
        source: (h, w).
        target: (h', w').

    Returns:
        (B, h' * w', C); unchanged when the shapes agree.
    """
    if source == target:
        return features
    b, _, c = features.shape
    grid = features.transpose(1, 2).reshape(b, c, *source)
    grid = F.interpolate(grid.float(), size=target, mode="bicubic", align_corners=False).to(features.dtype)
    return grid.flatten(2).transpose(1, 2)
