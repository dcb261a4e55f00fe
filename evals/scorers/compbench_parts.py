"""What T2I-CompBench measures on one image, category by category, from what the roles see.

Source: Karine-Huang/T2I-CompBench 1b70949. The rules are in `compbench_rules`; BLIP, CLIP, depth, detector and parser are the
suite's roles, so the official benchmark and the mini world are judged by the same code. A part's `measure` gives values,
or an outcome and why there are none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from evals.errors import DataError, PluginError
from evals.protocols import Roles
from evals.scorers import compbench_rules as rules
from evals.scorers.compbench_rules import Seen
from evals.types import Outcome, Sample
from evals.vocabulary import GENEVAL_CLASSES

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class Found(NamedTuple):
    """What one part says of one image."""

    values: dict[str, float]
    reason: str
    evidence: dict[str, Any]
    outcome: Outcome = Outcome.OK


class Part(Protocol):
    """One way of measuring."""

    def measure(self, sample: Sample, image: Image.Image) -> Found:
        """Measure an RGB image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """How a detector is used."""

    substitute: str | None = None
    """Name of the detector that stands in for UniDet; None refuses."""
    classes: str | Sequence[str] = "coco"
    """`coco` (80), `shapes` (what the detector lists as its `classes`), or the names."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Word of a prompt -> name of a class."""
    threshold: float = 0.5
    """Score that a detection must reach."""
    side: int | None = 479
    """The shorter side to which images are resized first; None keeps them."""
    max_side: int = 480
    """What the longer side may be at most then."""
    distance_threshold: float = 150
    """Pixels, of the resized image, within which two things are near."""


def role(roles: Roles, name: str, scorer: str) -> Any:
    """Return a role.

    Raises:
        PluginError: the suite has none.
    """
    if name not in roles:
        raise PluginError(f"scorer {scorer}: roles: got no {name}; expected one. Add `{name}:` under `roles:`.")
    return roles[name]


class Attribute:
    """Colour, shape, texture: a VQA model is asked about each noun chunk; the product of its yeses."""

    def __init__(self, roles: Roles, scorer: str) -> None:
        self.vqa = role(roles, "vqa", scorer)
        self.phrases = role(roles, "phrases", scorer)

    def measure(self, sample: Sample, image: Image.Image) -> Found:
        """Ask about the prompt's first eight noun chunks."""
        asked = rules.asked_phrases(self.phrases.chunks(sample.prompt))
        answers = {chunk: self.vqa.probability(image, f"{chunk}?") for chunk in asked}
        # A chunk that comes twice counts twice, as there.
        score = rules.attribute_score([answers[chunk] for chunk in asked])
        told = ", ".join(f"{chunk}? {answers[chunk]:.2f}" for chunk in asked) or "the prompt has no noun chunk"
        return Found({"score": score}, told, {"probabilities": {chunk: round(p, 6) for chunk, p in answers.items()}})


class Clip:
    """Non-spatial relations: raw cosine of picture and prompt."""

    def __init__(self, roles: Roles, scorer: str) -> None:
        self.embedder = role(roles, "embedder", scorer)

    def measure(self, sample: Sample, image: Image.Image) -> Found:
        """Compare with the whole prompt."""
        return self.compare(sample.prompt, image)

    def compare(self, text: str, image: Image.Image) -> Found:
        """Compare with a text."""
        cosine = float(self.embedder.similarity(image, text))
        return Found({"score": cosine}, f"cosine {cosine:.3f}", {"text": text})


class _Detecting:
    def __init__(self, roles: Roles, scorer: str, sight: Sight, official: str) -> None:
        self.scorer = scorer
        self.sight = sight
        self.detector = role(roles, "detector", scorer)
        if sight.substitute is None:
            raise PluginError(
                f"scorer {scorer}: substitute: got none, and the official detector ({official}) cannot be loaded in this environment; "
                f"expected the detector that stands in for it. Add `substitute: {self.detector.name}` and say so in the title."
            )
        if sight.substitute != self.detector.name:
            raise PluginError(
                f"scorer {scorer}: substitute: got {sight.substitute}, but the role is played by {self.detector.name}; expected the same "
                "name. Change one of them."
            )
        self.classes = self._class_names()

    def _class_names(self) -> tuple[str, ...]:
        classes = self.sight.classes
        if classes == "coco":
            return GENEVAL_CLASSES
        if classes == "shapes" and getattr(self.detector, "classes", None):
            return tuple(self.detector.classes)
        if isinstance(classes, str):
            raise PluginError(f"scorer {self.scorer}: classes: got {classes}; expected coco, shapes or a list of names. Change it.")
        return tuple(classes)

    def look(self, image: Image.Image) -> tuple[list[Seen], list[dict[str, Any]], Image.Image]:
        """Return the detections by falling score, the same as evidence in pixels of the whole image, and what was looked at."""
        fitted = fit(image, self.sight.side, self.sight.max_side)
        found = [d for d in self.detector.detect(fitted, self.classes) if d.score >= self.sight.threshold]
        found.sort(key=lambda d: -d.score)
        seen = [Seen(self.classes[d.label], float(d.score), tuple(float(x) for x in d.box)) for d in found]
        scale = (image.width / fitted.width, image.height / fitted.height) * 2
        shown = [
            {"class": one.name, "score": one.score, "box": [x * k for x, k in zip(one.box, scale, strict=True)], "color": None}
            for one in seen
        ]
        return seen, shown, fitted

    def known(self, name: str) -> str:
        """Return the class name that a prompt's word stands for."""
        return self.sight.aliases.get(name, name)

    def strange(self, names: Sequence[str], *, within: bool = False) -> Found | None:
        """Say that the detector cannot find one of these at all, which would read as a wrong picture."""
        for name in names:
            if not any(name in one if within else name == one for one in self.classes):
                reason = f'the detector {self.detector.name} knows no "{name}"'
                return Found({}, reason, {}, Outcome.NOT_APPLICABLE)
        return None


def fit(image: Image.Image, side: int | None, max_side: int) -> Image.Image:
    """Resize as the official loader does before it detects: the shorter side to `side`, the longer at most `max_side`."""
    from PIL import Image as Images

    if side is None:
        return image
    short, long = sorted(image.size)
    new_short, new_long = side, int(side * long / short)
    if new_long > max_side:
        new_short, new_long = int(max_side * new_short / new_long), max_side
    size = (new_short, new_long) if image.width <= image.height else (new_long, new_short)
    return image.resize(size, Images.Resampling.BILINEAR)


class Spatial2d(_Detecting):
    """Where one thing stands from another, in the plane."""

    def __init__(self, roles: Roles, scorer: str, sight: Sight) -> None:
        super().__init__(roles, scorer, sight, "UniDet, Unified_learned_OCIM_RS200")
        self.phrases = roles.get("phrases")

    def measure(self, sample: Sample, image: Image.Image) -> Found:
        """Judge a simple prompt: its first and its last noun."""
        return self.place(sample, image, rules.simple_objects)

    def place(self, sample: Sample, image: Image.Image, objects_of: Any) -> Found:
        """Judge a prompt whose two objects `objects_of` finds among its words."""
        objects = _objects(sample, self.phrases, self.scorer, objects_of)
        if objects is None:
            # The official code looks for nothing then, and gives 0.
            return Found({"score": 0.0, "strict": 0.0}, "the prompt has no two objects round a preposition", {})
        names = [self.known(name) for name in objects]
        strange = self.strange(names)
        if strange is not None:
            return strange
        seen, shown, _ = self.look(image)
        a, b = (rules.find_exact(seen, name) for name in names)
        locality = sample.metadata.get("locality") or rules.locality_of(sample.prompt, rules.LOCALITIES_2D)
        scores = {}
        for policy in ("score", "strict"):
            position = 0.0
            if a is not None and b is not None:
                far = self.sight.distance_threshold
                position = rules.position_2d(locality, a.box, b.box, official=policy == "score", distance_threshold=far)
            scores[policy] = rules.spatial_score(a, b, position)
        return Found(scores, _told(names, (a, b), locality, scores["score"]), {"detections": shown})


class Spatial3d(_Detecting):
    """Which of two things stands before the other."""

    def __init__(self, roles: Roles, scorer: str, sight: Sight) -> None:
        super().__init__(roles, scorer, sight, "UniDet, Unified_learned_OCIM_R50")
        self.depth = role(roles, "depth", scorer)
        self.phrases = roles.get("phrases")

    def measure(self, sample: Sample, image: Image.Image) -> Found:
        """Judge a simple prompt: its first and its last noun."""
        objects = _objects(sample, self.phrases, self.scorer, rules.simple_objects)
        if objects is None:
            raise DataError(f'sample {sample.sample_id}: prompt: got "{sample.prompt}", which has no noun; expected two. Check the file.')
        names = [self.known(name) for name in objects]
        strange = self.strange(names, within=True)
        if strange is not None:
            return strange
        seen, shown, fitted = self.look(image)
        a, b = rules.find_containing(seen, *names)
        locality = sample.metadata.get("locality") or rules.locality_of(sample.prompt, rules.LOCALITIES_3D)
        depth = _fitted_depth(self.depth.depth(image), fitted.size) if a is not None and b is not None else None
        scores = {}
        for policy in ("score", "strict"):
            position = 0.0
            if a is not None and b is not None and depth is not None:
                far = self.sight.distance_threshold
                position = rules.position_3d(locality, a.box, b.box, depth, official=policy == "score", distance_threshold=far)
            scores[policy] = rules.spatial_score(a, b, position, floor=0.0)
        return Found(scores, _told(names, (a, b), locality, scores["score"]), {"detections": shown})


class Numeracy(_Detecting):
    """How many of what."""

    def __init__(self, roles: Roles, scorer: str, sight: Sight) -> None:
        super().__init__(roles, scorer, sight, "UniDet, Unified_learned_OCIM_R50")

    def measure(self, sample: Sample, image: Image.Image) -> Found:
        """Count what `metadata["wanted"]` names, as [singular, count] pairs."""
        wanted = sample.metadata.get("wanted")
        if not isinstance(wanted, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in wanted):
            raise DataError(
                f"sample {sample.sample_id}: metadata: got no list `wanted`; expected [name, count] pairs. Use a compbench dataset."
            )
        if not wanted:
            return Found({}, "the prompt names no number of a known object", {}, Outcome.NOT_APPLICABLE)
        # The benchmark's own renaming first (a ship is a boat); an alias is for what the substitute calls otherwise.
        asked = [(self.known(rules.RENAMED.get(name, name)), int(count)) for name, count in wanted]
        strange = self.strange([name for name, _ in asked], within=True)
        if strange is not None:
            return strange
        seen, shown, _ = self.look(image)
        score = rules.numeracy_score(seen, asked)
        names = [one.name for one in rules.without_duplicates(seen)]
        told = ", ".join(f"{name}: {sum(name in one for one in names)} of {count}" for name, count in asked)
        return Found({"score": score}, told, {"detections": shown})


class Complex:
    """Several attributes and relations at once: the mean of attribute and what the prompt's kind calls for."""

    def __init__(self, roles: Roles, scorer: str, sight: Sight) -> None:
        self.attribute = Attribute(roles, scorer)
        self.clip = Clip(roles, scorer)
        self.spatial = Spatial2d(roles, scorer, sight)
        self.phrases = role(roles, "phrases", scorer)

    def measure(self, sample: Sample, image: Image.Image) -> Found:
        """Judge by `metadata["kind"]`: `spatial`, `action` or `both`."""
        kind = sample.metadata.get("kind")
        if kind not in ("spatial", "action", "both"):
            raise DataError(
                f"sample {sample.sample_id}: metadata: got kind {kind}; expected spatial, action or both. Use a compbench dataset."
            )
        attribute = self.attribute.measure(sample, image)
        told, evidence = [f"attribute {attribute.values['score']:.3f} ({attribute.reason})"], dict(attribute.evidence)
        placed = clip = None
        if kind != "action":
            placed = self.spatial.place(sample, image, rules.complex_objects)
            if placed.outcome is not Outcome.OK:
                return placed
            told.append(f"place {placed.values['score']:.3f} ({placed.reason})")
            evidence.update(placed.evidence)
        if kind != "spatial":
            plain = " ".join(word for word, part in self.phrases.tokens(sample.prompt) if part != "ADJ")
            clip = self.clip.compare(plain, image)
            told.append(clip.reason)
            evidence.update(clip.evidence)
        scores = {
            policy: rules.three_in_one(
                kind,
                attribute=attribute.values["score"],
                spatial=0.0 if placed is None else placed.values[policy],
                clip=0.0 if clip is None else clip.values["score"],
            )
            for policy in ("score", "strict")
        }
        return Found(scores, f"{kind}: " + "; ".join(told), evidence)


def _objects(sample: Sample, phrases: Any, scorer: str, objects_of: Any) -> tuple[str, str] | None:
    # The mini world's rows tell their objects; official prompts are read.
    given = sample.metadata.get("objects")
    if given is not None:
        return given[0], given[1]
    if phrases is None:
        raise PluginError(f"scorer {scorer}: roles: got no phrases; expected one that reads prompts. Add `phrases:` under `roles:`.")
    return objects_of(phrases.tokens(sample.prompt))


def _told(names: Sequence[str], found: Sequence[Seen | None], locality: str | None, score: float) -> str:
    missing = [name for name, one in zip(names, found, strict=True) if one is None]
    if missing:
        return f"no {' and no '.join(dict.fromkeys(missing))} found"
    return f"{names[0]} {locality or 'with no known place to'} {names[1]}: {score:.3f}"


def _fitted_depth(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # In 8 bits, as the official files between the two steps.
    import numpy as np
    from PIL import Image as Images

    whole = Images.fromarray(np.floor(depth * np.float32(255)).clip(0, 255).astype(np.uint8))
    return np.asarray(whole.resize(size, Images.Resampling.BILINEAR), np.float32) / 255


def words_of(prompt: str) -> list[str]:
    """Return the words of a prompt, punctuation as words of its own.

    >>> words_of("two cups, a knife")
    ['two', 'cups', ',', 'a', 'knife']
    """
    return re.findall(r"\w+|[^\w\s]", prompt)
