"""The mini world's detector, on drawn, degraded and meaningless pictures; nothing but pixels goes in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageFilter

from evals.perception.shapes import ShapesColor, ShapesDetector
from evals.perception.shapes_segment import label
from evals.protocols import ColorClassifier, Detection, Detector
from evals.scorers.geneval import GenEvalScorer
from evals.scorers.geneval_rules import relative_position, select
from uniar.data.shapes import (
    COLORS,
    RGB,
    SHAPES,
    Object,
    Scene,
    render,
    render_masks,
    sample_captioned,
    sample_scene,
    shape_mask,
)
from uniar.data.shapes.vocabulary import NUMBERS

DETECTOR = ShapesDetector()


def found(image: Image.Image | np.ndarray, classes=SHAPES) -> list[Detection]:
    return DETECTOR.detect(image if isinstance(image, Image.Image) else Image.fromarray(image), classes)


def as_image(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).round().astype(np.uint8)


def degraded(image: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    if how == "blurred":
        return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.7)))
    if how == "noisy":
        return as_image(image + rng.normal(0, 6, image.shape))
    if how == "26 dB":
        soft = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.5)), float)
        return as_image(soft + rng.normal(0, 11.5, image.shape))
    return image


def seen_right(scene: Scene, detections: list[Detection], size: int = 64) -> bool:
    if sorted((SHAPES[d.label], d.color) for d in detections) != sorted((o.shape, o.color) for o in scene.objects):
        return False
    for o, mask in zip(scene.objects, render_masks(scene, size), strict=True):
        close = [d for d in detections if np.abs(np.array(d.box) - o.box(size)).max() < 1.5 * size / 64]
        if len(close) != 1 or (SHAPES[close[0].label], close[0].color) != (o.shape, o.color) or close[0].score <= 0.9:
            return False
        # On the 64 px grid; pixels that are half covered may fall to either side.
        got, cover = (m.reshape(64, size // 64, 64, size // 64).mean((1, 3)) for m in (close[0].mask, mask))
        if ((got > 0.5) != (cover > 0.5))[abs(cover - 0.5) > 0.2].sum() > 0.08 * cover.sum():
            return False
    return True


@pytest.mark.parametrize(("how", "n"), [("clean", 300), ("blurred", 80), ("noisy", 80), ("26 dB", 80)])
def test_it_reads_every_scene_right(how, n):
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, split="all") for _ in range(n)]
    wrong = [s for s in scenes if not seen_right(s, found(degraded(render(s), how, rng)))]
    # Strong noise may leave a small star of weak contrast in doubt.
    assert len(wrong) <= (0.02 if how == "26 dB" else 0.005) * n, wrong[:3]


@pytest.mark.parametrize("size", [128, 256, 512])
def test_larger_canvases_are_read_alike(size):
    rng = np.random.default_rng(1)
    for _ in range(12):
        scene = sample_scene(rng, split="all")
        assert seen_right(scene, found(render(scene, size)), size)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_canvas_need_not_be_square(axis):
    rng = np.random.default_rng(2)
    for _ in range(15):
        halves = [Scene(sample_scene(rng, split="all").objects, "sand") for _ in range(2)]
        got = found(np.concatenate([render(s) for s in halves], axis))
        expected = [(o.shape, o.color) for s in halves for o in s.objects]
        assert sorted((SHAPES[d.label], d.color) for d in got if d.score > 0.9) == sorted(expected)


def test_every_captioned_scene_satisfies_its_caption():
    rng = np.random.default_rng(3)
    for i in range(120):
        task = ("single_object", "two_object", "counting", "colors", "position", "color_attr")[i % 6]
        made = sample_captioned(rng, split="all", task=task)
        kept = select(found(render(made.scene)), SHAPES, threshold=0.9)
        words = made.caption.removeprefix("a photo of ").split()
        named = [w for w in words if w in SHAPES]
        if task == "counting":
            shape = next(s for s in SHAPES if words[1] in (s + "s", s + "es"))
            assert {k: len(group) for k, group in kept.items()} == {shape: list(NUMBERS.values()).index(words[0]) + 1}
            continue
        assert sorted(kept) == sorted(named) and all(len(group) == 1 for group in kept.values())
        if task in ("colors", "color_attr"):
            assert [kept[s][0].color for s in named] == [w for w in words if w in COLORS]
        if task == "position":
            relation = " ".join(w for w in words[2:-2])
            assert relation in relative_position(kept[named[0]][0].box, kept[named[1]][0].box), made


def meaningless(rng: np.random.Generator) -> dict[str, np.ndarray]:
    yy, xx = (np.mgrid[:64, :64] / 63)[..., None]
    coarse = Image.fromarray(as_image(rng.uniform(0, 255, (8, 8, 3))))
    return {
        "uniform noise": rng.uniform(0, 255, (64, 64, 3)),
        "gaussian noise": rng.normal(128, rng.uniform(3, 60), (64, 64, 3)),
        "blank": np.full((64, 64, 3), 1.0) * rng.uniform(0, 255, 3),
        "linear gradient": rng.uniform(0, 255, 3) + yy * rng.uniform(-200, 200, 3) + xx * rng.uniform(-200, 200, 3),
        "hill": 128 + 100 * np.hypot(yy - 0.5, xx - 0.5) * rng.uniform(-1, 1, 3),
        "smooth noise": np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC), float),
        "tiles": np.asarray(coarse.resize((64, 64), Image.Resampling.NEAREST), float),
    }


def test_it_sees_nothing_in_nothing():
    rng = np.random.default_rng(4)
    for _ in range(25):
        for name, values in meaningless(rng).items():
            assert found(as_image(values)) == [], name


def painted(mask: np.ndarray, color: str, scene: Scene | None = None) -> np.ndarray:
    ground = render(scene or Scene((), "gray")).astype(float)
    return as_image(ground + mask[..., None] * (np.array(RGB[color]) - ground))


def test_what_is_no_shape_scores_low():
    yy, xx = np.mgrid[:64, :64]
    bar = (abs(yy - 32) < 4) & (abs(xx - 32) < 13)
    ellipse = ((yy - 32) / 6) ** 2 + ((xx - 32) / 13) ** 2 < 1
    bent = (abs(yy - 22) < 4) & (abs(xx - 32) < 12) | (abs(xx - 24) < 4) & (abs(yy - 32) < 13)
    comb = (abs(yy - 32) < 12) & (abs(xx - 32) < 12) & (xx % 6 < 3)
    half = np.zeros((64, 64))
    half[19:45, 19:32] = shape_mask("star", 26)[:, :13]
    for name, mask in {"bar": bar, "ellipse": ellipse, "bent": bent, "comb": comb, "half": half}.items():
        assert all(d.score < 0.3 for d in found(painted(mask.astype(float), "blue"))), name


def test_the_score_falls_as_a_shape_dissolves():
    scene = Scene((Object("square", "blue", "large", 1, 1),), "gray")
    mask = render_masks(scene)[0]
    best = []
    for cut in range(0, 14, 2):
        eaten = mask.copy()
        # A corner bitten off, larger and larger.
        eaten[: 20 + cut, : 20 + cut] = 0
        best.append(max((d.score for d in found(painted(eaten, "blue")) if SHAPES[d.label] == "square"), default=0.0))
    assert best[0] > 0.9 and best[-1] < 0.3
    assert all(a >= b - 0.02 for a, b in pairwise(best))
    assert any(0.3 < s < 0.9 for s in best)


def test_a_torn_object_is_one_object():
    scene = Scene((Object("circle", "red", "large", 1, 1),), "gray")
    mask = render_masks(scene)[0].copy()
    mask[:, 31:33] = 0
    assert [SHAPES[d.label] for d in found(painted(mask, "red"))] == ["circle"]


def test_two_objects_that_touch_are_two():
    scene = Scene((Object("circle", "red", "large", 1, 0, dx=2), Object("circle", "red", "large", 1, 2, dx=-2)), "gray")
    mask = render_masks(scene).sum(0)
    mask[30:34, 28:36] = 1
    assert [SHAPES[d.label] for d in found(painted(mask, "red"))] == ["circle", "circle"]


def test_only_asked_classes_are_reported_by_their_index():
    scene = Scene((Object("star", "red", "large", 1, 0), Object("ring", "blue", "large", 1, 2)), "mint")
    assert [d.label for d in found(render(scene), ["dog", "ring"])] == [1]
    assert found(render(scene), ["dog"]) == []


def test_a_strange_colour_is_less_certain():
    mask = render_masks(Scene((Object("square", "blue", "large", 1, 1),), "gray"))[0]
    plain = found(painted(mask, "blue"))[0].score
    ground = render(Scene((), "sand")).astype(float)
    strange = found(as_image(ground + mask[..., None] * (np.array([0, 255, 255]) - ground)))[0].score
    assert strange < plain


def test_colours_by_mask_and_by_box_agree_with_the_scene():
    rng = np.random.default_rng(5)
    for _ in range(25):
        scene = sample_scene(rng, split="all")
        image = Image.fromarray(render(scene))
        detections = found(image)
        assert ShapesColor().classify(image, detections, "star") == [d.color for d in detections]
        boxes = [Detection(label=0, score=1.0, box=tuple(o.box())) for o in scene.objects if o.shape != "ring"]
        expected = [o.color for o in scene.objects if o.shape != "ring"]
        assert ShapesColor().classify(image, boxes, "star") == expected


def test_it_fits_the_sockets_and_the_scorer():
    assert isinstance(DETECTOR, Detector) and isinstance(ShapesColor(), ColorClassifier)
    scorer = GenEvalScorer(roles={"detector": DETECTOR, "color": ShapesColor()}, classes="shapes")
    assert scorer.classes == SHAPES
    scorer.canary()


def test_labels_are_the_connected_regions_diagonals_included():
    rng = np.random.default_rng(6)
    for _ in range(20):
        # Coarse tiles: large connected pieces with corners that touch.
        mask = np.kron(rng.random((10, 12)) < 0.5, np.ones((3, 3))).astype(bool)
        labels, count = label(mask)
        assert (labels > 0).tolist() == mask.tolist()
        # Plain flood fill says the same.
        seen, pieces = np.zeros_like(mask), 0
        for start in zip(*np.nonzero(mask), strict=True):
            if seen[start]:
                continue
            pieces += 1
            todo, members = [start], set()
            seen[start] = True
            while todo:
                y, x = todo.pop()
                members.add(int(labels[y, x]))
                for j in range(max(y - 1, 0), min(y + 2, mask.shape[0])):
                    for i in range(max(x - 1, 0), min(x + 2, mask.shape[1])):
                        if mask[j, i] and not seen[j, i]:
                            seen[j, i] = True
                            todo.append((j, i))
            assert len(members) == 1
        assert pieces == count
