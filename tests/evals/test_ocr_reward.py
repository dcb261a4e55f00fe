"""The RL reward `ocr` with a real reader: a written word earns 1, a blank canvas nothing."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from evals.errors import CanaryError
from evals.perception.ocr_canary import canary_image
from evals.perception.ocr_rapid import RapidOcr
from evals.protocols import TextLine
from evals.reward_rules import join_lines
from evals.rewards import ocr


def record(instruction: str) -> dict[str, Any]:
    return {"task": "ocr", "instruction": instruction, "metadata": {}}


def test_rapidocr_rewards_what_is_written() -> None:
    reward = ocr(ocr="rapidocr", jpeg_quality=75)
    asked = record('a sign that says "Open Today"')
    right, wrong, blank = reward.rewards(
        [canary_image("OPEN today"), canary_image("Open Tuesday"), Image.new("RGB", (256, 256))], [asked] * 3
    )
    assert (right.value, right.outcome) == (1.0, "ok")
    assert blank.value == 0.0 and blank.value < wrong.value < right.value


def test_a_reader_that_fails_its_self_check_gives_no_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RapidOcr, "read", lambda self, image: [])
    with pytest.raises(CanaryError, match='got ""; expected "Harbor 27"'):
        ocr(ocr="rapidocr")


def test_lines_with_boxes_are_joined() -> None:
    assert join_lines([TextLine("Op", 0.9, (0, 0, 1, 1)), TextLine("x", 0.0), ("en", 0.5), "24"]) == "Open24"
