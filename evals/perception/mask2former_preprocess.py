"""What mmdet's test pipeline does to an image before Mask2Former sees it.

Source: mmdet 2.28 config `mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco` and mmcv's `rescale_size`. The resize repeats
OpenCV's 8-bit fixed-point bilinear filter (no antialias) bit for bit, since library resizes that antialias move scores.
Works on RGB throughout: the official BGR order only permutes channels until it is undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

LONG_SIDE, SHORT_SIDE = 1333, 800
DIVISOR, PAD_VALUE = 32, 128
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
_COEF_BITS = 11


class Prepared(NamedTuple):
    """Network input and the three sizes that the way back needs, all (h, w)."""

    pixels: np.ndarray
    """float32 (3, H, W), normalised."""
    padded: tuple[int, int]
    resized: tuple[int, int]
    original: tuple[int, int]


def resized_size(height: int, width: int) -> tuple[int, int]:
    """Size after the ratio-keeping resize to 800 (short) or 1333 (long).

    >>> resized_size(512, 512), resized_size(480, 640), resized_size(500, 1500)
    ((800, 800), (800, 1067), (444, 1333))
    """
    factor = min(LONG_SIDE / max(height, width), SHORT_SIDE / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def _taps(source: int, target: int, *, snap: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    # Left and right neighbour and their weights in 1/2048, per target pixel; half-pixel centres. The two weights are
    # rounded apart, as there: they need not sum to 2048. `snap`: outside the centres the edge pixel has all the weight
    # (columns); else the edge is mixed with itself (rows), which loses a level to rounding now and then.
    import numpy as np

    scale = 1.0 / (target / source)
    position = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    left = np.floor(position).astype(np.int64)
    weight = position - left.astype(np.float32)
    if snap:
        weight[(left < 0) | (left >= source - 1)] = 0
    one = np.float32(1 << _COEF_BITS)
    near, far = (np.rint(part * one).astype(np.int32) for part in (np.float32(1) - weight, weight))
    return np.clip(left, 0, source - 1), np.clip(left + 1, 0, source - 1), near, far


def resize_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 (h, w, c) as `cv2.resize(..., INTER_LINEAR)` does."""
    import numpy as np

    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image
    if (h, w) == (2 * height, 2 * width):
        # OpenCV silently takes the 2x2 mean for an exact halving.
        quads = image.reshape(height, 2, width, 2, -1).astype(np.int32).sum(axis=(1, 3))
        return ((quads + 2) >> 2).astype(np.uint8)
    left, right, left_part, right_part = _taps(w, width, snap=True)
    top, bottom, top_part, bottom_part = _taps(h, height, snap=False)
    wide = image.astype(np.int32)
    rows = (wide[:, left] * left_part[:, None] + wide[:, right] * right_part[:, None]) >> 4
    mixed = ((rows[top] * top_part[:, None, None]) >> 16) + ((rows[bottom] * bottom_part[:, None, None]) >> 16)
    return ((mixed + 2) >> 2).astype(np.uint8)


def prepare(image: np.ndarray) -> Prepared:
    """Resize, pad and normalise one image.

    Args:
        image: uint8 (h, w, 3), RGB.
    """
    import numpy as np

    original = (image.shape[0], image.shape[1])
    resized = resized_size(*original)
    small = resize_bilinear(image, *resized)
    padded = tuple(-(-side // DIVISOR) * DIVISOR for side in resized)
    # Padded before normalising, as there: the border is grey, not zero.
    canvas = np.full((*padded, 3), PAD_VALUE, dtype=np.uint8)
    canvas[: resized[0], : resized[1]] = small
    pixels = (canvas.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return Prepared(np.ascontiguousarray(pixels.transpose(2, 0, 1)), padded, resized, original)
