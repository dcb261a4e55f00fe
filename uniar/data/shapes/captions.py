"""Captions in GenEval's six forms and in long form, each with a scene that satisfies it and shows nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from uniar.data.shapes import vocabulary as v
from uniar.data.shapes.scene import (
    Object,
    Scene,
    allowed,
    draw_background,
    draw_slots,
    make_object,
    relations,
    sample_scene,
)
from uniar.data.shapes.splits import is_held_out_pair

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr", "long")


class Captioned(NamedTuple):
    """A scene and its caption."""

    scene: Scene
    caption: str
    task: str


def sample_captioned(rng: np.random.Generator, *, split: str = "train", task: str | None = None) -> Captioned:
    """Draw a caption and a scene that satisfies it.

    Args:
        rng: source of all draws.
        split: "train", "held_out" or "all".
        task: one of `TASKS`; None draws one.
    """
    task = task or str(TASKS[rng.integers(len(TASKS))])
    while True:
        scene, caption = _MAKERS[task](rng, split)
        if scene is not None and allowed(scene, split):
            return Captioned(scene, caption, task)


def _shape(rng: np.random.Generator) -> str:
    return str(v.SHAPES[rng.integers(len(v.SHAPES))])


def _two_shapes(rng: np.random.Generator) -> tuple[str, str]:
    a, b = rng.choice(len(v.SHAPES), 2, replace=False)
    return v.SHAPES[a], v.SHAPES[b]


def _color(rng: np.random.Generator, shape: str, split: str) -> str:
    while True:
        color = str(v.COLORS[rng.integers(len(v.COLORS))])
        if split != "train" or not is_held_out_pair(shape, color):
            return color


def _single(rng: np.random.Generator, split: str) -> tuple[Scene, str]:
    shape = _shape(rng)
    o = make_object(rng, draw_slots(rng, 1)[0], shape=shape, train=split == "train")
    return Scene((o,), draw_background(rng)), f"a photo of {v.with_article(shape)}"


def _colors(rng: np.random.Generator, split: str) -> tuple[Scene, str]:
    shape = _shape(rng)
    color = _color(rng, shape, split)
    o = make_object(rng, draw_slots(rng, 1)[0], shape=shape, color=color)
    return Scene((o,), draw_background(rng)), f"a photo of {v.with_article(color)} {shape}"


def _two(rng: np.random.Generator, split: str) -> tuple[Scene, str]:
    a, b = _two_shapes(rng)
    objects = tuple(
        make_object(rng, s, shape=n, train=split == "train") for s, n in zip(draw_slots(rng, 2), (a, b), strict=True)
    )
    return Scene(objects, draw_background(rng)), f"a photo of {v.with_article(a)} and {v.with_article(b)}"


def _color_attr(rng: np.random.Generator, split: str) -> tuple[Scene, str]:
    a, b = _two_shapes(rng)
    ca, cb = _color(rng, a, split), _color(rng, b, split)
    if ca == cb:
        return None, ""
    slots = draw_slots(rng, 2)
    objects = (make_object(rng, slots[0], shape=a, color=ca), make_object(rng, slots[1], shape=b, color=cb))
    return Scene(objects, draw_background(rng)), f"a photo of {v.with_article(ca)} {a} and {v.with_article(cb)} {b}"


def _position(rng: np.random.Generator, split: str) -> tuple[Scene | None, str]:
    a, b = _two_shapes(rng)
    relation = str(v.RELATIONS[rng.integers(4)])
    first, second = {
        "left of": ((1, 0), (1, 2)),
        "right of": ((1, 2), (1, 0)),
        "above": ((0, 1), (2, 1)),
        "below": ((2, 1), (0, 1)),
    }[relation]
    slots = draw_slots(rng, 2, usual=(first, second))
    objects = tuple(make_object(rng, s, shape=n, train=split == "train") for s, n in zip(slots, (a, b), strict=True))
    # Clear of the rule's edge, where a pixel would decide.
    if relation not in relations(*objects, least=0.58):
        return None, ""
    return Scene(objects, draw_background(rng)), f"a photo of {v.with_article(a)} {relation} {v.with_article(b)}"


def _counting(rng: np.random.Generator, split: str) -> tuple[Scene, str]:
    shape, n = _shape(rng), int(rng.integers(2, 5))
    slots = draw_slots(rng, n)
    first = make_object(rng, slots[0], shape=shape, train=split == "train")
    rest = [make_object(rng, s, shape=shape, color=first.color, size=first.size) for s in slots[1:]]
    return Scene((first, *rest), draw_background(rng)), f"a photo of {v.NUMBERS[n]} {v.plural(shape)}"


def _long(rng: np.random.Generator, split: str) -> tuple[Scene, str]:
    scene = sample_scene(rng, split=split, habits=bool(rng.random() < 0.3))
    return scene, describe(rng, scene)


def phrase(o: Object, *, with_size: bool = True) -> str:
    """`small red star`."""
    return f"{o.size + ' ' if with_size else ''}{o.color} {o.shape}"


def place(slot: str) -> str:
    """`at the top left`, `in the center`."""
    return "in the center" if slot == "center" else f"at the {slot}"


def describe(rng: np.random.Generator, scene: Scene) -> str:
    """A long-form caption that tells every object and the background, in one of three wordings."""
    objects = sorted(scene.objects, key=lambda o: (o.row, o.col))
    parts = [f"{v.with_article(phrase(o))} {place(o.slot)}" for o in objects]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    ground = v.with_article(scene.background)
    return (
        f"{listed} on {ground} background",
        f"{v.with_article(scene.background)} scene with {listed}",
        f"on {ground} background there is {listed}",
    )[int(rng.integers(3))]


_MAKERS = {
    "single_object": _single,
    "two_object": _two,
    "counting": _counting,
    "colors": _colors,
    "position": _position,
    "color_attr": _color_attr,
    "long": _long,
}


def all_text(n: int, rng: np.random.Generator) -> Iterator[str]:
    """n sentences of the world: captions, questions, answers and instructions, for training a text tokenizer."""
    from uniar.data.shapes.edits import sample_edit
    from uniar.data.shapes.questions import sample_question

    for i in range(n):
        if i % 3 == 0:
            yield sample_captioned(rng).caption
        elif i % 3 == 1:
            question = sample_question(rng, sample_scene(rng))
            yield f"{question.text} {question.answer}"
        else:
            yield sample_edit(rng).instruction
