"""The one training sample: text and images in one shared context, in the order in which the model reads and writes them.

Text answers, written images, edits, conversations and interleaved stories differ only in their parts. Text is ChatML, already
defused (a user's words cannot spell a control token); an image stands between `<|vision_start|>` and `<|vision_end|>`, which
the text parts round it carry. Leaves reading files to `uniar.data.records`, token ids and packing to `uniar.training`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A stretch of text."""

    text: str
    learned: bool = False
    """Whether it carries the text loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image, as pixels or as codes."""

    rows: int
    """Visual tokens per column."""
    columns: int
    """Visual tokens per row."""
    written: bool = False
    """Whether the model writes it (it carries the bit loss) or only reads it."""
    image: Image.Image | None = None
    """RGB of exactly rows x columns tokens; or None when `codes` are given."""
    codes: np.ndarray | None = None
    """uint8 (rows * columns, L, G, D) in {0, 1}; or None."""
    original: Image.Image | None = None
    """The image before it was sized, for the decoder's training; kept only where `Sizing.keep_original` asks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSample:
    """One sequence of the shared context."""

    key: str
    """Stable name, for messages and for the seeds of its draws."""
    source: str
    """Name of the data source in the mix, for its weight and its own loss in the log."""
    parts: tuple[Text | Picture, ...]
    unconditional: tuple[Text | Picture, ...] | None = None
    """The same with an empty prompt, taken with the recipe's dropout rate so that guidance works; None where there is
    nothing to drop."""

    @property
    def writes(self) -> bool:
        """Whether it writes an image."""
        return any(isinstance(p, Picture) and p.written for p in self.parts)
