"""T2I-CompBench's validation prompts out of its published text files.

Source: Karine-Huang/T2I-CompBench 1b70949, `examples/dataset/<category>_val.txt` (300 lines each), `new_objects.txt`,
`complex_val_spatial.txt`, `complex_val_action.txt`. Ten images a prompt; the official file name of an image is
`<prompt>_<6-digit number>.png`, numbered through prompts and images (`official_name`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evals.datasets.local import benchmark_folder, data_file
from evals.errors import DataError
from evals.types import Sample

IMAGES = 10
"""Images a prompt in the official set-up."""
CATEGORIES: tuple[str, ...] = ("color", "shape", "texture", "spatial", "3d_spatial", "numeracy", "non_spatial", "complex")


def official_name(prompt: str, index: int, repeat: int, *, images: int = IMAGES) -> str:
    """Return the benchmark's file name of an image.

    >>> official_name("a red cup", 3, 2)
    'a red cup_000032.png'
    """
    return f"{prompt}_{index * images + repeat:06d}.png"


class CompBenchDataset:
    """One sample a prompt, its category as the task."""

    def __init__(self, *, categories: list, folder: str | None = None) -> None:
        """Name the categories.

        Args:
            categories: some of `CATEGORIES`, in the order wanted.
            folder: a copy of the benchmark's repository or of its folder `examples/dataset`; None looks under the data root.

        Raises:
            DataError: no category, or an unknown one.
        """
        unknown = [one for one in categories if one not in CATEGORIES]
        if unknown or not categories:
            raise DataError(f"compbench: categories: got {unknown[0] if unknown else 'none'}; expected some of {', '.join(CATEGORIES)}.")
        self.categories = list(dict.fromkeys(categories))
        self.folder = folder

    def load(self) -> Iterator[Sample]:
        """Yield the prompts, ids `<category>-<index>` with five digits.

        Raises:
            DataError: a file that is missing, empty or malformed.
        """
        for category in self.categories:
            prompts = self._lines(f"{category}_val.txt")
            told = self._told(category, prompts)
            for index, prompt in enumerate(prompts):
                metadata = {"category": category, "prompt_index": index, **told[index]}
                yield Sample(sample_id=f"{category}-{index:05d}", task=category, prompt=prompt, metadata=metadata)

    def _told(self, category: str, prompts: Sequence[str]) -> list[dict[str, Any]]:
        # What a category's scorer needs beside the prompt, read from the benchmark's lists.
        from evals.scorers.compbench_parts import words_of
        from evals.scorers.compbench_rules import complex_kind, wanted_numbers

        if category == "numeracy":
            plurals = self._plurals()
            return [{"wanted": [list(pair) for pair in wanted_numbers(words_of(prompt), plurals)]} for prompt in prompts]
        if category == "complex":
            spatial, action = self._lines("complex_val_spatial.txt"), self._lines("complex_val_action.txt")
            return [{"kind": complex_kind(prompt, spatial, action)} for prompt in prompts]
        return [{} for _ in prompts]

    def _plurals(self) -> dict[str, str]:
        # Lines `singular - plural`; of a plural that comes twice the first counts.
        found: dict[str, str] = {}
        for number, line in enumerate(self._lines("new_objects.txt"), 1):
            singular, dash, plural = (part.strip().lower() for part in line.partition(" - "))
            if not dash or not plural:
                raise DataError(f'compbench: new_objects.txt:{number}: got "{line}"; expected "singular - plural". Fetch the file again.')
            found.setdefault(plural, singular)
        return found

    def _lines(self, name: str) -> list[str]:
        root = benchmark_folder("compbench", self.folder)
        inside = (root / "examples" / "dataset").is_dir()
        path = data_file("compbench", f"examples/dataset/{name}" if inside else name, folder=self.folder)
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: got unreadable text ({error}); expected a prompt a line. Fetch the file again.") from error
        lines = [line for line in lines if line]
        if not lines:
            raise DataError(f"{path}: got no line; expected a prompt a line. Fetch the file again.")
        return lines
