"""The adapter of `uniar` shows a question's images: all that the sample lists, in order, and none where it lists none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals.errors import DataError
from evals.models.uniar import UniARModel
from evals.types import Sample, WorkItem


@pytest.fixture(scope="module")
def model() -> UniARModel:
    return UniARModel(device="cpu")


def ask(model: UniARModel, monkeypatch: pytest.MonkeyPatch, root: Path, metadata: dict[str, Any], image: str | None) -> Any:
    """The images that `understand` is given for one sample."""
    seen: list[Any] = []
    monkeypatch.setattr(model._loaded({}), "understand", lambda prompts, images, **_: seen.extend(images) or ["x"])
    sample = Sample(sample_id="7", task="t", prompt="what is it?", metadata=metadata, image=image)
    settings = {"verb": "understand", "max_new_tokens": 2, "temperature": 0.0, "data_root": str(root)}
    model.run([WorkItem(sample=sample, repeat=0, seed=0, settings=settings)])
    return seen[0]


def test_all_images_of_a_question_are_shown(model: UniARModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, color in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (8, 8), color).save(tmp_path / name)
    both = ask(model, monkeypatch, tmp_path, {"images": ["b.png", "a.png"]}, "b.png")
    assert [image.getpixel((0, 0)) for image in both] == [(0, 0, 255), (255, 0, 0)]
    assert [image.getpixel((0, 0)) for image in ask(model, monkeypatch, tmp_path, {}, "a.png")] == [(255, 0, 0)]
    assert ask(model, monkeypatch, tmp_path, {"images": []}, None) is None


def test_an_image_that_is_lost_is_named(model: UniARModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lost\.png of 7: got no such file"):
        ask(model, monkeypatch, tmp_path, {"images": ["lost.png"]}, "lost.png")
    with pytest.raises(DataError, match="7: got a sample without an image"):
        ask(model, monkeypatch, tmp_path, {}, None)
