"""Edits: an independent reader carries the instruction out, and must arrive at the very target."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from uniar.data import shapes
from uniar.data.shapes import Object, Scene, is_held_out
from uniar.data.shapes.edits import KINDS
from uniar.data.shapes.vocabulary import SLOT_NAMES

SLOTS = {name: slot for slot, name in SLOT_NAMES.items()}


def carry_out(instruction: str, scene: Scene) -> Scene:
    """The scene after the instruction; an assertion error where it is ambiguous or impossible."""
    objects = list(scene.objects)

    def named(words: str) -> int:
        *color, shape = words.split()
        found = [i for i, o in enumerate(objects) if o.shape == shape and o.color in (color or [o.color])]
        assert len(found) == 1, (instruction, scene)
        return found[0]

    if m := re.fullmatch(r"add an? (\w+) (\w+) (?:at|in) the ([a-z ]+)", instruction):
        return Scene((*objects, Object(m[2], m[1], "large", *SLOTS[m[3]])), scene.background)
    if m := re.fullmatch(r"change the background to (\w+)", instruction):
        return Scene(scene.objects, m[1])
    if m := re.fullmatch(r"remove the ([a-z ]+)", instruction):
        del objects[named(m[1])]
    elif m := re.fullmatch(r"replace the ([a-z ]+) with an? (\w+) (\w+)", instruction):
        i = named(m[1])
        objects[i] = replace(objects[i], color=m[2], shape=m[3])
    elif m := re.fullmatch(r"move the ([a-z ]+) to the ([a-z ]+)", instruction):
        i = named(m[1])
        row, col = SLOTS[m[2]]
        objects[i] = replace(objects[i], row=row, col=col, dx=0, dy=0)
    else:
        m = re.fullmatch(r"make the ([a-z ]+) (\w+)", instruction)
        assert m, instruction
        i = named(m[1])
        objects[i] = replace(objects[i], color=m[2])
    return Scene(tuple(objects), scene.background)


@pytest.mark.parametrize("split", ["train", "held_out", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_target_is_what_the_instruction_says(kind, split):
    rng = np.random.default_rng(0)
    for _ in range(40):
        edit = shapes.sample_edit(rng, split=split, kind=kind)
        assert edit.kind == kind and edit.source != edit.target
        assert carry_out(edit.instruction, edit.source) == edit.target
        cells = [(o.row, o.col) for o in edit.target.objects]
        assert all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 2 for i, a in enumerate(cells) for b in cells[:i])
        assert 1 <= len(cells) <= 4
        if split != "all":
            assert is_held_out(edit.target) == (split == "held_out")
            # Only an edit that brings something in can lead from what training shows to what it does not.
            assert is_held_out(edit.source) == (split == "held_out" and kind in ("remove", "background"))


def test_every_kind_is_drawn_in_every_split():
    for split in ("train", "held_out", "all"):
        rng = np.random.default_rng(1)
        assert {shapes.sample_edit(rng, split=split).kind for _ in range(60)} == set(KINDS)
