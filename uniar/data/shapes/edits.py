"""Edits: a scene, an unambiguous instruction, and the exact target scene."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from uniar.data.shapes import vocabulary as v
from uniar.data.shapes.captions import place
from uniar.data.shapes.scene import Object, Scene, allowed, disjoint, make_object, sample_scene

KINDS = ("add", "remove", "replace", "recolor", "move", "background")


class Edit(NamedTuple):
    """Source, instruction, target; everything the instruction does not name stays to the pixel."""

    source: Scene
    instruction: str
    target: Scene
    kind: str


def sample_edit(rng: np.random.Generator, *, split: str = "train", kind: str | None = None) -> Edit:
    """Draw an edit.

    Args:
        rng: source of all draws.
        split: "train": both scenes belong to it; "held_out": the target does not, and the source only where the edit
            itself can bring in what is held out; "all" does not look.
        kind: one of `KINDS`; None draws one.
    """
    kind = kind or str(KINDS[rng.integers(len(KINDS))])
    # Taking away or repainting the ground never brings in what the source did not show.
    of_source = "train" if split == "held_out" and kind not in ("remove", "background") else split
    while True:
        source = sample_scene(rng, split=of_source, habits=bool(rng.random() < 0.3))
        made = _edited(rng, source, split, kind)
        if made is not None:
            return made


def edit_of(rng: np.random.Generator, source: Scene, *, split: str = "train", tries: int = 50) -> Edit | None:
    """Draw an edit of a given scene; None when none of the tries gives one whose target belongs to the split."""
    for _ in range(tries):
        made = _edited(rng, source, split, str(KINDS[rng.integers(len(KINDS))]))
        if made is not None:
            return made
    return None


def _edited(rng: np.random.Generator, source: Scene, split: str, kind: str) -> Edit | None:
    made = _MAKERS[kind](rng, source)
    if made is None or made[1] == source or not allowed(made[1], split):
        return None
    return Edit(source, made[0], made[1], kind)


def _named(rng: np.random.Generator, scene: Scene) -> tuple[int, str] | None:
    # An object can be named when its shape, or its colour and shape, are its own.
    shapes, pairs = Counter(o.shape for o in scene.objects), Counter((o.color, o.shape) for o in scene.objects)
    options = []
    for i, o in enumerate(scene.objects):
        if pairs[o.color, o.shape] == 1:
            options.append((i, f"{o.color} {o.shape}"))
        if shapes[o.shape] == 1:
            options.append((i, o.shape))
    return options[rng.integers(len(options))] if options else None


def _with(scene: Scene, index: int, new: Object | None) -> Scene:
    objects = list(scene.objects)
    objects[index : index + 1] = [] if new is None else [new]
    return Scene(tuple(objects), scene.background)


def _free(scene: Scene, without: int | None = None) -> list[tuple[int, int]]:
    taken = [(o.row, o.col) for i, o in enumerate(scene.objects) if i != without]
    return [s for s in v.SLOT_NAMES if disjoint([*taken, s])]


def _add(rng: np.random.Generator, scene: Scene) -> tuple[str, Scene] | None:
    free = _free(scene)
    if len(scene.objects) >= 4 or not free:
        return None
    slot = free[rng.integers(len(free))]
    shape, color = str(v.SHAPES[rng.integers(8)]), str(v.COLORS[rng.integers(10)])
    new = make_object(rng, slot, shape=shape, color=color, size="large")
    new = replace(new, dx=0, dy=0)
    return f"add {v.with_article(color)} {shape} {place(new.slot)}", Scene((*scene.objects, new), scene.background)


def _remove(rng: np.random.Generator, scene: Scene) -> tuple[str, Scene] | None:
    named = _named(rng, scene)
    if named is None or len(scene.objects) < 2:
        return None
    return f"remove the {named[1]}", _with(scene, named[0], None)


def _replace(rng: np.random.Generator, scene: Scene) -> tuple[str, Scene] | None:
    named = _named(rng, scene)
    if named is None:
        return None
    shape, color = str(v.SHAPES[rng.integers(8)]), str(v.COLORS[rng.integers(10)])
    old = scene.objects[named[0]]
    if shape == old.shape:
        return None
    new = replace(old, shape=shape, color=color)
    return f"replace the {named[1]} with {v.with_article(color)} {shape}", _with(scene, named[0], new)


def _recolor(rng: np.random.Generator, scene: Scene) -> tuple[str, Scene] | None:
    named = _named(rng, scene)
    if named is None:
        return None
    color = str(v.COLORS[rng.integers(10)])
    return f"make the {named[1]} {color}", _with(scene, named[0], replace(scene.objects[named[0]], color=color))


def _move(rng: np.random.Generator, scene: Scene) -> tuple[str, Scene] | None:
    named = _named(rng, scene)
    free = _free(scene, named[0]) if named else []
    if not free:
        return None
    row, col = free[rng.integers(len(free))]
    new = replace(scene.objects[named[0]], row=row, col=col, dx=0, dy=0)
    if (row, col) == (scene.objects[named[0]].row, scene.objects[named[0]].col):
        return None
    where = "the center" if new.slot == "center" else f"the {new.slot}"
    return f"move the {named[1]} to {where}", _with(scene, named[0], new)


def _background(rng: np.random.Generator, scene: Scene) -> tuple[str, Scene]:
    name = str(list(v.BACKGROUNDS)[rng.integers(len(v.BACKGROUNDS))])
    return f"change the background to {name}", Scene(scene.objects, name)


_MAKERS = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "recolor": _recolor,
    "move": _move,
    "background": _background,
}
