"""Layouts with a folder a prompt or a task: GenEval and GEdit.

Sources: djghosh13/geneval af4902f `evaluate_images.py`; Step1X-Edit 570eba6 `GEdit-Bench`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evals.errors import DataError
from evals.layouts.base import Found, Layout, Part, Picture, number_of
from evals.types import Sample


class GenEvalLayout(Layout):
    """`00007/metadata.jsonl` with one JSON object, `00007/samples/0000.png`; folders by row number."""

    name = "geneval"

    def parts(self, pictures: Sequence[Picture], *, model: str) -> Iterator[Part]:
        """Yield metadata and pictures; a missing picture is a missing file, as the official code takes any number."""
        for picture in pictures:
            folder = self._folder(picture.sample)
            if number_of(folder) is None:
                raise DataError(
                    f"layout geneval: {picture.sample.sample_id}: got an id that ends in no number; expected the row number of a prompt. "
                    "This run is of another benchmark."
                )
            yield Part(f"{folder}/metadata.jsonl", text=json.dumps(official_row(picture.sample)))
            for repeat, path in enumerate(picture.images):
                if path is not None:
                    yield Part(f"{folder}/samples/{repeat:04d}.png", (path,))

    def find(self, sample: Sample, repeat: int) -> Found:
        """File names are only ordered there, their width varies: any name that is the repeat's number is taken."""
        number = self._folder(sample)
        folder = f"{number}/samples"
        told = self._told(number)
        if told is not None and told not in (sample.prompt, sample.metadata.get("prompt"), sample.metadata.get("short_prompt")):
            # Row numbers fit any benchmark: pictures of another one would be judged by the wrong rows.
            return Found(folder, problem=f'{number}: these pictures are of the prompt "{told[:80]}", not of this sample.')
        for name in self._names(folder):
            stem, dot, suffix = name.rpartition(".")
            if dot and suffix == "png" and number_of(stem) == repeat:
                return self._at(f"{folder}/{name}")
        return Found(f"{folder}/{repeat:05d}.png")

    @classmethod
    def fits(cls, metadata: Mapping[str, object]) -> bool:
        """Rows with tag and include."""
        return "tag" in metadata and "include" in metadata

    def _told(self, folder: str) -> str | None:
        # What the folder's own row says it was made for: GenEval's file, or that of UniAR's script.
        for name in ("metadata.jsonl", "metadata.json"):
            path = self.root / folder / name
            try:
                row = json.loads(path.read_text("utf-8")) if path.is_file() else None
            except (OSError, ValueError):
                row = None
            if isinstance(row, dict) and isinstance(row.get("prompt"), str):
                return str(row["prompt"])
        return None

    @staticmethod
    def _folder(sample: Sample) -> str:
        number = number_of(sample.sample_id.rpartition("-")[2])
        return sample.sample_id if number is None or number > 99999 else f"{number:05d}"


def official_row(sample: Sample) -> dict[str, Any]:
    """Return a sample's row as GenEval's reader wants it: tag, include, exclude where there is one, and the short prompt."""
    row = sample.metadata
    kept = {key: row[key] for key in ("tag", "include", "exclude") if key in row}
    return {**kept, "prompt": row.get("short_prompt", row.get("prompt", sample.prompt))}


class GEditLayout(Layout):
    """`fullset/<task_type>/<language>/<key>.png` and `<key>_SRCIMG.png` beside it."""

    name = "gedit"
    per_prompt = 1

    def parts(self, pictures: Sequence[Picture], *, model: str) -> Iterator[Part]:
        """Yield each edited picture and its input."""
        for picture in pictures:
            stem = self._stem(picture.sample)
            if picture.images and picture.images[0] is not None:
                yield Part(f"{stem}.png", picture.images[:1])
            if picture.source is not None:
                yield Part(f"{stem}_SRCIMG.png", (picture.source,))

    def find(self, sample: Sample, repeat: int) -> Found:
        """There is one picture an item; further repeats are missing."""
        stem = self._stem(sample)
        return self._at(f"{stem}.png") if repeat == 0 else Found(f"{stem}.png of repeat {repeat}")

    @classmethod
    def fits(cls, metadata: Mapping[str, object]) -> bool:
        """Rows with task_type, key and language."""
        return {"task_type", "key"} <= set(metadata)

    def _stem(self, sample: Sample) -> str:
        task, key = self._field(sample, "task_type"), self._field(sample, "key")
        return f"fullset/{task}/{self._field(sample, 'instruction_language', 'language')}/{key}"
