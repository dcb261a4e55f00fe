"""Questions: each answer is worked out again from the question's words and the scene."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from evals.scorers.geneval_rules import relative_position
from uniar.data import shapes
from uniar.data.shapes import Scene
from uniar.data.shapes.questions import KINDS, Question
from uniar.data.shapes.vocabulary import RELATIONS


def only(items: list) -> object:
    assert len(set(items)) == 1 and len(items) == 1, f"ambiguous: {items}"
    return items[0]


def answer(text: str, scene: Scene) -> str:
    """The right answer, or an assertion error where the question is ambiguous."""
    objects = scene.objects
    if text == "what color is the background?":
        return scene.background
    if text == "how many objects are there?":
        return str(len(objects))
    if m := re.fullmatch(r"what shape is (?:at|in) the ([a-z ]+)\?", text):
        return only([o.shape for o in objects if o.slot == m[1]])
    if m := re.fullmatch(r"what color is the (\w+)\?", text):
        return only([o.color for o in objects if o.shape == m[1]])
    if m := re.fullmatch(r"where is the (\w+)\?", text):
        return only([o.slot for o in objects if o.shape == m[1]])
    if m := re.fullmatch(r"how many (\w+) are there\?", text):
        return str(sum(m[1] in (o.shape + "s", o.shape + "es") for o in objects))
    if m := re.fullmatch(r"is there an? (\w+) (\w+)\?", text):
        return "yes" if any((o.color, o.shape) == (m[1], m[2]) for o in objects) else "no"
    m = re.fullmatch(rf"is the (\w+) ({'|'.join(RELATIONS)}) the (\w+)\?", text)
    assert m, text
    a, b = (only([o for o in objects if o.shape == name]) for name in (m[1], m[3]))
    return "yes" if m[2] in relative_position(a.box(), b.box()) else "no"


def drawn(n: int, seed: int, kind: str | None = None) -> list[tuple[Scene, Question]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        scene = shapes.sample_scene(rng, split="all")
        found.append((scene, shapes.sample_question(rng, scene, kind)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_right_and_the_only_one(kind):
    made = drawn(300, 0, kind)
    assert sum(q.kind == kind for _, q in made) > 150
    for scene, q in made:
        if q.kind != "choice":
            assert q.options is None and q.answer == answer(q.text, scene), (q, scene)
            continue
        stem, listed = re.fullmatch(r"(.*\?) A\. (.*)", q.text).groups()
        options = re.split(r" [BCD]\. ", listed)
        assert tuple(options) == q.options and len(set(options)) == 4
        assert options["ABCD".index(q.answer)] == answer(stem, scene)


def test_yes_and_no_and_the_letters_are_balanced():
    verdicts = Counter(q.answer for _, q in drawn(800, 1, "yes_no"))
    assert set(verdicts) == {"yes", "no"} and abs(verdicts["yes"] - 400) < 60
    letters = Counter(q.answer for _, q in drawn(800, 2, "choice"))
    assert set(letters) == set("ABCD") and min(letters.values()) > 150


def test_neither_word_of_a_no_question_gives_it_away():
    shown = Counter()
    for scene, q in drawn(600, 3, "yes_no"):
        if q.answer == "no" and (m := re.fullmatch(r"is there an? (\w+) (\w+)\?", q.text)):
            shown["color"] += any(o.color == m[1] for o in scene.objects)
            shown["shape"] += any(o.shape == m[2] for o in scene.objects)
            shown["all"] += 1
    assert shown["color"] > 0.3 * shown["all"] and shown["shape"] > 0.3 * shown["all"]


def test_every_kind_is_drawn():
    assert set(Counter(q.kind for _, q in drawn(300, 4))) == set(KINDS)


def test_kinds_come_by_their_shares():
    rng = np.random.default_rng(0)
    shares = {"choice": 3.0, "what": 1.0}
    kinds = Counter(shapes.sample_question(rng, shapes.sample_scene(rng), shares=shares).kind for _ in range(800))
    assert set(kinds) == {"choice", "what"}
    assert 0.70 < kinds["choice"] / 800 < 0.80
