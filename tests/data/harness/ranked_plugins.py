"""Models of known skill: each paints a dark square with its own probability, on prompts of which some are harder for all."""

import random
from pathlib import Path

from PIL import Image

from evals.errors import ModelError
from evals.protocols import Generation
from evals.types import Outcome, Sample, Score


class Painter:
    """`skill=0.8;name=...`; `fail=ID` fails on one sample. Without a name it stands in the file name.txt beside this one."""

    verbs = frozenset({"generate"})
    name = "painter"

    def __init__(self, *, source: str = "") -> None:
        self.options = dict(part.split("=", 1) for part in source.split(";") if part)

    def fingerprint(self):
        name = self.options.get("name") or Path(__file__).with_name("name.txt").read_text("utf-8")
        return {"id": name, "sha256": self.options.get("skill", "1").ljust(64, "0"), "bundled": False, "num_parameters": 12_000}

    def run(self, items):
        return [self._one(item) for item in items]

    def _one(self, item):
        if item.sample.sample_id == self.options.get("fail"):
            raise ModelError("the prompt is too long")
        hard = random.Random(item.sample.sample_id).random()
        own = random.Random(f"{self.options.get('name')}{item.key}").random()
        dark = own < float(self.options.get("skill", 1)) * (1.25 - hard / 2)
        return Generation(image=Image.new("RGB", (8, 8), "black" if dark else "white"))


class Squares:
    """Two tasks with short prompts, or longer ones of the same meaning."""

    def __init__(self, *, prompts: int = 4, rewritten: bool = False) -> None:
        self.prompts, self.rewritten = prompts, rewritten

    def load(self):
        for task in ("round_one", "round_two"):
            for number in range(self.prompts):
                prompt = f"a dark square, number {number}" if self.rewritten else f"dark {number}"
                yield Sample(sample_id=f"{task}-{number:03d}", task=task, prompt=prompt)


class Dark:
    """Correct when the first pixel is dark."""

    name = "dark"
    version = "1"
    source = "made up"

    def __init__(self, *, roles, threshold: int = 128) -> None:
        self.threshold = threshold

    def canary(self):
        pass

    def score(self, sample, output, image):
        return Score(
            sample_id=sample.sample_id,
            task=sample.task,
            repeat=output.repeat,
            scorer="dark",
            outcome=Outcome.OK,
            values={"correct": float(image.getpixel((0, 0))[0] < self.threshold)},
        )


PLUGINS = {"model": {"painter": Painter}, "dataset": {"squares": Squares}, "scorer": {"dark": Dark}}
