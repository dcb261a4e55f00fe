"""Rows out of a file as samples, and a model that paints a smooth picture of each seed: for tests of image layouts."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from evals.protocols import Generation
from evals.types import Outcome, Sample, Score


class RowsDataset:
    """One sample a line: `{"sample_id", "task", "prompt", "metadata", "image"?}`."""

    def __init__(self, *, rows: Path) -> None:
        self.rows = Path(rows)
        self.root = self.rows.parent

    def load(self):
        for line in self.rows.read_text().splitlines():
            yield Sample(**json.loads(line))


class PaintModel:
    """Smooth colours, 24 px; `skip=ID/REPEAT` leaves one out, `wide=1` makes them 32 x 24."""

    verbs = frozenset({"generate", "edit"})
    name = "paint"

    def __init__(self, *, source: str = "") -> None:
        self.options = dict(part.split("=", 1) for part in source.split(";") if part)

    def fingerprint(self):
        return {"id": "paint", "sha256": "0" * 64, "bundled": False}

    def run(self, items):
        for item in items:
            if self.options.get("skip") == f"{item.sample.sample_id}/{item.repeat}":
                yield Generation(error="left out", outcome=Outcome.MISSING)
                continue
            corner = np.random.default_rng(item.seed).integers(40, 200, size=3)
            width = 32 if "wide" in self.options else 24
            slope = np.linspace(0, 40, width)[None, :, None] * np.ones((24, 1, 3))
            yield Generation(image=Image.fromarray((corner + slope).astype(np.uint8)))


class AnyScorer:
    """Everything is right."""

    name, version, source = "any", "1", "made up"

    def __init__(self, *, roles) -> None:
        pass

    def canary(self):
        pass

    def score(self, sample, output, image):
        return Score(
            sample_id=sample.sample_id, task=sample.task, repeat=output.repeat, scorer="any", outcome=Outcome.OK, values={"correct": 1.0}
        )


PLUGINS = {"dataset": {"rows": RowsDataset}, "model": {"paint": PaintModel}, "scorer": {"any": AnyScorer}}
