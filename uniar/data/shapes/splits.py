"""What training never shows: at least 15% of (shape, colour) pairs and of (shape, relation, shape) combinations.

Fixed by a seeded rule, not by hand: every shape and every colour loses one to three pairs, a shape's usual colour is
never held out, and relations are held out together with their mirror image.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from uniar.data.shapes.vocabulary import COLORS, MIRROR, SHAPES, USUAL_COLOR

_SEED = 20260618


@cache
def _pairs() -> frozenset[tuple[str, str]]:
    rng = np.random.default_rng(_SEED)
    held: set[tuple[str, str]] = set()
    # Each colour loses one pair, then each shape is brought to at least one, then random ones up to 14 of 80.
    for color in COLORS:
        shapes = [s for s in SHAPES if USUAL_COLOR[s] != color and _count(held, s) < 2]
        held.add((shapes[rng.integers(len(shapes))], color))
    for shape in SHAPES:
        if _count(held, shape) == 0:
            colors = [c for c in COLORS if USUAL_COLOR[shape] != c and _count(held, c) < 2]
            held.add((shape, colors[rng.integers(len(colors))]))
    while len(held) < 14:
        shape, color = SHAPES[rng.integers(len(SHAPES))], COLORS[rng.integers(len(COLORS))]
        if USUAL_COLOR[shape] != color and _count(held, shape) < 3 and _count(held, color) < 3:
            held.add((shape, color))
    return frozenset(held)


def _count(held: set[tuple[str, str]], word: str) -> int:
    return sum(word in pair for pair in held)


@cache
def _relations() -> frozenset[tuple[str, str, str]]:
    rng = np.random.default_rng(_SEED + 1)
    # A combination and its mirror image are one fact, so half of them are drawn and the mirrors added.
    facts = [(a, r, b) for a in SHAPES for b in SHAPES if a != b for r in ("left of", "above")]
    chosen = rng.choice(len(facts), size=-(-len(facts) * 16 // 100), replace=False)
    held = {facts[i] for i in chosen}
    return frozenset(held | {(b, MIRROR[r], a) for a, r, b in held})


def held_out_pairs() -> frozenset[tuple[str, str]]:
    """All (shape, colour) pairs that training never shows."""
    return _pairs()


def held_out_relations() -> frozenset[tuple[str, str, str]]:
    """All (shape A, relation, shape B) that training never shows."""
    return _relations()


def is_held_out_pair(shape: str, color: str) -> bool:
    """Whether training never shows this shape in this colour."""
    return (shape, color) in _pairs()


def is_held_out_relation(a: str, relation: str, b: str) -> bool:
    """Whether training never shows shape `a` in this relation to shape `b`."""
    return (a, relation, b) in _relations()
