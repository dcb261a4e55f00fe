"""T2I-CompBench's scores as pure functions: where two boxes lie, how many of what, what a prompt's phrases are worth.

Source: Karine-Huang/T2I-CompBench 1b70949, `UniDet_eval/2D_spatial_eval.py`, `3D_spatial_eval.py`, `numeracy_eval.py`,
`BLIPvqa_eval/BLIP_vqa.py`, `3_in_1_eval/3_in_1.py`. Boxes are [x1, y1, x2, y2] in pixels of the image that the detector saw
(shorter side 479, longer at most 480 there). `official=False` mends what the official rule gets wrong. Leaves words,
detectors and models to the scorer's roles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

Box = Sequence[float]

LOCALITIES_2D: tuple[str, ...] = (
    "on side of",
    "next to",
    "near",
    "on the left of",
    "on the right of",
    "on the bottom of",
    "on the top of",
    "on top of",
)
"""In the order in which a prompt is searched for them."""
LOCALITIES_3D: tuple[str, ...] = ("in front of", "behind", "hidden")
PERSONS = frozenset({"girl", "boy", "man", "woman"})
EXCLUDED_PHRASES = frozenset({"top", "the side", "the left", "the right"})
"""Noun chunks about which the official code asks nothing."""
MAX_PHRASES = 8
NUMBERS: dict[str, int] = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
}  # fmt: skip
RENAMED: dict[str, str] = {
    **dict.fromkeys(PERSONS, "person"),
    "ship": "boat",
    # Misspelt in the official code, so that televisions keep a name which its detector does not have.
    "telivision": "tv",
    "goldfish": "fish",
    "painting": "picture",
}
"""Names of the numeracy prompts -> names of the detector."""
_PREPOSITIONS = frozenset({"on top of", "on bottom of", "on the left", "on the right", "next to", "on side of", "near"})


class Seen(NamedTuple):
    """One detection by name."""

    name: str
    score: float
    box: tuple[float, float, float, float]


def locality_of(prompt: str, vocabulary: Sequence[str]) -> str | None:
    """Return the first word of the vocabulary that the prompt contains, or None.

    >>> locality_of("a cat on the top of a sofa", LOCALITIES_2D), locality_of("a cat on top of it", LOCALITIES_2D)
    ('on the top of', 'on top of')
    """
    return next((word for word in vocabulary if word in prompt), None)


def box_iou(a: Box, b: Box) -> float:
    """Overlap of two boxes over their union; 0 when both are empty."""
    common = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union else 0.0


def position_2d(
    locality: str | None, a: Box, b: Box, *, official: bool = True, iou_threshold: float = 0.1, distance_threshold: float = 150
) -> float:
    """How well A stands to B as the locality says, 0 to 1.

    Args:
        locality: one of `LOCALITIES_2D`; anything else gives 0.
        a: box of the first object.
        b: box of the second.
        official: "on top of" has no rule there and always gives 0; False reads it as "on the top of".
        iou_threshold: overlap from which a right direction is worth less than 1.
        distance_threshold: pixels within which two things are near along an axis.
    """
    if locality == "on top of" and not official:
        locality = "on the top of"
    dx, dy = (b[0] + b[2]) / 2 - (a[0] + a[2]) / 2, (b[1] + b[3]) / 2 - (a[1] + a[3]) / 2
    if locality in ("next to", "on side of", "near"):
        if abs(dx) < distance_threshold or abs(dy) < distance_threshold:
            return 1.0
        return distance_threshold / max(abs(dx), abs(dy))
    # Image rows grow downwards: A is on top when B's centre is lower.
    right = {
        "on the right of": dx < 0 and abs(dx) > abs(dy),
        "on the left of": dx > 0 and abs(dx) > abs(dy),
        "on the bottom of": dy < 0 and abs(dy) > abs(dx),
        "on the top of": dy > 0 and abs(dy) > abs(dx),
    }
    if locality is None or not right.get(locality, False):
        return 0.0
    overlap = box_iou(a, b)
    return 1.0 if overlap < iou_threshold else iou_threshold / overlap


def position_3d(
    locality: str | None,
    a: Box,
    b: Box,
    depth: np.ndarray,
    *,
    official: bool = True,
    iou_threshold: float = 0.5,
    distance_threshold: float = 150,
) -> float:
    """How well A stands before or behind B, 0 to 1; localities of the plane are judged as in `position_2d`.

    Args:
        locality: one of `LOCALITIES_3D` or of `LOCALITIES_2D`.
        a: box of the first object.
        b: box of the second.
        depth: float (h, w), larger is nearer.
        official: there the map is cut as depth[x, y], axes swapped, and an overlap of exactly the threshold gives 0; False
            cuts depth[y, x] and gives 1.
        iou_threshold: overlap above which a right order is worth 1.
        distance_threshold: see `position_2d`.
    """
    if locality not in LOCALITIES_3D:
        return position_2d(locality, a, b, official=official, distance_threshold=distance_threshold)
    overlap = box_iou(a, b)
    nearer = _mean_depth(depth, a, swapped=official) - _mean_depth(depth, b, swapped=official)
    # A box outside the map (the swapped cut of an oblong image) has no mean: NaN is neither nearer nor farther.
    if not (nearer > 0 if locality == "in front of" else nearer < 0):
        return 0.0
    if overlap > iou_threshold or (overlap == iou_threshold and not official):
        return 1.0
    return overlap / iou_threshold if 0 < overlap < iou_threshold else 0.0


def _mean_depth(depth: np.ndarray, box: Box, *, swapped: bool) -> float:
    columns, rows = slice(int(box[0]), int(box[2])), slice(int(box[1]), int(box[3]))
    part = depth[columns, rows] if swapped else depth[rows, columns]
    return float(part.mean()) if part.size else math.nan


def spatial_score(first: Seen | None, second: Seen | None, position: float, *, floor: float = 0.5) -> float:
    """Score of a placed pair: a quarter of each one's confidence and half of their position; no half without both.

    Args:
        first: detection of the first object, if any.
        second: of the second.
        position: of `position_2d` or `position_3d`; unread unless both are there.
        floor: lower scores become 0 (the 2D rule; 0 in 3D).
    """
    score = sum(0.25 * found.score for found in (first, second) if found is not None)
    if first is not None and second is not None:
        score += position / 2
    return score if score >= floor else 0.0


def find_exact(seen: Sequence[Seen], name: str) -> Seen | None:
    """Return the first detection of that very name (2D)."""
    return next((one for one in seen if one.name == name), None)


def find_containing(seen: Sequence[Seen], first: str, second: str) -> tuple[Seen | None, Seen | None]:
    """Return the detections whose names contain two words (3D).

    With both to be found the official loop goes on until it has both, so that the earlier of the two ends as the last match
    up to there, not the first.
    """
    joined = " ".join(one.name for one in seen)
    has_first, has_second = first in joined, second in joined
    if has_first and has_second:
        a = b = None
        for one in seen:
            a = one if first in one.name else a
            b = one if second in one.name else b
            if a is not None and b is not None:
                break
        return a, b
    a = next((one for one in seen if first in one.name), None) if has_first else None
    b = next((one for one in seen if second in one.name), None) if has_second else None
    return a, b


def as_person(name: str) -> str:
    """Return what the detector calls it: a girl, boy, man or woman is a person."""
    return "person" if name in PERSONS else name


def simple_objects(tokens: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the first and the last noun of (word, part of speech) pairs; None without any."""
    nouns = [word for word, part in tokens if part == "NOUN"]
    return (as_person(nouns[0]), as_person(nouns[-1])) if nouns else None


def complex_objects(tokens: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """Return what stands before and after the one preposition of a complex prompt; None unless that is two words."""
    found: list[str] = []
    for i in range(len(tokens)):
        length = next((k for k in (3, 2, 1) if " ".join(word for word, _ in tokens[i : i + k]) in _PREPOSITIONS), 0)
        if not length:
            continue
        before = next((word for word, part in reversed(tokens[:i]) if part in ("NOUN", "PROPN")), None)
        rest = tokens[i + length :]
        after = next((word for word, part in rest if part == "NOUN"), None)
        if after is None:
            # The last word of a name: a PROPN that another part of speech follows.
            ends = pairwise(rest)
            after = next((one[0] for one, following in ends if one[1] == "PROPN" != following[1]), None)
        found += [word for word in (before, after) if word is not None]
    return (as_person(found[0]), as_person(found[1])) if len(found) == 2 else None


def is_duplicate(a: Box, b: Box) -> bool:
    """Whether two boxes of one name are one thing: overlap over 0.9, or over 0.9 of either inside the other; edges count.

    >>> is_duplicate([0, 0, 9, 9], [0, 0, 4, 9])
    True
    """
    common = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1) * max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    shares = [common / float(whole) if whole else 0.0 for whole in (sum(areas) - common, *areas)]
    return any(share > 0.9 for share in shares)


def without_duplicates(seen: Iterable[Seen]) -> list[Seen]:
    """Keep each detection that no kept one of its name duplicates."""
    kept: list[Seen] = []
    for one in seen:
        if not any(one.name == other.name and is_duplicate(one.box, other.box) for other in kept):
            kept.append(one)
    return kept


def wanted_numbers(words: Sequence[str], plurals: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return what a numeracy prompt asks for, as (singular, count) in order.

    Args:
        words: of the prompt, punctuation as words of its own.
        plurals: plural -> singular of all objects, both lower case, as the official list has them.
    """
    singulars = set(plurals.values())
    wanted = []
    for i, word in enumerate(words):
        if word not in NUMBERS:
            continue
        count, pair, single = NUMBERS[word], " ".join(words[i + 1 : i + 3]), " ".join(words[i + 1 : i + 2])
        if pair != single and (pair in singulars or pair in plurals):
            # Two words of the wrong number are asked for as they stand, once.
            wanted.append((plurals[pair], count) if pair in plurals and count > 1 else (pair, 1))
        elif single in singulars and count == 1:
            wanted.append((single, 1))
        elif single in plurals:
            wanted.append((plurals[single], count))
    return wanted


def numeracy_score(seen: Sequence[Seen], wanted: Sequence[tuple[str, int]]) -> float:
    """Half a share for each wanted thing that is there at all, half for its exact number; shares are equal.

    Args:
        seen: detections, duplicates among them.
        wanted: of `wanted_numbers`, at least one.
    """
    names = [one.name for one in without_duplicates(seen)]
    score = 0.0
    for asked, count in wanted:
        name = RENAMED.get(asked, asked)
        if name not in names:
            # "fish" is also found as "goldfish". The new name stays for the objects that follow, as there.
            names = [name if name in one else one for one in names]
        if name in names:
            score += 0.5 / len(wanted)
            score += 0.5 / len(wanted) if names.count(name) == count else 0.0
    return score


def asked_phrases(chunks: Iterable[str]) -> list[str]:
    """Return the noun chunks that are asked about: the first eight that are not bare directions.

    >>> asked_phrases(["a cat", "the left", "a sofa"])
    ['a cat', 'a sofa']
    """
    return [chunk for chunk in chunks if chunk not in EXCLUDED_PHRASES][:MAX_PHRASES]


def attribute_score(probabilities: Sequence[float]) -> float:
    """Product of the phrases' probabilities, rounded to 4 decimals; each is rounded so before, as the official files are.

    >>> attribute_score([0.5, 0.33333]), attribute_score([])
    (0.1666, 1.0)
    """
    import numpy as np

    product = np.float32(1.0)
    for probability in probabilities:
        # Single precision as there: it decides on which side of a half the last digit falls.
        product = product * np.float32(float(f"{probability:.4f}"))
    return float(f"{float(product):.4f}")


def prompt_key(prompt: str) -> str:
    """Return the form in which complex prompts are compared: lower case, up to the first full stop."""
    return prompt.strip("\n").split(".")[0].lower()


def complex_kind(prompt: str, spatial: Iterable[str], action: Iterable[str]) -> str:
    """Return `spatial`, `action` or `both`: which of the two lists of complex prompts holds the prompt, spatial first."""
    key = prompt_key(prompt)
    if key in {prompt_key(line) for line in spatial}:
        return "spatial"
    return "action" if key in {prompt_key(line) for line in action} else "both"


def three_in_one(kind: str, *, attribute: float, spatial: float, clip: float) -> float:
    """Score of a complex prompt: attribute and what its kind calls for, in equal parts.

    Args:
        kind: `spatial` (leaves out CLIP), `action` (leaves out the place) or `both`.
        attribute: of `attribute_score`.
        spatial: of `spatial_score`.
        clip: cosine of image and prompt.
    """
    if kind == "spatial":
        return (spatial + attribute) * 0.5
    if kind == "action":
        return (clip + attribute) * 0.5
    return (attribute + spatial + clip) / 3
