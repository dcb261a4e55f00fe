"""Scenes: one to four objects in disjoint cells on a background; how they are drawn at random.

Everything draws from the numpy generator passed in. `split` decides what may appear: "train" never shows a held-out
pair or relation, "held_out" shows at least one, "all" does not look.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from uniar.data.shapes import vocabulary as v
from uniar.data.shapes.outlines import tight_box
from uniar.data.shapes.splits import held_out_pairs, is_held_out_pair, is_held_out_relation

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

    def square(self, size: int = 64) -> list[float]:
        """[x1, y1, x2, y2] of the square that the shape is drawn in, x2 and y2 exclusive."""
        x, y = self.center(size)
        half = v.SIZES[self.size] * size / 64 / 2
        return [x - half, y - half, x + half, y + half]

    def box(self, size: int = 64) -> list[float]:
        """[x1, y1, x2, y2] of the tight box round the shape in pixels, x2 and y2 exclusive."""
        x, y, right, _ = self.square(size)
        side = right - x
        a, b, c, d = tight_box(self.shape)
        return [x + a * side, y + b * side, x + c * side, y + d * side]

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


def relations(a: Object, b: Object, *, least: float = 0.5) -> list[str]:
    """Relations of a to b by GenEval's rule on their boxes (benchmark spec 1.7).

    Args:
        a: the object that is placed.
        b: the object it is placed against.
        least: share of the distance that must lie along an axis; GenEval's is 0.5, more leaves room for a detector's
            pixel or two.
    """
    p, q = a.box(), b.box()
    dx, dy = (p[0] + p[2] - q[0] - q[2]) / 2, (p[1] + p[3] - q[1] - q[3]) / 2
    rx = max(abs(dx) - 0.1 * (p[2] - p[0] + q[2] - q[0]), 0.0)
    ry = max(abs(dy) - 0.1 * (p[3] - p[1] + q[3] - q[1]), 0.0)
    if rx < 1e-3 and ry < 1e-3:
        return []
    norm = math.hypot(dx, dy)
    x, y = math.copysign(rx, dx) / norm, math.copysign(ry, dy) / norm
    held = (("left of", x < -least), ("right of", x > least), ("above", y < -least), ("below", y > least))
    return [name for name, holds in held if holds]


def is_held_out(scene: Scene) -> bool:
    """Whether the scene shows a held-out pair or relation."""
    if any(is_held_out_pair(o.shape, o.color) for o in scene.objects):
        return True
    # Held-out relations come with their mirror image, so one order of each pair is enough.
    return any(
        is_held_out_relation(a.shape, r, b.shape)
        for a, b in combinations(scene.objects, 2)
        if a.shape != b.shape
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


def draw_slots(
    rng: np.random.Generator, n: int, *, usual: tuple[tuple[int, int], ...] | None = None
) -> list[tuple[int, int]]:
    """n disjoint slots: the typical layout, or any valid one."""
    if rng.random() < v.P_LAYOUT:
        return list(usual or _TYPICAL[n])
    return _even_slots(rng, n)


def make_object(
    rng: np.random.Generator,
    slot: tuple[int, int],
    *,
    shape: str,
    color: str | None = None,
    size: str | None = None,
    train: bool = True,
) -> Object:
    """An object with its open choices drawn by habit; in training a held-out colour is never drawn."""
    while color is None:
        color = pick(rng, v.COLORS, v.USUAL_COLOR[shape], v.P_COLOR)
        if train and is_held_out_pair(shape, color):
            color = None
    size = size or pick(rng, list(v.SIZES), v.USUAL_SIZE, v.P_SIZE)
    dx, dy = (v.JITTER[k] for k in rng.integers(len(v.JITTER), size=2))
    return Object(shape, color, size, slot[0], slot[1], dx, dy)


def draw_background(rng: np.random.Generator) -> str:
    """The usual background most of the time."""
    return pick(rng, list(v.BACKGROUNDS), v.USUAL_BACKGROUND, v.P_BACKGROUND)


def sample_scene(
    rng: np.random.Generator, *, split: str = "train", habits: bool = False, objects: int | None = None
) -> Scene:
    """A scene of 1 to 4 objects.

    Args:
        rng: source of all draws.
        split: "train", "held_out" or "all".
        habits: False draws shapes, colours, sizes and backgrounds evenly (for learning to see).
        objects: how many; None draws 1 to 4 with equal chance, whatever the split (fuller scenes are refused more
            often, so the number must not be drawn again with each try).
    """
    n = objects or int(rng.integers(1, 5))
    while True:
        scene = _draw(rng, n, split, habits)
        if allowed(scene, split):
            return scene


def _draw(rng: np.random.Generator, n: int, split: str, habits: bool) -> Scene:
    slots = draw_slots(rng, n) if habits else _even_slots(rng, n)
    objects = []
    for slot in slots:
        shape = str(v.SHAPES[rng.integers(len(v.SHAPES))])
        if habits:
            objects.append(make_object(rng, slot, shape=shape, train=split == "train"))
            continue
        color = str(v.COLORS[rng.integers(10)])
        while split == "train" and is_held_out_pair(shape, color):
            color = str(v.COLORS[rng.integers(10)])
        size = str(list(v.SIZES)[rng.integers(2)])
        objects.append(make_object(rng, slot, shape=shape, color=color, size=size))
    if split == "held_out" and rng.random() < 0.5:
        pairs = sorted(held_out_pairs())
        shape, color = pairs[rng.integers(len(pairs))]
        objects[0] = make_object(rng, slots[0], shape=shape, color=color)
    background = draw_background(rng) if habits else list(v.BACKGROUNDS)[rng.integers(len(v.BACKGROUNDS))]
    return Scene(tuple(objects), background)


def _even_slots(rng: np.random.Generator, n: int) -> list[tuple[int, int]]:
    layouts = _layouts(n)
    chosen = layouts[rng.integers(len(layouts))]
    return [chosen[i] for i in rng.permutation(n)]


@cache
def _layouts(n: int) -> list[tuple[tuple[int, int], ...]]:
    # Every set of n disjoint slots, once.
    return [s for s in combinations(v.SLOT_NAMES, n) if disjoint(list(s))]
