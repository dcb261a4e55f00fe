"""GenEval as a scorer: detect, select, judge, and keep what the verdict rests on.

Source: djghosh13/geneval af4902f. The rules are in `geneval_rules`; detector and colour classifier are the suite's
roles, so the official benchmark and the mini world are judged by the same code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError, PluginError
from evals.protocols import Detection, Roles
from evals.scorers import geneval_rules as rules
from evals.types import Outcome, Output, Sample, Score
from evals.vocabulary import GENEVAL_CLASSES

if TYPE_CHECKING:
    from PIL import Image


class GenEvalScorer:
    """1 when the image shows what its row asks, else 0, with the reason in the official words."""

    name = "geneval"
    version = "1"
    source = "djghosh13/geneval af4902f, evaluation/evaluate_images.py"

    def __init__(
        self,
        *,
        roles: Roles,
        threshold: float = 0.3,
        counting_threshold: float = 0.9,
        max_objects: int = 16,
        max_overlap: float = 1.0,
        position_threshold: float = 0.1,
        classes: str | Sequence[str] = "coco",
    ) -> None:
        """Bind the rules to a detector.

        Args:
            roles: `detector`; `color` unless the detector fills `Detection.color` itself.
            threshold: score a detection must exceed.
            counting_threshold: the same for the `counting` task.
            max_objects: detections kept a class.
            max_overlap: box overlap from which the weaker detection is dropped; 1.0 keeps all.
            position_threshold: share of both sizes that an offset must exceed.
            classes: `coco` (GenEval's 80), `shapes` (what the detector lists as its `classes`), or the names.

        Raises:
            PluginError: a role is missing or the classes cannot be told.
        """
        if "detector" not in roles:
            raise PluginError("scorer geneval: roles: got no detector; expected one. Add `detector:` under `roles:`.")
        self.detector = roles["detector"]
        self.color = roles.get("color")
        self.threshold = threshold
        self.counting_threshold = counting_threshold
        self.max_objects = max_objects
        self.max_overlap = max_overlap
        self.position_threshold = position_threshold
        self.classes = self._class_names(classes)

    def _class_names(self, classes: str | Sequence[str]) -> tuple[str, ...]:
        if classes == "coco":
            return GENEVAL_CLASSES
        if classes == "shapes":
            # Asked of the detector, so that this file need not know the mini world.
            own = getattr(self.detector, "classes", None)
            if not own:
                raise PluginError(
                    f"scorer geneval: classes: got shapes, but detector {self.detector.name} lists no classes; "
                    "expected the shapes detector. Use `classes: coco` or give the names."
                )
            return tuple(own)
        if isinstance(classes, str):
            raise PluginError(f"scorer geneval: classes: got {classes}; expected coco, shapes or a list of names.")
        return tuple(classes)

    def canary(self) -> None:
        """Judge hand-worked cases, and let the detector check itself where it can."""
        for wanted, metadata, detections in _CANARY:
            names = sorted({name for name, *_ in detections})
            found = [
                Detection(label=names.index(name), score=score, box=box, color=color)
                for name, score, box, color in detections
            ]
            # Official settings, whatever this suite sets: the canary tests the rules, not the choice of thresholds.
            kept = rules.select(found, names, threshold=0.9 if metadata["tag"] == "counting" else 0.3)
            verdict = rules.evaluate(kept, metadata, color_of=lambda _, group: [d.color for d in group])
            if verdict.reason != wanted:
                raise CanaryError(
                    f'scorer geneval: canary: got "{verdict.reason}"; expected "{wanted}" for {metadata}. '
                    "The rules in evals/scorers/geneval_rules.py are not GenEval's."
                )
        check = getattr(self.detector, "canary", None)
        if check is not None:
            check()

    def _threshold_of(self, tag: str) -> float:
        return self.counting_threshold if tag == "counting" else self.threshold

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Judge one image against `sample.metadata`, an official row.

        Raises:
            DataError: the row is not one, or asks for a class that the detector was not told of.
        """
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        from PIL import ImageOps

        row = self._checked(sample)
        upright = ImageOps.exif_transpose(image).convert("RGB")
        kept = rules.select(
            self.detector.detect(upright, self.classes),
            self.classes,
            threshold=self._threshold_of(row["tag"]),
            max_objects=self.max_objects,
            max_overlap=self.max_overlap,
        )
        known = {id(d): d.color for group in kept.values() for d in group}

        def color_of(name: str, group: Sequence[Detection]) -> Sequence[str | None]:
            if self.color is not None:
                known.update(zip(map(id, group), self.color.classify(upright, group, name), strict=True))
            return [known[id(d)] for d in group]

        verdict = rules.evaluate(kept, row, color_of=color_of, position_threshold=self.position_threshold)
        evidence = [
            {"class": name, "score": float(d.score), "box": [float(x) for x in d.box], "color": known[id(d)]}
            for name, group in kept.items()
            for d in group
        ]
        return Score(
            **key,
            outcome=Outcome.OK,
            values={"correct": float(verdict.correct)},
            reason=verdict.reason,
            evidence={"detections": evidence},
        )

    def _checked(self, sample: Sample) -> dict[str, Any]:
        row = sample.metadata
        if not isinstance(row.get("tag"), str) or not isinstance(row.get("include"), list):
            raise DataError(
                f"sample {sample.sample_id}: metadata: got keys {sorted(row)}; expected a GenEval row with tag and "
                "include. Use a geneval dataset."
            )
        unknown = {clause["class"] for clause in row["include"] + row.get("exclude", [])} - set(self.classes)
        if unknown:
            # An unknown class would read as "found 0": a wrong zero, not a verdict.
            raise DataError(
                f"sample {sample.sample_id}: metadata: got class {sorted(unknown)[0]}; expected one of the scorer's "
                f"{len(self.classes)} classes. Set `classes:` of the scorer to the dataset's vocabulary."
            )
        return row


def summarize(judged: Iterable[tuple[Sample, Score]]) -> rules.Summary:
    """The official summary over what was judged; a score without a value is left out (the metrics count it)."""
    return rules.summary(
        {"tag": sample.metadata["tag"], "metadata": json.dumps(sample.metadata), "correct": score.values["correct"]}
        for sample, score in judged
        if score.outcome is Outcome.OK
    )


_HERE, _RIGHT, _NEAR = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (3.0, 0.0, 13.0, 10.0)


def _row(tag: str, *include: dict[str, Any], exclude: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {"tag": tag, "include": list(include), **({"exclude": list(exclude)} if exclude else {})}


_DOG, _DOG_LEFT = {"class": "dog", "count": 1}, {"class": "dog", "count": 1, "position": ["left of", 0]}
_CAT, _RED_DOG = {"class": "cat", "count": 1}, {"class": "dog", "count": 1, "color": "red"}
_TWO_DOGS = _row("counting", {"class": "dog", "count": 2}, exclude=[{"class": "dog", "count": 3}])

# (reason wanted, row, detections as (class, score, box, colour)); worked by hand from the published rules.
_CANARY: tuple[tuple[str, dict[str, Any], tuple[Any, ...]], ...] = (
    ("", _row("single_object", _DOG), (("dog", 0.31, _HERE, None),)),
    ("expected dog>=1, found 0", _row("single_object", _DOG), (("dog", 0.3, _HERE, None),)),
    (
        "expected cat>=1, found 0",
        _row("two_object", _DOG, _CAT),
        (("dog", 0.93, _HERE, None), ("cat", 0.29, _RIGHT, None)),
    ),
    ("", _TWO_DOGS, (("dog", 0.91, _HERE, None), ("dog", 0.95, _RIGHT, None), ("dog", 0.9, _NEAR, None))),
    ("expected dog<3, found 3", _TWO_DOGS, tuple(("dog", 0.95, box, None) for box in (_HERE, _RIGHT, _NEAR))),
    ("expected dog>=2, found 1", _TWO_DOGS, (("dog", 0.931, _HERE, None), ("dog", 0.237, _RIGHT, None))),
    ("", _row("colors", _RED_DOG), (("dog", 0.6, _HERE, "red"), ("dog", 0.5, _RIGHT, "blue"))),
    # Only the most confident dog is looked at.
    (
        "expected red dog>=1, found 0 red; and 1 blue",
        _row("colors", _RED_DOG),
        (("dog", 0.5, _HERE, "red"), ("dog", 0.6, _RIGHT, "blue")),
    ),
    ("", _row("position", _CAT, _DOG_LEFT), (("dog", 0.9, _HERE, None), ("cat", 0.9, _RIGHT, None))),
    # 3 pixels apart with 2 of them shrunk away: a third of the offset is left, and half is needed.
    (
        "expected dog left of target, found  target",
        _row("position", _CAT, _DOG_LEFT),
        (("dog", 0.9, _HERE, None), ("cat", 0.9, _NEAR, None)),
    ),
    (
        "expected cat>=1, found 0\nno target for dog to be left of",
        _row("position", _CAT, _DOG_LEFT),
        (("dog", 0.9, _HERE, None),),
    ),
)
