"""From the bytes of an image to a picture of whole visual tokens: decoding, rows x columns, and the processor's own resize.

Source: Qwen2-VL's smart resize: both sides multiples of a token's pixels, the area within a budget, the aspect kept as well as
that allows. An image that was sized here passes through the checkpoint's processor unchanged. Which file is read is decided in
`uniar.data.records`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from uniar.data.faults import RecordError, broken, reason
from uniar.data.samples import Picture
from uniar.errors import InputError

MAX_ASPECT = 200
"""Longest side / shortest side that the rule takes."""
MAX_PIXELS = 64_000_000
"""Largest image that is decoded, pixels."""
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
_INTERPOLATION = {
    Image.Resampling.NEAREST: InterpolationMode.NEAREST,
    Image.Resampling.BILINEAR: InterpolationMode.BILINEAR,
    Image.Resampling.BICUBIC: InterpolationMode.BICUBIC,
}


class Grid(NamedTuple):
    """Visual tokens of an image."""

    rows: int
    columns: int


def decode_image(file: Any, where: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Bytes -> an upright RGB image.

    Args:
        file: path or binary file.
        where: `file:line: field: name`, for the message.
        max_pixels: a larger image is refused before it is decoded.

    Raises:
        RecordError: of kind "image" or "size".
    """
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                size = f"{image.width} x {image.height} pixels"
                raise broken(where, size, f"at most {max_pixels} pixels", kind="size", remedy="Make it smaller.")
            if image.mode[0] in "IF":
                raise broken(where, f"an image of mode {image.mode}", "8 bits a channel", kind="image", remedy="Convert it.")
            # Transparency is ignored, as the verbs ignore it; Pillow warns of that for palettes.
            image.info.pop("transparency", None)
            return ImageOps.exif_transpose(image).convert("RGB")
    except RecordError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise broken(where, "a huge image", f"at most {max_pixels} pixels", kind="size", remedy="Make it smaller.") from None
    # A damaged file makes Pillow's decoders raise almost any of these.
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, struct.error) as error:
        raise broken(where, f"a file that cannot be decoded ({reason(error)})", ", ".join(_FORMATS), kind="image") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizing:
    """The settings of an image processor that decide sizes."""

    unit: int
    """Side of a visual token, pixels."""
    min_pixels: int
    """Smallest area of a resized image, pixels."""
    max_pixels: int
    """Largest area of a resized image, pixels."""
    resample: int = int(Image.Resampling.BICUBIC)
    """PIL's number of the interpolation."""
    keep_original: bool = False
    """Whether pictures also keep the image as it was read."""

    def __post_init__(self) -> None:
        if self.unit < 1 or not 1 <= self.min_pixels <= self.max_pixels or self.max_pixels < self.unit**2:
            raise InputError(
                f"sizing: got tokens of {self.unit} pixels and {self.min_pixels} to {self.max_pixels} pixels an image; "
                "expected a positive unit and a budget, smallest first, that holds one token."
            )
        if self.resample not in _INTERPOLATION:
            known = ", ".join(str(int(k)) for k in _INTERPOLATION)
            raise InputError(f"sizing: resample: got {self.resample}; expected one of {known} (PIL's numbers).")

    @classmethod
    def from_processor(cls, image_processor: Any) -> Sizing:
        """The settings of a Qwen2-VL image processor, or of the processor that holds one."""
        p = getattr(image_processor, "image_processor", image_processor)
        return cls(
            unit=p.patch_size * p.merge_size,
            min_pixels=int(p.size["shortest_edge"]),
            max_pixels=int(p.size["longest_edge"]),
            resample=int(p.resample),
        )

    def grid(self, height: int, width: int) -> Grid:
        """Rows and columns of an image of height x width pixels.

        Raises:
            InputError: an image so long and thin, or a budget so narrow, that no grid fits.
        """
        if min(height, width) < 1 or max(height, width) > MAX_ASPECT * min(height, width):
            raise InputError(f"size: got {width} x {height} pixels; expected sides at most {MAX_ASPECT} times each other. Crop it.")
        u = self.unit
        # The same arithmetic as the processor's, rounding half to even included.
        rows, columns = round(height / u), round(width / u)
        if rows * columns * u * u > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            rows, columns = max(1, math.floor(height / shrink / u)), max(1, math.floor(width / shrink / u))
        elif rows * columns * u * u < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            rows, columns = math.ceil(height * grow / u), math.ceil(width * grow / u)
        if not self.keeps(Grid(rows, columns)):
            raise InputError(
                f"size: got {width} x {height} pixels, which become {columns * u} x {rows * u}, and the processor would size that again; "
                f"expected {self.min_pixels} to {self.max_pixels} pixels after the resize. Crop it."
            )
        return Grid(rows, columns)

    def keeps(self, grid: Grid) -> bool:
        """Whether the processor leaves an image of that grid as it is."""
        area = grid.rows * grid.columns * self.unit**2
        return self.min_pixels <= area <= self.max_pixels and max(grid) <= MAX_ASPECT * min(grid)

    def fit(self, image: Image.Image) -> Image.Image:
        """Resize an image as the processor would: RGB, both sides multiples of `unit`."""
        image = image.convert("RGB")
        rows, columns = self.grid(image.height, image.width)
        size = [rows * self.unit, columns * self.unit]
        if size == [image.height, image.width]:
            return image
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        resized = F.resize(pixels, size, interpolation=_INTERPOLATION[Image.Resampling(self.resample)], antialias=True)
        return Image.fromarray(resized.permute(1, 2, 0).contiguous().numpy())

    def picture(self, image: Image.Image, grid: Grid | None = None) -> Picture:
        """A sized image.

        Args:
            image: any size and mode.
            grid: None fits the image by the rule; else it is resized to this grid with PIL's default, as the verb `edit` does with
                an input image.

        Raises:
            InputError: see `grid`.
        """
        original = image if self.keep_original else None
        if grid is None:
            image = self.fit(image)
        else:
            image = image.convert("RGB").resize((grid.columns * self.unit, grid.rows * self.unit))
        return Picture(rows=image.height // self.unit, columns=image.width // self.unit, image=image, original=original)
