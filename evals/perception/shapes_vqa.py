"""The mini world's answers to "a red star?" and its reading of prompts: by the detector and by the vocabulary, no weights.

The answer is certain, so the probability of yes is 0 or 1. Prompts of the mini world have few forms; what stands in them are
shapes, each perhaps with a colour before it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evals.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

_SURE = 0.5
"""Score from which a detection counts, as in the official detector's setting."""


class ShapesVqa:
    """Yes when the picture holds such a shape."""

    name = "shapes"

    def probability(self, image: Image.Image, question: str) -> float:
        """Return 1.0 for yes and 0.0 for no.

        Args:
            image: RGB.
            question: `a star?` or `a red star?`.

        Raises:
            DataError: a question of another form.
        """
        from evals.perception.shapes import ShapesDetector
        from uniar.data.shapes import COLORS, SHAPES

        words = re.fullmatch(rf"(?:an? |the )?(?:({'|'.join(COLORS)}) )?({'|'.join(SHAPES)})s?\?", question.strip())
        if words is None:
            raise DataError(f'vqa shapes: got the question "{question}"; expected "a red star?" or "a star?". Use a mini suite.')
        color, shape = words.groups()
        found = ShapesDetector().detect(image, [shape])
        return float(any(d.score >= _SURE and color in (None, d.color) for d in found))


class ShapesPhrases:
    """Shapes, and the colours before them, of a prompt of the mini world."""

    name = "shapes"

    def chunks(self, text: str) -> list[str]:
        """Return `a red star`, `a circle`, in order."""
        from uniar.data.shapes import COLORS, SHAPES

        return re.findall(rf"\ban? (?:(?:{'|'.join(COLORS)}) )?(?:{'|'.join(SHAPES)})\b", text)

    def tokens(self, text: str) -> list[tuple[str, str]]:
        """Return the words: shapes are nouns, colours adjectives, all else `X`."""
        from uniar.data.shapes import COLORS, SHAPES

        nouns = {*SHAPES, *(f"{shape}{'es' if shape.endswith('s') else 's'}" for shape in SHAPES)}
        return [(word, "NOUN" if word in nouns else "ADJ" if word in COLORS else "X") for word in re.findall(r"\w+|[^\w\s]", text)]
