"""Scene -> pixels, anti-aliased; the exact masks; the label maps that teach a tokenizer what stands where."""

from __future__ import annotations

from functools import cache

import numpy as np

from uniar.data.shapes import vocabulary as v
from uniar.data.shapes.outlines import shape_mask
from uniar.data.shapes.scene import Object, Scene


def render(scene: Scene, size: int = 64) -> np.ndarray:
    """Draw a scene: uint8 (size, size, 3) RGB; `size` is a multiple of 64."""
    canvas = _background(scene.background, size).copy()
    for o in scene.objects:
        mask, x, y = _placed(o, size)
        h, w = mask.shape
        region = canvas[y : y + h, x : x + w]
        region += mask[..., None] * (np.float32(v.RGB[o.color]) - region)
    return (canvas + 0.5).astype(np.uint8)


def render_masks(scene: Scene, size: int = 64) -> np.ndarray:
    """Coverage of each object: float32 (objects, size, size) in 0..1."""
    out = np.zeros((len(scene.objects), size, size), np.float32)
    for i, o in enumerate(scene.objects):
        mask, x, y = _placed(o, size)
        out[i, y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return out


def label_maps(scene: Scene, patch: int = 8, size: int = 64) -> dict[str, np.ndarray]:
    """What stands in each patch, in raster order.

    Returns:
        `shape` int64 (patches): 0 nothing, else 1 + shape; `color`: 0 nothing, else 1 + colour; `background`: its
        number.
        An object counts where it covers at least a quarter of the patch, or the most of those that touch it.
    """
    side = size // patch
    shape, color = np.zeros(side * side, np.int64), np.zeros(side * side, np.int64)
    best = np.full(side * side, 0.25, np.float32)
    for o, mask in zip(scene.objects, render_masks(scene, size), strict=True):
        cover = mask.reshape(side, patch, side, patch).mean((1, 3)).ravel()
        mine = cover >= best
        best[mine] = cover[mine]
        shape[mine], color[mine] = 1 + v.SHAPES.index(o.shape), 1 + v.COLORS.index(o.color)
    background = np.full(side * side, list(v.BACKGROUNDS).index(scene.background), np.int64)
    return {"shape": shape, "color": color, "background": background}


@cache
def _background(name: str, size: int) -> np.ndarray:
    top, bottom = (np.float32(c) for c in v.BACKGROUNDS[name])
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(top + ramp * (bottom - top), (size, size, 3)).copy()
    canvas.setflags(write=False)
    return canvas


def _placed(o: Object, size: int) -> tuple[np.ndarray, int, int]:
    x1, y1, x2, _ = o.square(size)
    return shape_mask(o.shape, round(x2 - x1)), round(x1), round(y1)
