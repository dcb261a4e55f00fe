"""Smallest plugins of each kind: a model that paints its seed, toy prompts, a scorer that reads a pixel."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from evals.errors import CanaryError, ModelError
from evals.protocols import Generation
from evals.types import Outcome, Sample, Score


class ToyModel:
    """Options come in the source: `fail=ID;batchfail=1;sleep=0.1;log=FILE;short=1;interrupt=ID;sha=x`."""

    verbs = frozenset({"generate"})
    name = "toy"

    def __init__(self, *, source: str = "", device: str = "cpu") -> None:
        self.device = device
        self.options = dict(part.split("=", 1) for part in source.split(";") if part)

    def fingerprint(self):
        return {"id": "toy", "sha256": self.options.get("sha", "0" * 64), "bundled": "bundled" in self.options}

    def run(self, items):
        option = self.options.get
        if "log" in self.options:
            with Path(option("log")).open("a") as log:
                log.writelines(f"{item.key}\n" for item in items)
        if "batchfail" in self.options and len(items) > 1:
            raise RuntimeError("a batch\nis too much")
        time.sleep(float(option("sleep", 0)) * len(items))
        made = []
        for item in items:
            sample_id = item.sample.sample_id
            if sample_id == option("interrupt"):
                raise KeyboardInterrupt
            if sample_id == option("fail"):
                raise ModelError("the prompt is too long")
            if sample_id == option("missing"):
                made.append(Generation(error="no such image", outcome=Outcome.MISSING))
                continue
            rng = np.random.default_rng(item.seed)
            pixels = rng.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
            codes = rng.integers(0, 2, size=(4, 2, 4, 5), dtype=np.uint8)
            made.append(Generation(image=Image.fromarray(pixels), codes=codes))
        return made[:-1] if "short" in self.options and len(items) > 1 else made


class ToyDataset:
    """Tasks `a`, `b`, ... with prompts each; the second half of a task is `unseen`."""

    def __init__(self, *, prompts: int = 4, tasks: int = 2, ids: str = "plain", table: Path | None = None) -> None:
        self.prompts, self.tasks, self.ids = prompts, tasks, ids

    def load(self):
        for t in range(self.tasks):
            for p in range(self.prompts):
                task = "abcdefgh"[t]
                yield Sample(
                    sample_id={"plain": f"{task}-{p:03d}", "same": "x", "bad": "../x"}[self.ids],
                    task=task,
                    prompt=f"toy {task} {p} \u00e9",
                    metadata={"z": 1, "a": p},
                    tags=("unseen" if p >= self.prompts // 2 else "seen",),
                )


class ToyScorer:
    """Correct when the first pixel is dark."""

    name = "toy"
    version = "1"
    source = "made up"

    def __init__(self, *, roles, threshold: int = 128, explode: str = "", canary: str = "", nan: bool = False) -> None:
        self.roles, self.threshold, self.explode, self._canary, self.nan = roles, threshold, explode, canary, nan

    def canary(self):
        if self._canary == "wrong":
            raise CanaryError("scorer toy: canary: got 0; expected 1.")
        if self._canary == "broken":
            raise RuntimeError("no canary today")

    def score(self, sample, output, image):
        if sample.sample_id == self.explode:
            raise ValueError("cannot judge this")
        red = image.getpixel((0, 0))[0]
        value = float("nan") if self.nan else float(red < self.threshold)
        return Score(
            sample_id=sample.sample_id,
            task=sample.task,
            repeat=output.repeat,
            scorer="toy",
            outcome=Outcome.OK,
            values={"correct": value},
            reason=f"red is {red}",
        )


class ToyRole:
    """A detector without abilities."""

    name = "toy"

    def __init__(self, *, weights: str = "here") -> None:
        if weights != "here":
            raise ModelError("detector toy: got no weights; fetch toy.bin and put it in ./weights.")


PLUGINS = {
    "model": {"toy": ToyModel},
    "dataset": {"toy": ToyDataset},
    "scorer": {"toy": ToyScorer},
    "detector": {"toy": ToyRole},
}
