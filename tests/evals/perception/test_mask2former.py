"""The detector around the network: pre-processing as OpenCV, post-processing as mmdet, and honest refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evals.errors import ModelError
from evals.parity import replay
from evals.perception.mask2former import Mask2FormerDetector
from evals.perception.mask2former_postprocess import instances
from evals.perception.mask2former_preprocess import MEAN, STD, prepare, resize_bilinear, resized_size
from evals.protocols import Detector
from evals.replay_geneval import borderline_masks, instance_postprocess
from evals.vocabulary import GENEVAL_CLASSES

GOLDEN = Path(__file__).parents[2] / "data/golden/scorers"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Mask2Former with few, random weights on disk."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=7, out_features=stages)
    size = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "num_attention_heads": 2, "num_queries": 10}
    depth = {"encoder_layers": 1, "decoder_layers": 2, "encoder_feedforward_dim": 16, "dim_feedforward": 16}
    config = Mask2FormerConfig(backbone_config=backbone, num_labels=80, **size, **depth)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Mask2FormerForUniversalSegmentation(config)
    path = tmp_path_factory.mktemp("mask2former")
    model.save_pretrained(path)
    return path


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["mask2former_instance_postprocess", "cv2_resize_linear"])
def test_recorded_cases(name: str) -> None:
    assert replay(GOLDEN / f"{name}.json").mismatches == ()


def test_sizes() -> None:
    assert [resized_size(*s) for s in ((512, 512), (1024, 1024), (480, 640), (500, 1500))] == [
        (800, 800),
        (800, 800),
        (800, 1067),
        (444, 1333),
    ]


def test_resize_keeps_flat_images_and_the_input() -> None:
    flat = np.full((6, 9, 3), 77, dtype=np.uint8)
    assert (resize_bilinear(flat, 3, 30)[:, 1:-1] >= 76).all()
    assert resize_bilinear(flat, 6, 9) is flat


def test_prepare_pads_with_grey_before_normalising() -> None:
    ready = prepare(picture(30, 40))
    assert (ready.original, ready.resized, ready.padded) == ((30, 40), (800, 1067), (800, 1088))
    assert ready.pixels.shape == (3, 800, 1088) and ready.pixels.dtype == np.float32
    grey = (128 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(ready.pixels[:, 5, 1080], grey, rtol=1e-5)
    np.testing.assert_allclose(ready.pixels[:, 0, 0] * STD + MEAN, picture(30, 40)[0, 0], atol=1.01)


def test_end_to_end_equals_network_then_postprocess(folder: Path) -> None:
    detector = Mask2FormerDetector(checkpoint=str(folder), device="cpu")
    image = picture(48, 40)
    got = detector.detect(Image.fromarray(image), GENEVAL_CLASSES)
    ready = prepare(image)
    with torch.inference_mode():
        output = detector.model(torch.from_numpy(ready.pixels)[None], pixel_mask=torch.ones(1, *ready.padded).long())
        want = instances(
            output.class_queries_logits[0],
            output.masks_queries_logits[0],
            padded_size=ready.padded,
            resized_size=ready.resized,
            original_size=(48, 40),
        )
    assert len(got) == 100 and isinstance(detector, Detector)
    assert [d.label for d in got] == want.labels.tolist()
    assert [d.score for d in got] == want.scores.tolist()
    assert [list(d.box) for d in got] == want.boxes.tolist()
    masks = want.masks[want.mask_index].numpy()
    assert all(np.array_equal(d.mask, mask) for d, mask in zip(got, masks, strict=True))
    assert got[0].mask.shape == (48, 40) and got[0].mask.dtype == np.bool_


def test_postprocess_by_hand() -> None:
    # Query 0 is sure of class 1 and covers the left half, query 1 is sure of class 0 and covers nothing.
    class_logits = torch.tensor([[0.0, 20.0, 0.0], [20.0, 0.0, 0.0]])
    mask_logits = torch.full((2, 8, 8), -20.0)
    mask_logits[0, :, :4] = 20.0
    sizes = {"padded_size": (32, 32), "resized_size": (32, 32), "original_size": (32, 32)}
    found = instances(class_logits, mask_logits, max_per_image=2, **sizes)
    by_label = {int(label): i for i, label in enumerate(found.labels)}
    assert found.boxes[by_label[1]].tolist() == [0, 0, 16, 32]
    assert found.scores[by_label[1]] == pytest.approx(1.0, abs=0.05)
    assert (found.boxes[by_label[0]].tolist(), float(found.scores[by_label[0]])) == ([0, 0, 0, 0], 0.0)


def test_one_query_may_be_found_under_several_classes() -> None:
    logits = torch.tensor([[5.0, 5.0, -5.0]])
    sizes = {"padded_size": (16, 16), "resized_size": (16, 16), "original_size": (16, 16)}
    found = instances(logits, torch.ones(1, 4, 4), **sizes)
    assert sorted(found.labels.tolist()) == [0, 1] and found.masks.shape == (1, 16, 16)


def test_allowance_covers_borderline_pixels_only() -> None:
    logits = torch.full((1, 4, 4), 3.0)
    logits[0, 0, 0] = 0.0
    inputs = {"class_logits": [[4.0, 0.0]], "mask_logits": logits.tolist(), "max_per_image": 1}
    inputs |= {key: [4, 4] for key in ("batch_input_shape", "img_shape", "ori_shape")}
    (row,) = instance_postprocess(inputs)
    assert row["mask_area"] == 15
    assert borderline_masks(inputs, [row], [{**row, "mask_area": 16}])
    assert not borderline_masks(inputs, [row], [{**row, "mask_area": 13}])
    assert not borderline_masks(inputs, [row], [{**row, "label": 1}])
    inputs["mask_logits"] = torch.full((1, 4, 4), 3.0).tolist()
    assert not borderline_masks(inputs, [row], [row])


def test_missing_weights_say_what_to_fetch(tmp_path: Path) -> None:
    fetch = r"hf download facebook/mask2former-swin-small.*roles\.detector\.checkpoint=DIR"
    with pytest.raises(ModelError, match=fetch):
        Mask2FormerDetector(checkpoint=str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="hf download nobody/never-fetched-this"):
        Mask2FormerDetector(checkpoint="nobody/never-fetched-this")


def test_incomplete_or_foreign_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ModelError, match="cannot be read"):
        _ = Mask2FormerDetector(checkpoint=str(tmp_path), device="cpu").model
    state = load_file(folder / "model.safetensors")
    state.pop("criterion.empty_weight")
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert Mask2FormerDetector(checkpoint=str(tmp_path), device="cpu").model.config.num_labels == 80
    state.pop("class_predictor.weight")
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"without 1 weights, class_predictor\.weight"):
        _ = Mask2FormerDetector(checkpoint=str(tmp_path), device="cpu").model
    with pytest.raises(ModelError, match=r"got 80 classes .* expected 2"):
        Mask2FormerDetector(checkpoint=str(folder), device="cpu").detect(Image.new("RGB", (8, 8)), ["a", "b"])
