"""What OneIG-Bench does to every image before it looks at it, in all of its dimensions.

Source: OneIG-Benchmark 41b4983, `scripts/utils/utils.py`: tiles that are black in every pixel are dropped, the others are written as JPEG
with Pillow's default quality and read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.errors import PluginError

if TYPE_CHECKING:
    from PIL import Image

JPEG_QUALITY = 75
BLACK = "entirely black: it stands for an image that is not there, and is dropped"
"""Reason of a score without values."""


def checked_quality(quality: int | None, *, asked: str) -> int | None:
    """Return a JPEG quality, 1 to 100 or None for no JPEG.

    Args:
        quality: as the suite gives it.
        asked: who asks, for the message.

    Raises:
        PluginError: outside that range.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise PluginError(f"{asked}: jpeg_quality: got {quality}; expected 1 to 100, or null for none. Change it.")
    return quality


def is_black(image: Image.Image) -> bool:
    """Whether every pixel is (0, 0, 0)."""
    return image.convert("RGB").getbbox() is None
