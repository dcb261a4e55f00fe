"""A toy task for the tiny model: prompts of different lengths, codes shown as black and white pixels, white is good."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from uniar.generation.codes import Prefix
from uniar.training.grpo.records import Record
from uniar.training.grpo.rewards import RewardValue

ROWS, COLUMNS, TOKEN = 2, 3, 8
"""Visual tokens of a toy image, and the tiny model's pixels a token."""


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


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """The toy task: `parts` (what a `GrpoStage` is given beside model, settings and rewards), its rewards, its size in pixels."""
    parts = {"records": ToyRecords(), "prefix_of": prefix_of, "decode": pixels}
    return SimpleNamespace(parts=parts, white=WhiteShare, black=BlackShare, size={"height": ROWS * TOKEN, "width": COLUMNS * TOKEN})
