"""Images on their way to a judge: one address for the same pixels, and the bytes that are sent."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from typing import TYPE_CHECKING

from evals.errors import PluginError

if TYPE_CHECKING:
    from PIL import Image

_JPEG = re.compile(r"jpeg:([1-9][0-9]?|100)")


def address(image: Image.Image) -> str:
    """Return the sha256 of an image's size and RGB pixels, hexadecimal; the same however the image is stored."""
    image = image.convert("RGB")
    found = hashlib.sha256(f"RGB {image.width}x{image.height}\n".encode("ascii"))
    found.update(image.tobytes())
    return found.hexdigest()


def check_format(image_format: str, *, judge: str) -> None:
    """Refuse an unknown image format.

    Raises:
        PluginError: neither `png` nor `jpeg:1` to `jpeg:100`.
    """
    if image_format != "png" and not _JPEG.fullmatch(image_format):
        raise PluginError(f'judge {judge}: image_format: got "{image_format}"; expected png, or jpeg:QUALITY with a quality of 1 to 100.')


def data_url(image: Image.Image, image_format: str) -> str:
    """Return an image as a `data:` URL, not resized.

    Args:
        image: any mode; it is sent as RGB.
        image_format: `png` (lossless) or `jpeg:QUALITY`.
    """
    file = io.BytesIO()
    quality = _JPEG.fullmatch(image_format)
    if quality:
        image.convert("RGB").save(file, "JPEG", quality=int(quality[1]))
    else:
        image.convert("RGB").save(file, "PNG")
    return f"data:image/{'jpeg' if quality else 'png'};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
