"""Questions with one right answer about a scene: what, colour, count, where, yes/no, multiple choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from uniar.data.shapes import vocabulary as v
from uniar.data.shapes.captions import place
from uniar.data.shapes.scene import Object, Scene, relations

KINDS = ("what", "color", "count", "where", "yes_no", "choice")


class Question(NamedTuple):
    """A question, its answer in lower case words (or a letter), and its kind."""

    text: str
    answer: str
    kind: str
    options: tuple[str, ...] | None = None


def sample_question(
    rng: np.random.Generator, scene: Scene, kind: str | None = None, *, shares: Mapping[str, float] | None = None
) -> Question:
    """Draw a question about the scene.

    Args:
        rng: source of all draws.
        scene: what is asked about.
        kind: one of `KINDS`; None draws one. A kind that the scene cannot carry unambiguously falls back to "count".
        shares: of the kinds, when one is drawn; default: equal ones.
    """
    if kind is None and shares:
        weights = np.array([shares.get(k, 0.0) for k in KINDS])
        kind = str(KINDS[rng.choice(len(KINDS), p=weights / weights.sum())])
    kind = kind or str(KINDS[rng.integers(len(KINDS))])
    return _MAKERS[kind](rng, scene) or _count(rng, scene)


def _one_of(rng: np.random.Generator, items: list) -> object:
    return items[rng.integers(len(items))]


def _unique(scene: Scene) -> list[Object]:
    number = Counter(o.shape for o in scene.objects)
    return [o for o in scene.objects if number[o.shape] == 1]


def _what(rng: np.random.Generator, scene: Scene) -> Question:
    o = _one_of(rng, list(scene.objects))
    return Question(f"what shape is {place(o.slot)}?", o.shape, "what")


def _color(rng: np.random.Generator, scene: Scene) -> Question | None:
    unique = _unique(scene)
    if rng.random() < 0.3:
        return Question("what color is the background?", scene.background, "color")
    if not unique:
        return None
    o = _one_of(rng, unique)
    return Question(f"what color is the {o.shape}?", o.color, "color")


def _count(rng: np.random.Generator, scene: Scene) -> Question:
    if rng.random() < 0.3:
        return Question("how many objects are there?", str(len(scene.objects)), "count")
    shape = _one_of(rng, list(scene.objects)).shape if rng.random() < 0.7 else str(_one_of(rng, list(v.SHAPES)))
    return Question(f"how many {v.plural(shape)} are there?", str(sum(o.shape == shape for o in scene.objects)), "count")


def _where(rng: np.random.Generator, scene: Scene) -> Question | None:
    unique = _unique(scene)
    if not unique:
        return None
    o = _one_of(rng, unique)
    return Question(f"where is the {o.shape}?", o.slot, "where")


def _yes_no(rng: np.random.Generator, scene: Scene) -> Question:
    yes = bool(rng.random() < 0.5)
    unique = _unique(scene)
    if len(unique) >= 2 and rng.random() < 0.4:
        i, j = rng.choice(len(unique), 2, replace=False)
        a, b = unique[i], unique[j]
        # Clear of the rule's edge, where a pixel would decide.
        true = relations(a, b, least=0.58)
        false = [r for r in v.RELATIONS if r not in true and v.MIRROR[r] in true]
        options = true if yes else false
        if options:
            return Question(f"is the {a.shape} {_one_of(rng, options)} the {b.shape}?", "yes" if yes else "no", "yes_no")
    o = _one_of(rng, list(scene.objects))
    color, shape = o.color, o.shape
    if not yes:
        shown = {(x.color, x.shape) for x in scene.objects}
        while (color, shape) in shown:
            # Half of the false questions change one word only, so that neither word alone decides.
            color, shape = o.color, o.shape
            if rng.random() < 0.5:
                color = str(_one_of(rng, list(v.COLORS)))
            else:
                shape = str(_one_of(rng, list(v.SHAPES)))
    return Question(f"is there {v.with_article(color)} {shape}?", "yes" if yes else "no", "yes_no")


def _choice(rng: np.random.Generator, scene: Scene) -> Question:
    o = _one_of(rng, list(scene.objects))
    unique = [x for x in _unique(scene)]
    if unique and rng.random() < 0.5:
        o = _one_of(rng, unique)
        stem, right, pool = f"what color is the {o.shape}?", o.color, list(v.COLORS)
    else:
        stem, right, pool = f"what shape is {place(o.slot)}?", o.shape, list(v.SHAPES)
    wrong = [w for w in pool if w != right]
    options = [right, *(wrong[i] for i in rng.choice(len(wrong), 3, replace=False))]
    options = [options[i] for i in rng.permutation(4)]
    listed = " ".join(f"{letter}. {word}" for letter, word in zip("ABCD", options, strict=True))
    return Question(f"{stem} {listed}", "ABCD"[options.index(right)], "choice", tuple(options))


_MAKERS = {"what": _what, "color": _color, "count": _count, "where": _where, "yes_no": _yes_no, "choice": _choice}
