"""What the mini world's judge answers to the rubrics of ImgEdit-mini and GEdit-mini, from what the detector finds.

It reads the source picture and the instruction, works out the scene that must come out, and compares it with the edited
picture: was the change made, did everything else stay, is what is there cleanly drawn. A picture left as it was has not been
edited and gets the lowest scores. Rules for flat shapes, not a taste; the reply has the official form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

_PAIR, _SINGLE = "Two pictures of flat shapes, before and after an edit.", "One picture of flat shapes, made by an edit."
_ASKED = re.compile(r'^The edit asked for: "(.*)"$', re.MULTILINE)
_NAME = re.compile(r"^(.+): A number from 1 to 5\.$", re.MULTILINE)
_SURE = 0.3
"""Score from which a detection is an object, GenEval's threshold."""
_NEAR = 7.0
"""Pixels of a 64 px canvas between two centres that are one place; places lie 16 apart, jitter is 2."""
_SAME_GROUND = 12.0
"""Mean difference in RGB units up to which two grounds are one."""

_NAMED = r"the (?:(?P<color>\w+) )?(?P<shape>\w+)"
_FORMS: dict[str, re.Pattern[str]] = {
    "add": re.compile(r"add an? (?P<color>\w+) (?P<shape>\w+) (?:in|at) the (?P<slot>[\w ]+)"),
    "remove": re.compile(rf"remove {_NAMED}"),
    "replace": re.compile(rf"replace {_NAMED} with an? (?P<new_color>\w+) (?P<new_shape>\w+)"),
    "move": re.compile(rf"move {_NAMED} to the (?P<slot>[\w ]+)"),
    "background": re.compile(r"change the background to (?P<ground>\w+)"),
    "recolor": re.compile(rf"make {_NAMED} (?P<new_color>\w+)"),
}
"""Instructions of `uniar.data.shapes.edits`, whole."""


class Thing(NamedTuple):
    """One object: what and where, centre in pixels of a 64 px canvas."""

    shape: str
    color: str
    x: float
    y: float
    score: float = 1.0


class View(NamedTuple):
    """What a picture shows."""

    things: tuple[Thing, ...]
    ground: tuple[tuple[float, float, float], ...]
    """RGB of the left edge, where no object comes, from top to bottom: 64 values."""


class Verdict(NamedTuple):
    """How well an edit was done, each 0 to 1."""

    done: float
    kept: float
    clean: float
    reason: str


def answer(question: str, images: Sequence[Image.Image]) -> str | None:
    """Answer a question of ImgEdit-mini or GEdit-mini; None when it is another's.

    Args:
        question: a rubric of `evals.scorers.edit_rubrics`, filled.
        images: source and edited picture, or the edited one alone.
    """
    if question.startswith(_SINGLE) and len(images) == 1:
        things = view(images[0]).things
        share = sum(thing.score >= 0.9 for thing in things) / len(things) if things else 0.0
        return _json(10 * _cleanness(things), 10 * share, f"{len(things)} shapes found")
    asked = _ASKED.search(question)
    if not question.startswith(_PAIR) or len(images) != 2 or asked is None:
        return None
    found = judge(view(images[0]), view(images[1]), asked[1])
    names = _NAME.findall(question)
    if not names:
        if found is None:
            return f"The edit {asked[1]!r} cannot be understood from the first picture."
        return _json(10 * found.done, 10 * found.kept, found.reason)
    if found is None:
        return f"Brief reasoning: the edit {asked[1]!r} cannot be understood from the first picture."
    # As in the official rubrics, compliance is "all and only": the change made and all else spoilt is the middle of the scale.
    first = 1 + round(4 * found.done * (1 + found.kept) / 2)
    scores = (first, min(first, 1 + round(4 * found.clean)), min(first, 1 + round(4 * found.kept)))
    lines = [f"{name}: {score}" for name, score in zip(names, scores, strict=True)]
    return "\n".join((f"Brief reasoning: {found.reason}.", *lines))


def view(image: Image.Image) -> View:
    """Return what a picture shows."""
    from PIL import Image as pil

    from evals.perception.shapes import ShapesDetector

    detector = ShapesDetector()
    image = image.convert("RGB")
    factor = min(image.size) / 64
    things = []
    for found in detector.detect(image, detector.classes):
        if found.score >= _SURE:
            x1, y1, x2, y2 = (side / factor for side in found.box)
            things.append(Thing(detector.classes[found.label], str(found.color), (x1 + x2) / 2, (y1 + y2) / 2, min(1.0, found.score)))
    edge = image.resize((64, 64), pil.Resampling.BOX).crop((0, 0, 1, 64))
    return View(tuple(things), tuple(tuple(map(float, edge.getpixel((0, row)))) for row in range(64)))


def judge(source: View, edited: View, instruction: str) -> Verdict | None:
    """Compare an edited picture with what the instruction makes of the source; None when the instruction does not fit it.

    Args:
        source: the picture before.
        edited: the picture after.
        instruction: of the mini world.
    """
    for kind, form in _FORMS.items():
        match = form.fullmatch(instruction)
        if match is not None:
            return _compare(kind, match.groupdict(), source, edited)
    return None


def _compare(kind: str, asked: dict[str, str | None], source: View, edited: View) -> Verdict | None:
    clean = _cleanness(edited.things)
    if kind == "background":
        wanted = _ground(str(asked["ground"]))
        if wanted is None:
            return None
        done = float(_ground_difference(edited.ground, wanted) <= _SAME_GROUND)
        stayed, total, told = _kept(source.things, edited.things, expected=None)
        return Verdict(done, stayed / total if total else 1.0, clean, f"the background is {'as asked' if done else 'not as asked'}, {told}")
    if kind == "add":
        slot = _center(str(asked["slot"]))
        if slot is None:
            return None
        target, wanted_thing = None, Thing(str(asked["shape"]), str(asked["color"]), *slot)
    else:
        target = _the(source.things, asked["color"], str(asked["shape"]))
        if target is None:
            return None
        wanted_thing = _after(kind, asked, target)
        if wanted_thing is None and kind != "remove":
            return None
    others = tuple(thing for thing in source.things if thing is not target)
    done = _done(wanted_thing, target, source.things, edited.things)
    stayed, total, told = _kept(others, edited.things, expected=wanted_thing, leftover=None if done == 1 else target)
    # The ground is one more thing that has to stay.
    same = _ground_difference(edited.ground, source.ground) <= _SAME_GROUND
    kept = (stayed + same) / (total + 1)
    told += "" if same else ", the background changed"
    return Verdict(done, kept, clean, f"what was asked for is {'there' if done == 1 else 'half there' if done else 'not there'}, {told}")


def _after(kind: str, asked: dict[str, str | None], target: Thing) -> Thing | None:
    # The named object as it must be afterwards.
    if kind == "replace":
        return target._replace(shape=str(asked["new_shape"]), color=str(asked["new_color"]))
    if kind == "recolor":
        return target._replace(color=str(asked["new_color"]))
    if kind == "move":
        slot = _center(str(asked["slot"]))
        return None if slot is None else target._replace(x=slot[0], y=slot[1])
    return None


def _done(wanted: Thing | None, target: Thing | None, before: Sequence[Thing], after: Sequence[Thing]) -> float:
    # 1: as asked; one half: two of shape, colour and place, where the source had fewer; 0 else.
    if wanted is None:
        assert target is not None
        return float(not any(_place(thing, target) for thing in after))
    best = max((_agreement(thing, wanted) for thing in after), default=0)
    if best == 3:
        moved = target is not None and not _place(target, wanted)
        return 0.5 if moved and any(_agreement(thing, target) == 3 for thing in after) else 1.0
    had = max((_agreement(thing, wanted) for thing in before), default=0)
    return 0.5 if best == 2 > had else 0.0


def _kept(
    others: Sequence[Thing], after: Sequence[Thing], *, expected: Thing | None, leftover: Thing | None = None
) -> tuple[int, int, str]:
    # How many of the other objects are still there, of how many; one that nobody asked for counts against it.
    left = list(after)
    for gone in (expected, leftover):
        near = [thing for thing in left if gone is not None and _place(thing, gone)]
        if near:
            left.remove(near[0])
    stayed = 0
    for thing in others:
        same = [one for one in left if _agreement(one, thing) == 3]
        if same:
            left.remove(same[0])
            stayed += 1
    strange = max(0, len(left) - (len(others) - stayed))
    told = f"{stayed} of {len(others)} other shapes stayed" + (f", {strange} came unasked" if strange else "")
    return stayed, len(others) + strange, told


def _agreement(thing: Thing, wanted: Thing) -> int:
    return (thing.shape == wanted.shape) + (thing.color == wanted.color) + _place(thing, wanted)


def _place(a: Thing, b: Thing) -> bool:
    return abs(a.x - b.x) <= _NEAR and abs(a.y - b.y) <= _NEAR


def _the(things: Sequence[Thing], color: str | None, shape: str) -> Thing | None:
    found = [thing for thing in things if thing.shape == shape and color in (None, thing.color)]
    return found[0] if len(found) == 1 else None


def _cleanness(things: Sequence[Thing]) -> float:
    return sum(thing.score for thing in things) / len(things) if things else 0.0


def _center(slot: str) -> tuple[float, float] | None:
    from uniar.data.shapes import Object
    from uniar.data.shapes.vocabulary import SLOT_NAMES

    for (row, col), name in SLOT_NAMES.items():
        if name == slot:
            return Object("circle", "red", "large", row, col).center()
    return None


def _ground(name: str) -> tuple[tuple[float, float, float], ...] | None:
    from uniar.data.shapes import BACKGROUNDS, Scene, render

    if name not in BACKGROUNDS:
        return None
    return tuple(tuple(map(float, pixel)) for pixel in render(Scene((), name))[:, 0])


def _ground_difference(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> float:
    return sum(abs(x - y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)) / (3 * len(a))


def _json(first: float, second: float, reasoning: str) -> str:
    return json.dumps({"score": [round(first), round(second)], "reasoning": reasoning})
