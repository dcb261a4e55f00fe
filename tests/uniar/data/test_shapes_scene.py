"""The world of shapes: what a scene promises, how it is drawn, what training never shows."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, permutations

import numpy as np
import pytest

from evals.scorers.geneval_rules import relative_position
from uniar.data import shapes
from uniar.data.shapes import COLORS, RGB, SHAPES, SIZES, USUAL_COLOR, Object, Scene
from uniar.data.shapes.vocabulary import BACKGROUNDS, MIRROR, RELATIONS, SLOT_NAMES


def scenes(n: int, seed: int, split: str = "all") -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [shapes.sample_scene(rng, split=split, habits=i % 2 == 0) for i in range(n)]


def test_objects_keep_to_their_own_cells_inside_the_canvas():
    for scene in scenes(300, 0):
        assert 1 <= len(scene.objects) <= 4
        for o in scene.objects:
            x1, y1, x2, y2 = o.box()
            assert 0 < x1 < x2 < 64 and 0 < y1 < y2 < 64
        for a, b in combinations(scene.objects, 2):
            assert max(abs(a.row - b.row), abs(a.col - b.col)) == 2
    assert not any(np.logical_and(*m[:2] > 0).any() for s in scenes(80, 1) if len(m := shapes.render_masks(s)) > 1)


def test_a_scene_survives_json():
    for scene in scenes(50, 2):
        assert Scene.from_json(scene.to_json()) == scene


def test_equal_seeds_draw_equal_worlds():
    assert scenes(40, 3) == scenes(40, 3)
    assert scenes(40, 3) != scenes(40, 4)


@pytest.mark.parametrize("size", [64, 128, 192])
def test_a_rendered_object_fills_its_box_in_its_colour(size):
    for scene in scenes(40, 5):
        image, masks = shapes.render(scene, size), shapes.render_masks(scene, size)
        assert image.shape == (size, size, 3) and image.dtype == np.uint8
        for o, mask in zip(scene.objects, masks, strict=True):
            assert np.array_equal(image[mask == 1], np.broadcast_to(RGB[o.color], image[mask == 1].shape))
            ys, xs = np.nonzero(mask > 0.5)
            drawn = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            # The tip of a triangle is thinner than half a pixel for more than a pixel.
            assert np.abs(drawn - o.box(size)).max() < 1.6
        uncovered = masks.sum(0) == 0
        top, bottom = BACKGROUNDS[scene.background]
        row = np.linspace(top, bottom, size)[:, None].repeat(size, 1)
        assert np.abs(image[uncovered] - row[uncovered]).max() <= 0.51


def test_a_larger_canvas_shows_the_same_scene():
    for scene in scenes(30, 6):
        large = shapes.render(scene, 128).astype(float).reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(large - shapes.render(scene)).mean() < 1.0


def test_every_background_sets_off_every_colour():
    for top, bottom in BACKGROUNDS.values():
        for t in np.linspace(0, 1, 9):
            ground = np.array(top) * (1 - t) + np.array(bottom) * t
            assert min(np.linalg.norm(ground - np.array(RGB[c])) for c in COLORS) > 75


def test_label_maps_name_the_object_that_covers_the_patch():
    for scene in scenes(60, 7):
        labels = shapes.label_maps(scene)
        cover = shapes.render_masks(scene).reshape(-1, 8, 8, 8, 8).mean((2, 4)).reshape(len(scene.objects), 64)
        most, share = cover.argmax(0), cover.max(0)
        for i in range(64):
            o = scene.objects[most[i]]
            seen = share[i] >= 0.25
            assert labels["shape"][i] == (1 + SHAPES.index(o.shape) if seen else 0)
            assert labels["color"][i] == (1 + COLORS.index(o.color) if seen else 0)
        assert set(labels["background"]) == {list(BACKGROUNDS).index(scene.background)}


def test_relations_are_genevals():
    found = Counter()
    for scene in scenes(300, 8):
        for a, b in permutations(scene.objects, 2):
            assert sorted(shapes.relations(a, b)) == relative_position(a.box(), b.box())
            assert sorted(MIRROR[r] for r in shapes.relations(a, b)) == sorted(shapes.relations(b, a))
            found[len(shapes.relations(a, b))] += 1
    assert set(found) == {1, 2}


def test_held_out_pairs_are_spread_and_leave_the_usual_ones():
    pairs = shapes.held_out_pairs()
    assert 0.15 * 80 <= len(pairs) <= 0.2 * 80
    assert not any(USUAL_COLOR[s] == c for s, c in pairs)
    for words, at in ((SHAPES, 0), (COLORS, 1)):
        counts = Counter(pair[at] for pair in pairs)
        assert set(counts) == set(words) and max(counts.values()) <= 3
    assert all(shapes.is_held_out_pair(s, c) == ((s, c) in pairs) for s in SHAPES for c in COLORS)


def test_held_out_relations_are_closed_under_the_mirror():
    held = shapes.held_out_relations()
    possible = [(a, r, b) for a, b in permutations(SHAPES, 2) for r in RELATIONS]
    assert 0.15 * len(possible) <= len(held) <= 0.2 * len(possible) and held <= set(possible)
    for a, r, b in possible:
        assert shapes.is_held_out_relation(a, r, b) == shapes.is_held_out_relation(b, MIRROR[r], a)


def shows_held_out(scene: Scene) -> bool:
    if any((o.shape, o.color) in shapes.held_out_pairs() for o in scene.objects):
        return True
    return any(
        (a.shape, r, b.shape) in shapes.held_out_relations()
        for a, b in permutations(scene.objects, 2)
        for r in relative_position(a.box(), b.box())
    )


def test_training_never_shows_what_is_held_out():
    assert not any(shows_held_out(s) for s in scenes(400, 9, "train"))
    assert all(shows_held_out(s) for s in scenes(200, 9, "held_out"))


@pytest.mark.parametrize("split", ["train", "held_out", "all"])
def test_every_number_of_objects_is_as_frequent(split):
    counts = Counter(len(s.objects) for s in scenes(600, 10, split))
    assert min(counts[n] for n in (1, 2, 3, 4)) > 0.18 * 600


def test_what_a_caption_leaves_open_has_a_usual_answer():
    rng = np.random.default_rng(11)
    drawn = [shapes.sample_captioned(rng, task="single_object").scene for _ in range(500)]
    only = [s.objects[0] for s in drawn]
    assert np.mean([s.background == "gray" for s in drawn]) > 0.6
    assert np.mean([o.size == "large" for o in only]) > 0.7
    assert np.mean([o.color == USUAL_COLOR[o.shape] for o in only]) > 0.55
    assert np.mean([o.slot == "center" for o in only]) > 0.6
    assert {o.slot for o in only} == set(SLOT_NAMES.values()) and {o.size for o in only} == set(SIZES)


def test_no_such_shape_is_told():
    with pytest.raises(ValueError, match="hexagon"):
        shapes.render(Scene((Object("hexagon", "red", "large", 1, 1),), "gray"))
