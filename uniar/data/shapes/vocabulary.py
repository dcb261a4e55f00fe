"""The words of the world: shapes, colours, sizes, backgrounds, slots; their pixels and their habits.

Bits of a visual token are sampled independently, so every choice that a prompt leaves open needs a usual answer, as in
photographs: bananas are yellow, one object stands in the middle. The habits below say which.
"""

from __future__ import annotations

SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross", "heart", "ring")
# GenEval's ten colours in its order (benchmark spec 1.2).
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
RGB = {
    "red": (214, 30, 34),
    "orange": (247, 130, 10),
    "yellow": (250, 225, 20),
    "green": (20, 140, 45),
    "blue": (25, 60, 215),
    "purple": (125, 30, 165),
    "pink": (255, 120, 195),
    "brown": (110, 60, 22),
    "black": (12, 12, 12),
    "white": (252, 252, 252),
}
SIZES = {"small": 18, "large": 26}
"""Extent in pixels on a 64 px canvas."""
BACKGROUNDS = {
    "gray": ((158, 160, 163), (158, 160, 163)),
    "slate": ((88, 104, 122), (88, 104, 122)),
    "sand": ((205, 190, 150), (205, 190, 150)),
    "mint": ((150, 205, 180), (150, 205, 180)),
    "sky": ((140, 190, 225), (140, 190, 225)),
    "dusk": ((92, 84, 118), (178, 146, 142)),
}
"""Top and bottom colour; `dusk` is a vertical gradient."""
RELATIONS = ("left of", "right of", "above", "below")
MIRROR = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

LATTICE = (16, 32, 48)
"""Centres of the slots, pixels on a 64 px canvas; an object owns the 32 px cell round its centre."""
SLOT_NAMES = {
    (0, 0): "top left",
    (0, 1): "top",
    (0, 2): "top right",
    (1, 0): "left",
    (1, 1): "center",
    (1, 2): "right",
    (2, 0): "bottom left",
    (2, 1): "bottom",
    (2, 2): "bottom right",
}

USUAL_BACKGROUND = "gray"
USUAL_SIZE = "large"
USUAL_COLOR = {
    "circle": "red",
    "square": "blue",
    "triangle": "green",
    "diamond": "purple",
    "star": "yellow",
    "cross": "orange",
    "heart": "pink",
    "ring": "black",
}
# Chance of the usual answer; otherwise any answer with equal chance.
P_BACKGROUND, P_SIZE, P_COLOR, P_LAYOUT = 0.8, 0.85, 0.75, 0.8
JITTER = (-2, -1, 0, 0, 0, 0, 0, 0, 1, 2)
"""Drawn from with equal chance, pixels on a 64 px canvas."""
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


def with_article(words: str) -> str:
    """GenEval's article rule.

    >>> with_article("orange star"), with_article("star")
    ('an orange star', 'a star')
    """
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(word: str) -> str:
    """GenEval's plural rule: `es` after s, else `s`."""
    return word + ("es" if word.endswith("s") else "s")
