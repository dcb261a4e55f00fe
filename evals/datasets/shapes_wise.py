"""WISE-mini: prompts of the mini world that leave something open which the world always answers alike.

WISE asks for what a prompt does not name but the world knows. The mini world has such knowledge in its habits: a star is
yellow unless told otherwise, an object is large and in the middle, the ground is gray, the first of two stands left. Categories
are those habits, under their own names; they are not WISE's. Leaves judging to `evals.judges.shapes_wise`.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.errors import DataError
from evals.types import Sample

CATEGORIES: tuple[str, ...] = ("habit_color", "habit_size", "habit_place", "habit_ground", "habit_order")
"""Equal weights."""


class ShapesWiseDataset:
    """Five habits, one prompt a shape in each; all combinations are ones that training shows."""

    def __init__(self, *, seed: int = 0, prompts_per_category: int = 8) -> None:
        """Fix the draw.

        Args:
            seed: of the colours and pairs that are drawn.
            prompts_per_category: 1 to 8, the number of shapes.

        Raises:
            DataError: another number of prompts.
        """
        if not 1 <= prompts_per_category <= 8:
            raise DataError(f"shapes-wise: prompts_per_category: got {prompts_per_category}; expected 1 to 8. Change it.")
        self.seed = seed
        self.count = prompts_per_category

    def load(self) -> Iterator[Sample]:
        """Yield samples by category; `metadata` has the fields of WISE's rows, prompt ids from 1."""
        import numpy as np

        from uniar.data.shapes import COLORS, SHAPES, USUAL_COLOR, is_held_out_pair, is_held_out_relation

        rng = np.random.default_rng(self.seed)

        def article(words: str) -> str:
            return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"

        def colored(shape: str) -> str:
            known = [color for color in COLORS if not is_held_out_pair(shape, color)]
            return f"{known[rng.integers(len(known))]} {shape}"

        def other(shape: str) -> str:
            known = [b for b in SHAPES if b != shape and not is_held_out_relation(shape, "left of", b)]
            return known[rng.integers(len(known))]

        number = 0
        for category in CATEGORIES:
            for shape in SHAPES[: self.count]:
                if category == "habit_color":
                    asked, expected = article(shape), f"one {USUAL_COLOR[shape]} {shape}"
                elif category in ("habit_size", "habit_place"):
                    words = colored(shape)
                    asked = article(words)
                    expected = f"one large {words}" if category == "habit_size" else f"one {words} in the center"
                else:
                    second = other(shape)
                    asked, expected = f"{article(shape)} and {article(second)}", f"one {shape} and one {second}"
                    expected += " on a gray background" if category == "habit_ground" else f", the {shape} left of the {second}"
                number += 1
                row = {
                    "Prompt": f"a photo of {asked}",
                    "Explanation": expected,
                    "Category": category,
                    "prompt_id": number,
                    "category": category,
                    "category_weight": 1 / len(CATEGORIES),
                }
                yield Sample(sample_id=f"{number:04d}", task=category, prompt=row["Prompt"], metadata=row)
