"""T2I-CompBench-mini: four of its categories over the mini world's shapes and colours.

Prompts have the forms that the mini world speaks (GenEval's), drawn by the generator of `evals.datasets.geneval`; texture,
depth, non-spatial and complex prompts have no counterpart there. Categories keep the names of the rule that judges them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evals.datasets.geneval import generate_rows
from evals.errors import DataError
from evals.types import Sample

FORMS: dict[str, str] = {"color": "color_attr", "shape": "two_object", "spatial": "position", "numeracy": "counting"}
"""Category -> form of its prompts."""
_LOCALITY = {"left of": "on the left of", "right of": "on the right of", "above": "on the top of", "below": "on the bottom of"}
_DRAWS = 400


class ShapesCompBenchDataset:
    """Two coloured shapes, two shapes, one placed from another, two to four of a kind."""

    def __init__(self, *, seed: int = 7, prompts_per_category: int = 12) -> None:
        """Fix the draw.

        Args:
            seed: of the generator.
            prompts_per_category: rows kept in each of the four categories.

        Raises:
            DataError: no prompt, or more than the vocabulary has.
        """
        # Counting has eight shapes times three numbers.
        if not 1 <= prompts_per_category <= 24:
            raise DataError(f"shapes-compbench: prompts_per_category: got {prompts_per_category}; expected 1 to 24. Change it.")
        self.seed = seed
        self.count = prompts_per_category

    def load(self) -> Iterator[Sample]:
        """Yield samples by category, ids `<category>-<index>` with five digits."""
        from uniar.data.shapes import COLORS, SHAPES

        rows = generate_rows(SHAPES, COLORS, seed=self.seed, prompts_per_task=_DRAWS, uncolored=())
        for category, form in FORMS.items():
            for index, row in enumerate([row for row in rows if row["tag"] == form][: self.count]):
                metadata: dict[str, Any] = {"category": category, "prompt_index": index}
                include = row["include"]
                if category == "spatial":
                    # The placed one comes first in the words, its reference first in the row.
                    metadata["objects"] = [include[1]["class"], include[0]["class"]]
                    metadata["locality"] = _LOCALITY[include[1]["position"][0]]
                elif category == "numeracy":
                    metadata["wanted"] = [[include[0]["class"], include[0]["count"]]]
                yield Sample(sample_id=f"{category}-{index:05d}", task=category, prompt=row["prompt"], metadata=metadata)
