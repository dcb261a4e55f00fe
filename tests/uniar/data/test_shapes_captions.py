"""Captions against their scenes: every one is read back by an independent parser, in GenEval's semantics."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from evals.scorers.geneval_rules import relative_position
from uniar.data import shapes
from uniar.data.shapes import COLORS, SHAPES, TASKS, Scene, is_held_out
from uniar.data.shapes.vocabulary import RELATIONS

NAMES = {**{s: s for s in SHAPES}, **{f"{s}{'es' if s.endswith('s') else 's'}": s for s in SHAPES}}
FORMS = {
    "single_object": r"a photo of an? (\w+)",
    "two_object": r"a photo of an? (\w+) and an? (\w+)",
    "counting": r"a photo of (two|three|four) (\w+)",
    "colors": r"a photo of an? (\w+) (\w+)",
    "position": rf"a photo of an? (\w+) ({'|'.join(RELATIONS)}) an? (\w+)",
    "color_attr": r"a photo of an? (\w+) (\w+) and an? (\w+) (\w+)",
}


def satisfied(task: str, caption: str, scene: Scene) -> bool:
    match = re.fullmatch(FORMS[task], caption)
    assert match, caption
    words, objects = match.groups(), scene.objects
    kinds = sorted(o.shape for o in objects)
    if task in ("single_object", "two_object"):
        return kinds == sorted(words)
    if task == "counting":
        n = ("two", "three", "four").index(words[0]) + 2
        return kinds == [NAMES[words[1]]] * n and len({(o.color, o.size) for o in objects}) == 1
    if task == "position":
        a, relation, b = words
        first, second = sorted(objects, key=lambda o: o.shape != a)
        return kinds == sorted((a, b)) and relation in relative_position(first.box(), second.box())
    pairs = list(zip(words[1::2], words[::2], strict=True))
    assert all(c in COLORS for _, c in pairs)
    return sorted((o.shape, o.color) for o in objects) == sorted(pairs)


@pytest.mark.parametrize("split", ["train", "held_out", "all"])
@pytest.mark.parametrize("task", sorted(FORMS))
def test_the_scene_satisfies_its_caption_and_shows_nothing_else(task, split):
    rng = np.random.default_rng(0)
    for _ in range(60):
        made = shapes.sample_captioned(rng, split=split, task=task)
        assert made.task == task and satisfied(task, made.caption, made.scene), made
        assert split == "all" or is_held_out(made.scene) == (split == "held_out")
        for article, word in re.findall(r"\b(an?) (\w+)", made.caption):
            assert (article == "an") == (word[0] in "aeiou")


def test_the_checker_is_not_blind():
    rng = np.random.default_rng(1)
    made = [shapes.sample_captioned(rng, task="color_attr") for _ in range(40)]
    assert not any(satisfied("color_attr", a.caption, b.scene) for a, b in pairwise(made))


def test_a_long_caption_tells_every_object_and_the_background():
    rng = np.random.default_rng(2)
    words = rf"(small|large) ({'|'.join(COLORS)}) ({'|'.join(SHAPES)}) (?:at the|in the) ([a-z ]*?)(?=,| and | on |$)"
    openings = set()
    for _ in range(200):
        made = shapes.sample_captioned(rng, split="all", task="long")
        told = sorted(re.findall(words, made.caption))
        assert told == sorted((o.size, o.color, o.shape, o.slot) for o in made.scene.objects), made
        assert re.search(rf"\b{made.scene.background}\b", made.caption)
        openings.add("on" if made.caption.startswith("on ") else "scene" if " scene with " in made.caption else "plain")
    assert openings == {"on", "scene", "plain"}


def test_every_task_is_drawn_and_first_of_two_stands_left():
    rng = np.random.default_rng(3)
    made = [shapes.sample_captioned(rng) for _ in range(400)]
    assert set(Counter(m.task for m in made)) == set(TASKS)
    usual = [m.scene.objects for m in made if m.task == "two_object"]
    assert np.mean([a.slot == "left" and b.slot == "right" for a, b in usual]) > 0.5


def test_all_text_speaks_every_word():
    text = " ".join(shapes.all_text(600, np.random.default_rng(4)))
    words = set(re.findall(r"[a-z]+", text))
    assert {*SHAPES, *COLORS, *shapes.BACKGROUNDS, "photo", "yes", "no", "replace", "move", "three"} <= words
