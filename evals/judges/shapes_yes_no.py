"""What the mini world's judge answers to yes/no questions about shapes (DPG-mini, OneIG-mini), from what the detector finds.

A question speaks of shapes, perhaps with a colour before them: is there one, how many, which colour, size and place, which relation;
and of the background. "The star" is the surest star; of a shape that is not there every property is no. What is none of these forms is
left to others. The words are `uniar.data.shapes`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

    from evals.protocols import Detection

_SURE = 0.5
"""A detection counts when its score exceeds this, as in ShapesVqa."""
_ASKED = re.compile(r"\s*([^?]+\?)(?:[\s.]*(?P<form>\S[^?]*))?\s*", re.DOTALL)
"""One question, then perhaps an instruction about the form of the answer."""
_FORM = re.compile(r"\b(yes)\b.*\bno\b|\bno\b.*\b(yes)\b", re.IGNORECASE | re.DOTALL)
_NEAR = 7.0
"""Pixels of a 64 px canvas between two centres that are one place; places lie 16 apart, jitter is 2 (as for edits)."""


class _Named(NamedTuple):
    color: str | None
    shape: str


class _Picture:
    """One picture and what is found in it."""

    def __init__(self, image: Image.Image) -> None:
        from evals.perception.shapes import ShapesDetector

        detector = ShapesDetector()
        self.image = image.convert("RGB")
        self.unit = min(image.size) / 64
        self._classes = detector.classes
        self._found = sorted((d for d in detector.detect(self.image, detector.classes) if d.score > _SURE), key=lambda d: -d.score)

    def all(self, named: _Named) -> list[Detection]:
        """All of a name, the surest first."""
        return [d for d in self._found if self._classes[d.label] == named.shape and named.color in (None, d.color)]

    def the(self, named: _Named) -> Detection | None:
        """The surest of a name."""
        return next(iter(self.all(named)), None)


def answer(question: str, images: Sequence[Image.Image]) -> str | None:
    """Answer a yes/no question about one picture; None when it is another's.

    Args:
        question: one of the forms below, in any case, perhaps followed by an instruction ("Answer yes or no.").
        images: one.

    Returns:
        `Yes` or `No` when the instruction writes them so, else `yes` or `no`.
    """
    asked = _ASKED.fullmatch(question)
    if asked is None or len(images) != 1:
        return None
    form = asked["form"]
    wanted = _FORM.search(form) if form else None
    if form and wanted is None:
        return None
    words = " ".join(asked[1].lower().split())
    for pattern, rule in _forms():
        match = pattern.fullmatch(words)
        if match is not None:
            holds = rule(_Picture(images[0]), match.groupdict())
            capital = wanted is not None and (wanted[1] or wanted[2]) == "Yes"
            said = "yes" if holds else "no"
            return said.capitalize() if capital else said
    return None


Groups = dict[str, str | None]


@cache
def _forms() -> tuple[tuple[re.Pattern[str], Callable[[_Picture, Groups], bool]], ...]:
    from uniar.data.shapes import BACKGROUNDS, COLORS, RELATIONS, SHAPES, SIZES
    from uniar.data.shapes.vocabulary import NUMBERS, SLOT_NAMES, plural

    def one(*words: str) -> str:
        return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))

    def noun(end: str = "", *, many: bool = False) -> str:
        shapes = one(*(plural(shape) for shape in SHAPES)) if many else one(*SHAPES)
        return rf"(?:(?P<color{end}>{one(*COLORS)}) )?(?P<shape{end}>{shapes})"

    counts = one(*(word for number, word in NUMBERS.items() if number > 1), *(str(n) for n in NUMBERS if n > 1))
    forms = (
        (rf"is there (?:an?|any) {noun()}\?", _present),
        (rf"are there (?:exactly )?(?P<count>{counts}) {noun(many=True)}\?", _counted),
        (rf"is the (?P<shape>{one(*SHAPES)}) (?P<hue>{one(*COLORS)})\?", _colored),
        (rf"are the (?P<shape>{one(*(plural(s) for s in SHAPES))}) (?P<hue>{one(*COLORS)})\?", _all_colored),
        (rf"is the {noun()} (?P<size>{one(*SIZES)})\?", _sized),
        (rf"is the {noun()} (?:at|in) the (?P<slot>{one(*SLOT_NAMES.values())})\?", _placed),
        (rf"is the {noun()} (?P<relation>{one(*RELATIONS)}) the {noun('2')}\?", _related),
        (rf"is the background (?P<ground>{one(*BACKGROUNDS)})\?", _grounded),
    )
    return tuple((re.compile(pattern), rule) for pattern, rule in forms)


def _named(groups: Groups, end: str = "") -> _Named:
    from uniar.data.shapes import SHAPES
    from uniar.data.shapes.vocabulary import plural

    word = str(groups[f"shape{end}"])
    return _Named(groups.get(f"color{end}"), next(shape for shape in SHAPES if word in (shape, plural(shape))))


def _present(seen: _Picture, groups: Groups) -> bool:
    return seen.the(_named(groups)) is not None


def _counted(seen: _Picture, groups: Groups) -> bool:
    # Exactly so many, as in GenEval's counting.
    from uniar.data.shapes.vocabulary import NUMBERS

    return len(seen.all(_named(groups))) == next(n for n, word in NUMBERS.items() if groups["count"] in (word, str(n)))


def _colored(seen: _Picture, groups: Groups) -> bool:
    thing = seen.the(_named(groups))
    return thing is not None and thing.color == groups["hue"]


def _all_colored(seen: _Picture, groups: Groups) -> bool:
    things = seen.all(_named(groups))
    return bool(things) and all(d.color == groups["hue"] for d in things)


def _sized(seen: _Picture, groups: Groups) -> bool:
    from uniar.data.shapes import SIZES

    thing, named = seen.the(_named(groups)), _named(groups)
    if thing is None:
        return False
    _, _, side = _square(thing, named.shape, seen.unit)
    return min(SIZES, key=lambda size: abs(SIZES[size] - side)) == groups["size"]


def _placed(seen: _Picture, groups: Groups) -> bool:
    from uniar.data.shapes.vocabulary import LATTICE, SLOT_NAMES

    thing, named = seen.the(_named(groups)), _named(groups)
    if thing is None:
        return False
    x, y, _ = _square(thing, named.shape, seen.unit)
    row, col = next(place for place, name in SLOT_NAMES.items() if name == groups["slot"])
    return abs(x - LATTICE[col]) <= _NEAR and abs(y - LATTICE[row]) <= _NEAR


def _related(seen: _Picture, groups: Groups) -> bool:
    from evals.scorers.geneval_rules import relative_position

    first, second = seen.the(_named(groups)), seen.the(_named(groups, "2"))
    if first is None or second is None or first is second:
        return False
    return groups["relation"] in relative_position(first.box, second.box)


def _grounded(seen: _Picture, groups: Groups) -> bool:
    # The ground whose top and bottom colours are nearest to the four corners: no object reaches into them.
    import numpy as np

    from uniar.data.shapes import BACKGROUNDS

    pixels = np.asarray(seen.image, np.float32)
    side = max(1, round(2 * seen.unit))
    top = np.median(np.concatenate([pixels[:side, :side], pixels[:side, -side:]], 1).reshape(-1, 3), 0)
    bottom = np.median(np.concatenate([pixels[-side:, :side], pixels[-side:, -side:]], 1).reshape(-1, 3), 0)

    def distance(name: str) -> float:
        high, low = (np.float32(color) for color in BACKGROUNDS[name])
        return float(((top - high) ** 2).sum() + ((bottom - low) ** 2).sum())

    return min(BACKGROUNDS, key=distance) == groups["ground"]


def _square(d: Detection, shape: str, unit: float) -> tuple[float, float, float]:
    # Centre and side, on a 64 px canvas, of the square that the shape was drawn in.
    from uniar.data.shapes import tight_box

    a, b, c, e = tight_box(shape)
    side = max((d.box[2] - d.box[0]) / (c - a), (d.box[3] - d.box[1]) / (e - b))
    return (d.box[0] - a * side + side / 2) / unit, (d.box[1] - b * side + side / 2) / unit, side / unit
