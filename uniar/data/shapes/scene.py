"""Scenes: one to four objects in disjoint cells on a background; how they are drawn at random.

Everything draws from the numpy generator passed in. `split` decides what may appear: "train" never shows a held-out pair or
relation, "held_out" shows at least one, "all" does not look.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from uniar.data.shapes import vocabulary as v
from uniar.data.shapes.splits import held_out_pairs, is_held_out_pair, is_held_out_relation

SPLITS = ("train", "held_out", "all")
# The typical layouts, by number of objects; the second of two is below or right of the first.
_TYPICAL = {1: ((1, 1),), 2: ((1, 0), (1, 2)), 3: ((0, 1), (2, 0), (2, 2)), 4: ((0, 0), (0, 2), (2, 0), (2, 2))}


@dataclass(frozen=True, slots=True)
class Object:
    """One object; row and col are lattice slots 0..2, dx and dy the jitter in pixels on a 64 px canvas."""

    shape: str
    color: str
    size: str
    row: int
    col: int
    dx: int = 0
    dy: int = 0

    def center(self, size: int = 64) -> tuple[float, float]:
        """(x, y) of the centre in pixels of a canvas of that side."""
        scale = size / 64
        return (v.LATTICE[self.col] + self.dx) * scale, (v.LATTICE[self.row] + self.dy) * scale

    def box(self, size: int = 64) -> list[float]:
        """[x1, y1, x2, y2] of the square that the shape fills, x2 and y2 exclusive."""
        x, y = self.center(size)
        half = v.SIZES[self.size] * size / 64 / 2
        return [x - half, y - half, x + half, y + half]

    @property
    def slot(self) -> str:
        """Name of the slot."""
        return v.SLOT_NAMES[self.row, self.col]


@dataclass(frozen=True, slots=True)
class Scene:
    """Objects in reading order of their making, and the background's name."""

    objects: tuple[Object, ...]
    background: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {"background": self.background, "objects": [asdict(o) for o in self.objects]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Scene:
        """Inverse of `to_json`."""
        return cls(tuple(Object(**o) for o in data["objects"]), data["background"])


def relations(a: Object, b: Object) -> list[str]:
    """Relations of a to b by GenEval's rule on their boxes (benchmark spec 1.7)."""
    (ax, ay), (bx, by) = a.center(), b.center()
    dx, dy = ax - bx, ay - by
    reach = 0.1 * (v.SIZES[a.size] + v.SIZES[b.size])
    rx, ry = max(abs(dx) - reach, 0.0), max(abs(dy) - reach, 0.0)
    if rx < 1e-3 and ry < 1e-3:
        return []
    norm = math.hypot(dx, dy)
    x, y = math.copysign(rx, dx) / norm, math.copysign(ry, dy) / norm
    return [n for n, yes in (("left of", x < -0.5), ("right of", x > 0.5), ("above", y < -0.5), ("below", y > 0.5)) if yes]


def is_held_out(scene: Scene) -> bool:
    """Whether the scene shows a held-out pair or relation."""
    if any(is_held_out_pair(o.shape, o.color) for o in scene.objects):
        return True
    return any(
        is_held_out_relation(a.shape, r, b.shape)
        for a in scene.objects
        for b in scene.objects
        if a is not b and a.shape != b.shape
        for r in relations(a, b)
    )


def allowed(scene: Scene, split: str) -> bool:
    """Whether a scene belongs to the split."""
    return split == "all" or is_held_out(scene) == (split == "held_out")


def disjoint(slots: list[tuple[int, int]]) -> bool:
    """Whether the 32 px cells of the slots are disjoint."""
    return all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= 2 for i, a in enumerate(slots) for b in slots[:i])


def pick(rng: np.random.Generator, options: tuple[str, ...] | list[str], usual: str, p: float) -> str:
    """The usual option with probability p, else any with equal chance."""
    return usual if rng.random() < p else str(options[rng.integers(len(options))])


def draw_slots(rng: np.random.Generator, n: int, *, usual: tuple[tuple[int, int], ...] | None = None) -> list[tuple[int, int]]:
    """n disjoint slots: the typical layout, or any valid one."""
    if rng.random() < v.P_LAYOUT:
        return list(usual or _TYPICAL[n])
    return _even_slots(rng, n)


def make_object(
    rng: np.random.Generator, slot: tuple[int, int], *, shape: str, color: str | None = None, size: str | None = None, train: bool = True
) -> Object:
    """An object with its open choices drawn by habit; in training a held-out colour is never drawn."""
    while color is None:
        color = pick(rng, v.COLORS, v.USUAL_COLOR[shape], v.P_COLOR)
        if train and is_held_out_pair(shape, color):
            color = None
    size = size or pick(rng, list(v.SIZES), v.USUAL_SIZE, v.P_SIZE)
    dx, dy = (int(j) for j in rng.choice(v.JITTER, 2, p=v.P_JITTER))
    return Object(shape, color, size, slot[0], slot[1], dx, dy)


def draw_background(rng: np.random.Generator) -> str:
    """The usual background most of the time."""
    return pick(rng, list(v.BACKGROUNDS), v.USUAL_BACKGROUND, v.P_BACKGROUND)


def sample_scene(rng: np.random.Generator, *, split: str = "train", habits: bool = False) -> Scene:
    """A scene of 1 to 4 objects.

    Args:
        rng: source of all draws.
        split: "train", "held_out" or "all".
        habits: False draws shapes, colours, sizes and backgrounds evenly (for learning to see).
    """
    while True:
        n = int(rng.integers(1, 5))
        slots = draw_slots(rng, n) if habits else _even_slots(rng, n)
        objects = []
        for slot in slots:
            shape = str(v.SHAPES[rng.integers(len(v.SHAPES))])
            if habits:
                objects.append(make_object(rng, slot, shape=shape, train=split == "train"))
                continue
            color, size = str(v.COLORS[rng.integers(10)]), str(list(v.SIZES)[rng.integers(2)])
            objects.append(make_object(rng, slot, shape=shape, color=color, size=size))
        if split == "held_out" and rng.random() < 0.5:
            pairs = sorted(held_out_pairs())
            shape, color = pairs[rng.integers(len(pairs))]
            objects[0] = make_object(rng, slots[0], shape=shape, color=color)
        background = draw_background(rng) if habits else str(list(v.BACKGROUNDS)[rng.integers(len(v.BACKGROUNDS))])
        scene = Scene(tuple(objects), background)
        if allowed(scene, split):
            return scene


def _even_slots(rng: np.random.Generator, n: int) -> list[tuple[int, int]]:
    layouts = _layouts(n)
    chosen = layouts[rng.integers(len(layouts))]
    return [chosen[i] for i in rng.permutation(n)]


@cache
def _layouts(n: int) -> list[tuple[tuple[int, int], ...]]:
    # Every set of n disjoint slots, once.
    return [s for s in combinations(v.SLOT_NAMES, n) if disjoint(list(s))]
