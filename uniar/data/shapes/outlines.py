"""The eight outlines: coverage masks, drawn once per (shape, extent) at 8x and averaged down, and their tight boxes."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

_OVERSAMPLING = 8
_FINE = 208


@cache
def tight_box(shape: str) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of the outline inside its square, in shares of the square's side."""
    inside = shape_mask(shape, _FINE) > 0.5
    ys, xs = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return float(xs[0] / _FINE), float(ys[0] / _FINE), float((xs[-1] + 1) / _FINE), float((ys[-1] + 1) / _FINE)


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
