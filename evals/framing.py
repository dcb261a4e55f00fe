"""How an image is brought to the size of another: the same rule for what a model is shown and for what its output is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

FITS = ("crop", "stretch")


def fitted(image: Image.Image, width: int, height: int, fit: str = "crop") -> Image.Image:
    """Return an RGB image of width x height pixels; one of that size comes back unchanged.

    Args:
        image: any size.
        width: pixels.
        height: pixels.
        fit: `crop` scales (Pillow bicubic, antialiased) until both sides are covered and cuts out the centre, as reconstruction
            benchmarks do; `stretch` scales both sides on their own.

    Raises:
        ValueError: another `fit`.
    """
    from PIL import Image as Images

    image = image.convert("RGB")
    if image.size == (width, height):
        return image
    if fit == "stretch":
        return image.resize((width, height), Images.Resampling.BICUBIC)
    if fit != "crop":
        raise ValueError(f"fit: got {fit}; expected one of {', '.join(FITS)}")
    scale = max(width / image.width, height / image.height)
    # At least the wanted size: rounding may otherwise lose a row.
    wide, high = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, top = (wide - width) // 2, (high - height) // 2
    return image.resize((wide, high), Images.Resampling.BICUBIC).crop((left, top, left + width, top + height))
