"""What the mini world's judge answers to WISE-mini's rubrics (`evals/scorers/wise.py`), from what the detector finds.

Consistency: 2 when all that the explanation names is there and nothing else, 1 when the right shapes are there, else 0.
Realism: 2 when every object is recognised surely, 1 when at least likely. Aesthetic Quality: one mark for standing inside the
picture, one for standing apart. These are rules for flat shapes, not a taste.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from evals.protocols import Detection

_OPENING = "You see a picture of flat shapes."
_MARKS, _BIT = "Mark three things", "Score: 1 or Score: 0"
_OBJECT = re.compile(r"\bone (?:(small|large) )?(?:(\w+) )?(\w+)(?= in the center| and |,| on |$)( in the center)?")
_GROUND = re.compile(r"on a (\w+) background")
_PLACED = re.compile(r"the (\w+) (left of|right of|above|below) the (\w+)")
_SURE, _LIKELY = 0.9, 0.5


def answer(question: str, images: Sequence[Image.Image]) -> str | None:
    """Answer WISE-mini's question; None when it is another's.

    Args:
        question: a rubric of `evals.scorers.wise.MINI`, filled.
        images: one.
    """
    if not question.startswith(_OPENING) or len(images) != 1:
        return None
    expected = re.search(r'EXPLANATION: "(.*)"', question)
    if expected is None or not (_MARKS in question or _BIT in question):
        return None
    from evals.perception.shapes import ShapesDetector

    detector = ShapesDetector()
    image = images[0].convert("RGB")
    found = detector.detect(image, detector.classes)
    consistency = _consistency(expected[1], image, found, detector.classes)
    if _MARKS not in question:
        return f"Score: {int(consistency == 2)}"
    return f"Consistency: {consistency}\nRealism: {_realism(found)}\nAesthetic Quality: {_aesthetic(image, found)}"


def _consistency(expected: str, image: Image.Image, found: Sequence[Detection], classes: Sequence[str]) -> int:
    sure = [d for d in found if d.score >= _LIKELY]
    wanted = [match.groups() for match in _OBJECT.finditer(expected)]
    if not wanted or Counter(classes[d.label] for d in sure) != Counter(shape for *_, shape, _ in wanted):
        return 0
    left = {classes[d.label]: d for d in sure}
    held = []
    for size, color, shape, centered in wanted:
        x, y, extent = _square(image, left[shape], shape)
        held += [color is None or left[shape].color == color]
        held += [size is None or (extent > 22) == (size == "large")]
        held += [not centered or (abs(x - 32) <= 5 and abs(y - 32) <= 5)]
    ground = _GROUND.search(expected)
    held += [ground is None or _ground(image) == ground[1]]
    for first, relation, second in _PLACED.findall(expected):
        held += [relation in _relations(left[first], left[second])]
    return 2 if all(held) else 1


def _square(image: Image.Image, d: Detection, shape: str) -> tuple[float, float, float]:
    # Centre and side, on a 64 px canvas, of the square that the shape was drawn in.
    from uniar.data.shapes import tight_box

    unit = min(image.size) / 64
    a, b, c, e = tight_box(shape)
    side = max((d.box[2] - d.box[0]) / (c - a), (d.box[3] - d.box[1]) / (e - b))
    return (d.box[0] - a * side + side / 2) / unit, (d.box[1] - b * side + side / 2) / unit, side / unit


def _relations(a: Detection, b: Detection) -> list[str]:
    from evals.scorers.geneval_rules import relative_position

    return relative_position(a.box, b.box)


def _ground(image: Image.Image) -> str:
    # The background whose colours at the upper and the lower edge are nearest; objects never cover most of an edge.
    import numpy as np

    from uniar.data.shapes import BACKGROUNDS

    pixels = np.asarray(image, np.float32)
    edges = [np.median(pixels[0], 0), np.median(pixels[-1], 0)]
    distance = {
        name: sum(float(((edge - np.float32(color)) ** 2).sum()) for edge, color in zip(edges, colors, strict=True))
        for name, colors in BACKGROUNDS.items()
    }
    return min(distance, key=lambda name: distance[name])


def _realism(found: Sequence[Detection]) -> int:
    worst = min((d.score for d in found), default=0.0)
    return 2 if worst >= _SURE else int(worst >= _LIKELY)


def _aesthetic(image: Image.Image, found: Sequence[Detection]) -> int:
    if not found:
        return 0
    inside = all(d.box[0] >= 0.5 and d.box[1] >= 0.5 and d.box[2] <= image.width - 0.5 and d.box[3] <= image.height - 0.5 for d in found)
    apart = all(not _overlap(a.box, b.box) for i, a in enumerate(found) for b in found[:i])
    return int(inside) + int(apart)


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
