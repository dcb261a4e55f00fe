"""T2I-CompBench(++) as scorers: one a way of measuring, and one that takes each sample's category.

Source: Karine-Huang/T2I-CompBench 1b70949. Measuring is in `compbench_parts`, rules in `compbench_rules`. UniDet, the official
detector, cannot be loaded in one modern environment: scorers that need a detector refuse until the suite names, openly, the
one that stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from evals.errors import CanaryError, DataError, PluginError
from evals.protocols import Roles
from evals.scorers import compbench_rules as rules
from evals.scorers.compbench_parts import Attribute, Clip, Complex, Numeracy, Part, Sight, Spatial2d, Spatial3d
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

CATEGORIES: dict[str, str] = {
    "color": "attribute",
    "shape": "attribute",
    "texture": "attribute",
    "spatial": "spatial-2d",
    "3d_spatial": "spatial-3d",
    "numeracy": "numeracy",
    "non_spatial": "clip",
    "complex": "complex",
}
"""Category -> how it is measured."""


class _Scorer:
    """What all have in common: the self-check, and a score of a part's finding."""

    name: ClassVar[str]
    version = "1"
    source = "Karine-Huang/T2I-CompBench 1b70949"
    parts: Mapping[str, Part]
    """Way of measuring -> part."""

    def canary(self) -> None:
        """Judge hand-worked cases by the official rules, whatever this suite sets.

        Raises:
            CanaryError: one comes out otherwise.
        """
        import numpy as np

        left, right, over = (0, 200, 100, 300), (300, 200, 400, 300), (20, 200, 120, 300)
        near = np.tile(np.linspace(0, 1, 480, dtype=np.float32)[:, None], (1, 480))
        seen = [rules.Seen("dog", 0.9, left), rules.Seen("dog", 0.8, (0, 200, 100, 299)), rules.Seen("cat", 0.6, right)]
        checks = {
            "a left of b": (rules.position_2d("on the left of", left, right), 1.0),
            "a right of b": (rules.position_2d("on the right of", left, right), 0.0),
            # 300 pixels apart along x, none along y.
            "near along one axis": (rules.position_2d("near", left, right), 1.0),
            "overlap of two thirds": (rules.position_2d("on the left of", left, over), 0.15),
            "on top of has no rule": (rules.position_2d("on top of", (0, 0, 9, 9), (0, 50, 9, 59)), 0.0),
            "depth is cut x first": (rules.position_3d("in front of", over, left, near), 1.0),
            "one dog and one cat": (rules.numeracy_score(seen, [("dog", 1), ("cat", 2)]), 0.75),
            "a pair in its place": (rules.spatial_score(seen[0], seen[2], 1.0), 0.875),
            "below one half": (rules.spatial_score(seen[0], None, 0.0), 0.0),
            "product of phrases": (rules.attribute_score([0.5, 0.5, 0.33333]), 0.0833),
            "three in one": (rules.three_in_one("action", attribute=0.5, spatial=0.9, clip=0.3), 0.4),
        }
        for what, (got, expected) in checks.items():
            if abs(got - expected) > 1e-6:
                raise CanaryError(
                    f"scorer {self.name}: canary: got {got} for {what}; expected {expected}. "
                    "The rules in evals/scorers/compbench_rules.py are not T2I-CompBench's."
                )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Measure one image.

        Raises:
            DataError: the sample is of no category, or lacks what its category needs.
        """
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        category = sample.metadata.get("category")
        if category not in CATEGORIES:
            raise DataError(
                f"sample {sample.sample_id}: metadata: got category {category}; expected one of {', '.join(CATEGORIES)}. "
                "Use a compbench dataset."
            )
        part = self.parts.get(CATEGORIES[category])
        if part is None:
            reason = f"{category} is measured by compbench-{CATEGORIES[category]}"
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason=reason)
        found = part.measure(sample, image.convert("RGB"))
        values = dict(found.values)
        if "score" in values:
            # Where the official rule is sound, both policies are one.
            values.setdefault("strict", values["score"])
        return Score(**key, outcome=found.outcome, values=values, reason=found.reason, evidence=found.evidence)


class AttributeScorer(_Scorer):
    """Colour, shape, texture by BLIP-VQA; roles `vqa` and `phrases`."""

    name = "compbench-attribute"

    def __init__(self, *, roles: Roles) -> None:
        self.parts = {"attribute": Attribute(roles, self.name)}


class ClipScorer(_Scorer):
    """Non-spatial relations by CLIP; role `embedder`."""

    name = "compbench-clip"

    def __init__(self, *, roles: Roles) -> None:
        self.parts = {"clip": Clip(roles, self.name)}


class _Sighted(_Scorer):
    """One way of measuring by what a detector sees. Arguments: see `Sight`."""

    way: ClassVar[str]
    part: ClassVar[Callable[[Roles, str, Sight], Part]]

    def __init__(
        self,
        *,
        roles: Roles,
        substitute: str | None = None,
        classes: str | Sequence[str] = "coco",
        aliases: Mapping[str, str] | None = None,
        threshold: float = 0.5,
        side: int | None = 479,
        max_side: int = 480,
    ) -> None:
        sight = Sight(substitute=substitute, classes=classes, aliases=aliases or {}, threshold=threshold, side=side, max_side=max_side)
        self.parts = {self.way: type(self).part(roles, self.name, sight)}


class _Placed(_Scorer):
    """The same where places in the plane count, and so a distance. Arguments: see `Sight`."""

    way: ClassVar[str]
    part: ClassVar[Callable[[Roles, str, Sight], Part]]

    def __init__(
        self,
        *,
        roles: Roles,
        substitute: str | None = None,
        classes: str | Sequence[str] = "coco",
        aliases: Mapping[str, str] | None = None,
        threshold: float = 0.5,
        side: int | None = 479,
        max_side: int = 480,
        distance_threshold: float = 150,
    ) -> None:
        sight = Sight(
            substitute=substitute,
            classes=classes,
            aliases=aliases or {},
            threshold=threshold,
            side=side,
            max_side=max_side,
            distance_threshold=distance_threshold,
        )
        self.parts = {self.way: type(self).part(roles, self.name, sight)}


class Spatial2dScorer(_Placed):
    """Places in the plane; roles `detector` and, for official prompts, `phrases`."""

    name, way, part = "compbench-spatial-2d", "spatial-2d", Spatial2d


class Spatial3dScorer(_Sighted):
    """Places in depth; roles `detector`, `depth` and, for official prompts, `phrases`."""

    name, way, part = "compbench-spatial-3d", "spatial-3d", Spatial3d


class NumeracyScorer(_Sighted):
    """Numbers of things; role `detector`."""

    name, way, part = "compbench-numeracy", "numeracy", Numeracy


class ComplexScorer(_Placed):
    """Complex prompts, 3-in-1; roles `vqa`, `phrases`, `embedder` and `detector`."""

    name, way, part = "compbench-complex", "complex", Complex


class CompBenchScorer(_Scorer):
    """Each sample by its category; roles as its categories need. Arguments: see `Sight`."""

    name = "compbench"

    def __init__(
        self,
        *,
        roles: Roles,
        categories: Sequence[str],
        substitute: str | None = None,
        classes: str | Sequence[str] = "coco",
        aliases: Mapping[str, str] | None = None,
        threshold: float = 0.5,
        side: int | None = 479,
        max_side: int = 480,
        distance_threshold: float = 150,
    ) -> None:
        """Build the parts that the categories need, so that an absent role is told before anything is made.

        Raises:
            PluginError: an unknown category, or a role that one of them needs.
        """
        unknown = [one for one in categories if one not in CATEGORIES]
        if unknown:
            raise PluginError(f"scorer {self.name}: categories: got {unknown[0]}; expected some of {', '.join(CATEGORIES)}. Change it.")
        sight = Sight(
            substitute=substitute,
            classes=classes,
            aliases=aliases or {},
            threshold=threshold,
            side=side,
            max_side=max_side,
            distance_threshold=distance_threshold,
        )
        makers = {
            "attribute": lambda: Attribute(roles, self.name),
            "clip": lambda: Clip(roles, self.name),
            "spatial-2d": lambda: Spatial2d(roles, self.name, sight),
            "spatial-3d": lambda: Spatial3d(roles, self.name, sight),
            "numeracy": lambda: Numeracy(roles, self.name, sight),
            "complex": lambda: Complex(roles, self.name, sight),
        }
        self.parts = {way: makers[way]() for way in dict.fromkeys(CATEGORIES[one] for one in categories)}
