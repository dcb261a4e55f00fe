"""The one door for picture files that somebody else made: bounded, typed, and with one sentence for whatever is wrong.

The size is read from the header before a single pixel is decoded, so a picture that would unpack to gigabytes costs
nothing. Leaves what a refusal means (a missing output, a broken source) to the caller.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from evals.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 8192 * 8192
"""Most pixels of one picture file: a 2x2 grid of 4096 px tiles. Decoded it takes 192 MiB."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats that are decoded, whatever the name ends with; formats that call other programs are not among them."""


def open_image(path: Path, *, max_pixels: int = MAX_PIXELS, shown: str | None = None) -> Image.Image:
    """Read a picture file whole, upright and in RGB.

    Args:
        path: any of `FORMATS`.
        max_pixels: most width x height.
        shown: what the sentences call the file; by default its path.

    Returns:
        RGB image, no longer tied to the file.

    Raises:
        DataError: absent, no picture, truncated or damaged, or larger than allowed; one sentence.
    """
    shown = str(path) if shown is None else shown
    try:
        with path.open("rb") as file:
            return _decode(file, max_pixels, shown)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{shown}: got no such file; expected a picture.") from error
    # Decoders meet bytes that nobody vouches for and raise almost anything (struct.error, SyntaxError, MemoryError).
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{shown}: this picture cannot be read ({reason}); expected a whole PNG, JPEG or WebP file.") from error


def through_jpeg(image: Image.Image, quality: int | None) -> Image.Image:
    """Return an image as JPEG of that quality brings it, RGB; with None the image itself."""
    if quality is None:
        return image
    import io

    from PIL import Image

    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def _decode(file: BinaryIO, max_pixels: int, shown: str) -> Image.Image:
    from PIL import Image, ImageOps

    Image.init()
    head = file.read(32)
    for name in FORMATS:
        # Pillow's own table of formats, not `Image.open`: that warns or raises about size by global switches, and a
        # warning filter for one call is not safe among threads.
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(head) is not True:
            continue
        file.seek(0)
        try:
            image = factory(file, shown)
        except SyntaxError:
            continue
        width, height = image.size
        if width * height > max_pixels:
            raise DataError(f"{shown}: got {width} x {height} pixels; expected at most {max_pixels} in all. Scale the picture down.")
        image.load()
        if image.mode == "P" and "transparency" in image.info:
            # Straight to RGB Pillow warns about a palette with alpha; the pixels are the same.
            image = image.convert("RGBA")
        return ImageOps.exif_transpose(image).convert("RGB")
    raise DataError(f"{shown}: this picture cannot be read ({_looks_like(head)}); expected a whole PNG, JPEG or WebP file.")


def _looks_like(head: bytes) -> str:
    if not head:
        return "the file is empty"
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        return "its content is text or another format"
    return "its content is no picture of a known format"
