"""The colour classifier: recorded crops and logits, and a small CLIP through the same code as the large one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from evals.errors import ModelError
from evals.parity import replay
from evals.perception.clip_color import (
    COLORS,
    OpenClipColor,
    best_colors,
    color_crop,
    color_logits,
    color_texts,
    color_weights,
)
from evals.protocols import ColorClassifier, Detection

GOLDEN = Path(__file__).parents[2] / "data/golden/scorers"
NAME = "uniar-test-tiny-clip"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of a few layers under a name of its own, with random weights on disk."""
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    folder = tmp_path_factory.mktemp("clip")
    (folder / f"{NAME}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{NAME}.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def classifier(weights: Path) -> OpenClipColor:
    return OpenClipColor(model=NAME, checkpoint=str(weights), device="cpu")


def scene() -> tuple[Image.Image, list[Detection]]:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    mask = np.zeros((48, 64), dtype=bool)
    mask[5:20, 5:30] = True
    thin = np.ones((48, 64), dtype=bool)
    return Image.fromarray(pixels), [
        Detection(label=0, score=0.9, box=(5.0, 5.0, 30.0, 20.0), mask=mask),
        Detection(label=0, score=0.8, box=(0.0, 0.0, 64.0, 3.0), mask=thin),
    ]


@pytest.mark.parametrize("name", ["color_crop", "color_classifier"])
def test_recorded_cases(name: str) -> None:
    result = replay(GOLDEN / f"geneval_{name}.json")
    assert result.mismatches == () and result.total == 100


def test_texts() -> None:
    texts = color_texts("orange")
    start = "a photo of a orange"
    assert texts[1] == [f"{start} orange", f"{start}-colored orange", f"{start} object"]
    assert len(texts) == len(COLORS) == 10


def test_crop_greys_the_background_and_is_black_outside() -> None:
    image, (detection, _) = scene()
    crop = np.asarray(color_crop(image, detection.mask, (3.5, 4.5, 70.0, 22.0)))
    # 3.5 and 4.5 both round to 4.
    assert crop.shape == (18, 66, 3)
    assert crop[0, 0].tolist() == [153, 153, 153] and crop[5, 65].tolist() == [0, 0, 0]
    assert np.array_equal(crop[1:16, 1:26], np.asarray(image)[5:20, 5:30])
    assert np.array_equal(color_crop(image, detection.mask, (0, 0, 64, 48), background=None), np.asarray(image))


def test_first_of_equal_logits_wins() -> None:
    logits = torch.zeros(2, 10)
    logits[1, [3, 7]] = 2.0
    assert best_colors(logits) == ["red", "green"]


def test_classify_equals_the_steps_one_by_one(classifier: OpenClipColor) -> None:
    image, detections = scene()
    got = classifier.classify(image, detections, "dog")
    model = open_clip.create_model(NAME, force_quick_gelu=True)
    model.load_state_dict(classifier._load()[0].state_dict())
    transform = open_clip.image_transform(32, is_train=False)
    tokenize = open_clip.get_tokenizer(NAME)
    with torch.no_grad():
        head = color_weights(lambda texts: model.encode_text(tokenize(texts)), "dog")
        crops = torch.stack([transform(color_crop(image, d.mask, d.box)) for d in detections])
        logits = color_logits(model.encode_image(crops), head)
    assert got == best_colors(logits) and isinstance(classifier, ColorClassifier)
    assert torch.equal(classifier._classifiers["dog"], head)
    assert classifier.classify(image, [], "dog") == []


def test_openai_weights_run_with_quick_gelu(classifier: OpenClipColor) -> None:
    kinds = {type(module).__name__ for module in classifier._load()[0].modules()}
    assert "QuickGELU" in kinds and "GELU" not in kinds


def test_texts_are_embedded_once_a_class(classifier: OpenClipColor) -> None:
    image, detections = scene()
    classifier.classify(image, detections, "dog")
    before = classifier._classifiers["dog"]
    classifier.classify(image, detections[:1], "dog")
    classifier.classify(image, detections[:1], "cat")
    assert classifier._classifiers["dog"] is before and set(classifier._classifiers) == {"dog", "cat"}


def test_missing_weights_say_what_to_fetch(tmp_path: Path, weights: Path) -> None:
    fetch = r"hf download timm/vit_large_patch14_clip_224\.openai .*roles\.color\.checkpoint=FILE"
    with pytest.raises(ModelError, match=fetch):
        OpenClipColor(cache_dir=str(tmp_path))
    with pytest.raises(ModelError, match=fetch):
        OpenClipColor(checkpoint=str(tmp_path / "nothing.safetensors"))
    with pytest.raises(ModelError, match="pretrained: got ViT-L-14-quickgelu with somebody"):
        OpenClipColor(pretrained="somebody")
    with pytest.raises(ModelError, match="does not load as RN50"):
        OpenClipColor(model="RN50", checkpoint=str(weights), device="cpu").embed_texts(["a"])
