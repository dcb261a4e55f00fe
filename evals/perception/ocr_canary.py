"""The self-check of every OCR engine: a word drawn in code must be read, and an empty canvas must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.errors import CanaryError
from evals.protocols import Ocr

if TYPE_CHECKING:
    from PIL import Image

WORD = "Harbor 27"


def canary_image(text: str = WORD) -> Image.Image:
    """Draw a text in black on white with the font that Pillow carries, 256 x 256 pixels."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(image).text((128, 128), text, font=ImageFont.load_default(48), fill="black", anchor="mm")
    return image


def check_reading(ocr: Ocr) -> None:
    """Let an engine read the word and an empty canvas.

    Raises:
        CanaryError: it reads something else.
    """
    got = _squeezed(ocr, WORD)
    if got != WORD.replace(" ", "").lower():
        raise CanaryError(
            f'ocr {ocr.name}: canary: got "{got}"; expected "{WORD}", which was drawn. The engine does not read; no score was written.'
        )
    nothing = _squeezed(ocr, "")
    if nothing:
        raise CanaryError(
            f'ocr {ocr.name}: canary: got "{nothing}" on an empty canvas; expected no text. The engine makes text up; no score was written.'
        )


def _squeezed(ocr: Ocr, text: str) -> str:
    read = "".join(line.text for line in ocr.read(canary_image(text)))
    return "".join(read.split()).lower()
