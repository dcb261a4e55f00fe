"""Scene -> pixels, anti-aliased; the exact masks; the label maps that teach a tokenizer what stands where.

Masks are drawn once per (shape, extent, fraction of a pixel) at 8x and averaged down, then composited.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from uniar.data.shapes import vocabulary as v
from uniar.data.shapes.scene import Object, Scene

_OVERSAMPLING = 8


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
        `shape` int64 (patches): 0 nothing, else 1 + shape; `color`: 0 nothing, else 1 + colour; `background`: its number.
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
    x1, y1, x2, _ = o.box(size)
    mask = shape_mask(o.shape, round(x2 - x1))
    return mask, round(x1), round(y1)


@cache
def shape_mask(shape: str, extent: int) -> np.ndarray:
    """Coverage of a shape in its square: float32 (extent, extent) in 0..1."""
    n = extent * _OVERSAMPLING
    image = Image.new("L", (n, n))
    draw = ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse([0, 0, n - 1, n - 1], fill=255)
    elif shape == "ring":
        draw.ellipse([0, 0, n - 1, n - 1], fill=255)
        draw.ellipse([n * 0.27, n * 0.27, n * 0.73, n * 0.73], fill=0)
    else:
        draw.polygon([(x * n, y * n) for x, y in _outline(shape)], fill=255)
    fine = np.asarray(image, np.float32) / 255
    mask = fine.reshape(extent, _OVERSAMPLING, extent, _OVERSAMPLING).mean((1, 3))
    mask.setflags(write=False)
    return mask


def _outline(shape: str) -> list[tuple[float, float]]:
    if shape == "square":
        return [(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)]
    if shape == "triangle":
        return [(0.5, 0.02), (1.0, 0.95), (0.0, 0.95)]
    if shape == "diamond":
        return [(0.5, 0.0), (0.92, 0.5), (0.5, 1.0), (0.08, 0.5)]
    if shape == "cross":
        a, b = 0.33, 0.67
        return [(a, 0), (b, 0), (b, a), (1, a), (1, b), (b, b), (b, 1), (a, 1), (a, b), (0, b), (0, a), (a, a)]
    if shape == "star":
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        radius = np.where(np.arange(10) % 2 == 0, 0.53, 0.225)
        return [(0.5 + r * np.cos(t), 0.53 + r * np.sin(t)) for t, r in zip(angles, radius, strict=True)]
    if shape == "heart":
        t = np.linspace(0, 2 * np.pi, 80)
        x = 16 * np.sin(t) ** 3
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return [(0.5 + a / 33, 0.47 - b / 31) for a, b in zip(x, y, strict=True)]
    raise ValueError(f"no such shape: {shape!r}")
