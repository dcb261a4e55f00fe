"""A positive control for the text suites: it writes what stands in double quotes in a prompt, with Pillow.

Not a model that learned anything. What the suites give it says what the OCR engine can read at best; noise, rotation and other
settings say how the score falls when the writing gets worse.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import ModelError
from evals.protocols import Generation
from evals.types import WorkItem

if TYPE_CHECKING:
    from PIL import Image, ImageFont

_QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”')
_CHINESE = re.compile("[\u3000-\u9fff\uff00-\uffef]")
_DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
FONTS = {
    "sans": _DEJAVU / "DejaVuSans.ttf",
    "bold": _DEJAVU / "DejaVuSans-Bold.ttf",
    "serif": _DEJAVU / "DejaVuSerif.ttf",
    "mono": _DEJAVU / "DejaVuSansMono.ttf",
}
"""Beside `default`, the font that Pillow carries."""
CHINESE_FONTS = (
    Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc"),
    Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"),
)
"""Where Debian's packages put fonts with Chinese; the first that exists is used."""
PAIRS = (
    ("black", "white"), ("white", "black"), ("navy", "ivory"), ("darkred", "white"), ("darkgreen", "beige"), ("yellow", "navy"),
    ("white", "teal"), ("black", "gold"), ("purple", "white"), ("white", "maroon"),
)  # fmt: skip
"""(ink, paper) by an item's seed, unless both are set."""
_MARGIN = 0.08
_KINDS: dict[str, type] = {
    "font": str, "ink": str, "paper": str, "size": int, "text_size": int, "rotation": float, "noise": float
}  # fmt: skip


class TextRendererModel:
    """Writer with Pillow; `--model text-renderer:noise=0.2,font=serif`.

    Args:
        source: settings `name=value`, separated by commas: `font` (`default`, `sans`, `bold`, `serif`, `mono` or a font file; Chinese
            falls to a Chinese font), `ink` and `paper` (colour names, both or neither), `size` (side of the canvas in pixels, 512),
            `text_size` (pixels; 0 takes what fits, up to an eighth of the side), `rotation` (degrees), `noise` (standard deviation of
            Gaussian noise, 1 is the whole range).

    Raises:
        ModelError: an unknown setting, or a value that cannot be.
    """

    verbs = frozenset({"generate"})
    name = "text-renderer"

    def __init__(self, *, source: str = "") -> None:
        self.settings: dict[str, Any] = {
            "font": "default", "ink": "", "paper": "", "size": 512, "text_size": 0, "rotation": 0.0, "noise": 0.0
        }  # fmt: skip
        for part in filter(None, source.split(",")):
            name, equals, value = part.partition("=")
            if name not in _KINDS or not equals:
                raise ModelError(f'--model: text-renderer: got "{part}"; expected NAME=VALUE with a name of {", ".join(_KINDS)}.')
            try:
                self.settings[name] = _KINDS[name](value)
            except ValueError as error:
                raise ModelError(f'--model: text-renderer: {name}: got "{value}"; expected {_KINDS[name].__name__}.') from error
        self._check()

    def _check(self) -> None:
        s = self.settings
        for name, low, high in (("size", 64, 4096), ("text_size", 0, 1024), ("rotation", -180, 180), ("noise", 0, 4)):
            if not low <= s[name] <= high:
                raise ModelError(f"--model: text-renderer: {name}: got {s[name]}; expected {low} to {high}.")
        if bool(s["ink"]) != bool(s["paper"]):
            raise ModelError("--model: text-renderer: got one of ink and paper; expected both or neither.")
        if s["font"] != "default" and not self._file().is_file():
            raise ModelError(
                f"--model: text-renderer: font: got {s['font']}, and no file {self._file()}; use default, {', '.join(FONTS)} or a file."
            )
        from PIL import ImageColor

        for name in filter(None, (s["ink"], s["paper"])):
            try:
                ImageColor.getrgb(name)
            except ValueError as error:
                raise ModelError(f'--model: text-renderer: got the colour "{name}"; expected a name such as navy.') from error

    def _file(self) -> Path:
        return FONTS.get(self.settings["font"], Path(self.settings["font"]))

    def fingerprint(self) -> dict[str, Any]:
        """Return the settings, and a sha256 over them and the font files."""
        total = hashlib.sha256(repr(sorted(self.settings.items())).encode())
        for path in (self._file(), _chinese_font()):
            if path is not None and path.is_file():
                total.update(path.read_bytes())
        return {"id": self.name, "sha256": total.hexdigest(), "settings": dict(self.settings), "bundled": False}

    def run(self, items: Sequence[WorkItem]) -> list[Generation]:
        """Write one image an item; a prompt without quoted text is its own failure.

        Raises:
            ModelError: Chinese is asked for and this machine has no font with it.
        """
        return [self._write(item) for item in items]

    def _write(self, item: WorkItem) -> Generation:
        texts = [straight or curled for straight, curled in _QUOTED.findall(item.sample.prompt)]
        if not texts:
            return Generation(error="The prompt has no text in double quotes to write.")
        import numpy as np
        from PIL import Image

        s = self.settings
        rng = np.random.default_rng(item.seed)
        ink, paper = (s["ink"], s["paper"]) if s["ink"] else PAIRS[int(rng.integers(len(PAIRS)))]
        image = self._page(texts, ink, paper)
        if image is None:
            return Generation(error=f"The text does not fit on {s['size']} pixels; a larger size= would do.")
        if s["rotation"]:
            image = image.rotate(s["rotation"], resample=Image.Resampling.BICUBIC, fillcolor=paper)
        if s["noise"]:
            noisy = np.asarray(image, np.float32) + rng.normal(0, 255 * s["noise"], (*image.size[::-1], 3))
            image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        return Generation(image=image)

    def _page(self, texts: Sequence[str], ink: str, paper: str) -> Image.Image | None:
        # None when the text does not fit at the smallest size.
        from PIL import Image, ImageDraw

        side = self.settings["size"]
        # Turned text must stay on the page.
        room = side * (1 - 2 * _MARGIN) * (0.8 if self.settings["rotation"] else 1.0)
        image = Image.new("RGB", (side, side), paper)
        draw = ImageDraw.Draw(image)
        chinese = any(_CHINESE.search(text) for text in texts)
        largest = self.settings["text_size"] or side // 8
        for size in range(largest, 7, -1):
            font = self._font(size, chinese)
            block = "\n\n".join("\n".join(_wrapped(text, font, room)) for text in texts)
            left, top, right, bottom = draw.multiline_textbbox((0, 0), block, font=font, spacing=size * 0.3)
            if right - left <= room and bottom - top <= room:
                break
        else:
            return None
        draw.multiline_text((side / 2, side / 2), block, font=font, fill=ink, anchor="mm", align="center", spacing=size * 0.3)
        return image

    def _font(self, size: int, chinese: bool) -> ImageFont.FreeTypeFont:
        from PIL import ImageFont

        if chinese:
            own = self._file() if self.settings["font"] not in ("default", *FONTS) else _chinese_font()
            if own is None:
                raise ModelError(
                    "--model: text-renderer: got Chinese text, but no font with Chinese is installed; expected one. Install it "
                    "with `apt-get install fonts-wqy-microhei`, or give font=FILE."
                )
            return ImageFont.truetype(str(own), size)
        if self.settings["font"] == "default":
            return ImageFont.load_default(size)
        return ImageFont.truetype(str(self._file()), size)


def _chinese_font() -> Path | None:
    return next((path for path in CHINESE_FONTS if path.is_file()), None)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, room: float) -> list[str]:
    # Greedy lines; Chinese may break anywhere.
    parts = list(text) if _CHINESE.search(text) else [f"{word} " for word in text.split()]
    lines = [""]
    for part in parts:
        if lines[-1] and font.getlength((lines[-1] + part).rstrip()) > room:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]
