"""A toy task for the tiny model: prompts of different lengths, codes shown as black and white pixels, white is good."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from uniar.generation.codes import Prefix
from uniar.training.engine import Engine
from uniar.training.grpo.config import GrpoConfig
from uniar.training.grpo.records import Record
from uniar.training.grpo.rewards import RewardUse, RewardValue
from uniar.training.grpo.trainer import GrpoStage, Rollout
from uniar.training.optim import EngineConfig

ROWS, COLUMNS, TOKEN = 2, 3, 8
"""Visual tokens of a toy image, and the tiny model's pixels a token."""
PROMPTS, MEMBERS = 4, 8
"""Of a step; 32 images."""


class ToyRecords:
    """Prompts of one to four words that are their own key."""

    def draw(self, seed: int, step: int, count: int) -> list[Record]:
        """See `Records`."""
        made = []
        for number in range(step * count, (step + 1) * count):
            words = [3 + (number * k) % 50 for k in range(1, 2 + number % 4)]
            made.append(Record(key=f"toy:{number}", instruction=" ".join(map(str, words)), number=number, task="toy", metadata={}))
        return made


class WhiteShare:
    """Share of white pixels; a reward of 0 to 1 that does not apply to other tasks."""

    def __init__(self, *, task: str = "toy", failing: Sequence[int] = ()) -> None:
        self.task, self.failing = task, set(failing)

    def rewards(self, images: Any, records: Any) -> list[RewardValue]:
        """See `Reward`."""
        out = []
        for i, (image, record) in enumerate(zip(images, records, strict=True)):
            if record["task"] != self.task:
                out.append(RewardValue(value=None, outcome="not_applicable", reason="another task"))
            elif image is None or i in self.failing:
                out.append(RewardValue(value=None, outcome="failed", reason="no light"))
            else:
                out.append(RewardValue(value=float(np.asarray(image).mean() / 255), outcome="ok"))
        return out


class BlackShare(WhiteShare):
    """The opposite."""

    def rewards(self, images: Any, records: Any) -> list[RewardValue]:
        """See `Reward`."""
        white = super().rewards(images, records)
        return [RewardValue(value=None if w.value is None else 1 - w.value, outcome=w.outcome, reason=w.reason) for w in white]


def prefix_of(record: Record) -> Prefix:
    """The toy tokenizer."""
    return Prefix(input_ids=torch.tensor([*map(int, record.instruction.split()), 62]))


def pixels(codes: torch.Tensor, seeds: Sequence[int]) -> list[Image.Image | None]:
    """The toy decoder: a white pixel for each bit that is set."""
    return [Image.fromarray((c.reshape(c.shape[0], -1) * 255).numpy()) for c in codes]


def toy_stage(
    model: Any, *, rewards: Any = None, parts: Mapping[str, Any] | None = None, prompts: int = PROMPTS, seed: int = 0, **settings: Any
) -> GrpoStage:
    """A stage of the toy task; further keywords are settings."""
    given = rewards or {"white": WhiteShare()}
    uses = tuple(RewardUse(name=name) for name in given)
    size = {"height": ROWS * TOKEN, "width": COLUMNS * TOKEN}
    config = GrpoConfig(**({"rewards": uses, "group_size": MEMBERS, **size} | settings))
    return GrpoStage(model, config, prompts=prompts, seed=seed, rewards=given, **(PARTS | dict(parts or {})))


def train(stage: GrpoStage, folder: Path, *, max_seconds: float | None = None, **settings: Any) -> bool:
    """Go on from the folder's newest state; further keywords are the engine's settings."""
    usual = {"batch_size": PROMPTS, "lr": 0.003, "warmup": 1, "schedule": "constant", "weight_decay": 0.0, "log_every": 1}
    config = EngineConfig(**(usual | {"save_every": 1000} | settings))
    engine = Engine(stage, config, folder=folder, seed=0, say=lambda _: None, describe={})
    engine.resume()
    return engine.run(max_seconds=max_seconds)


def log_of(folder: Path) -> list[dict[str, float]]:
    """The log without what the clock decides."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [{k: v for k, v in line.items() if k != "loading" and not k.endswith("_per_s")} for line in lines]


class Step(NamedTuple):
    """A step without an update."""

    loss: torch.Tensor
    values: dict[str, float]
    """What the log would say of it."""
    pairs: Mapping[str, tuple[float, float]]
    """The same before division: (sum, count)."""
    rollout: Rollout


def one(stage: GrpoStage, step: int = 0, *, prompts: int = PROMPTS) -> Step:
    """Prepare and forward of a whole step, in one process and one micro-batch."""
    prepared = stage.prepare(step, range(step * prompts, (step + 1) * prompts))
    out = stage(prepared.data)
    # As the engine: a step without any image has loss 0.
    loss = out.sums["policy"] / max(prepared.counts["policy"], 1e-8)
    values = {name: total / count for name, (total, count) in out.logged.items() if count}
    return Step(loss, values, out.logged, prepared.data.rollout)


PARTS = {"records": ToyRecords(), "prefix_of": prefix_of, "decode": pixels}
"""What a `GrpoStage` is given beside model, settings and rewards."""


@pytest.fixture(autouse=True)
def _one_thread():
    """Matrices this small are slower on several threads, most of all where other processes want the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """The toy task: `parts`, its rewards, its size in pixels, and what runs it."""
    size = {"height": ROWS * TOKEN, "width": COLUMNS * TOKEN}
    return SimpleNamespace(parts=PARTS, white=WhiteShare, black=BlackShare, size=size, train=train, one=one, log_of=log_of)


@pytest.fixture
def stage_of(tiny_model):
    """Build a stage of the toy task on the tiny model, or on the `model` that is given; see `toy_stage`."""

    def build(*, model: Any = None, **settings: Any) -> GrpoStage:
        return toy_stage(model or tiny_model(), **settings)

    return build
