"""HPSv2.1 as a reward of reinforcement learning, under the entry point `uniar.rewards`: `hpsv2`.

Source: UniAR's published reward (v2.1 weights, raw cosine, every sample); the published server is sent JPEG of quality 75.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evals.errors import sentence
from evals.rewards import RewardValue
from evals.scorers.hpsv2 import HpsScorer
from evals.store.pictures import through_jpeg

if TYPE_CHECKING:
    from PIL import Image


class HpsReward:
    """Raw cosine of any image and the record's instruction.

    Args:
        scorer: the suites' own.
        jpeg_quality: see `evals.store.pictures.through_jpeg`.
    """

    def __init__(self, scorer: HpsScorer, *, jpeg_quality: int | None = None) -> None:
        self.scorer, self.jpeg_quality = scorer, jpeg_quality

    def rewards(self, images: Sequence[Image.Image | None], records: Sequence[Mapping[str, Any]]) -> list[RewardValue]:
        """One value an image, in order; a failure costs its own value, not its neighbours'."""
        return [self._one(image, record) for image, record in zip(images, records, strict=True)]

    def _one(self, image: Image.Image | None, record: Mapping[str, Any]) -> RewardValue:
        if image is None:
            return RewardValue(value=None, outcome="failed", reason="there is no image")
        try:
            fit = self.scorer.model.fit(through_jpeg(image, self.jpeg_quality), record["instruction"])
        except Exception as error:
            return RewardValue(value=None, outcome="failed", reason=sentence(error))
        return RewardValue(value=fit.cosine, outcome="ok")


def hpsv2(*, weights: str = "v2.1", jpeg_quality: int | None = None, **settings: Any) -> HpsReward:
    """The reward `hpsv2`.

    Args:
        weights: `v2.1` as published, or `v2.0`.
        jpeg_quality: see `evals.store.pictures.through_jpeg`; the published server is sent 75.
        settings: further settings of `evals.scorers.hpsv2.HpsScorer` (`checkpoint`, `antialias`, `device`).

    Raises:
        UserError: weights that are not there, or that fail the self-check.
    """
    scorer = HpsScorer(roles={}, weights=weights, **settings)
    scorer.canary()
    return HpsReward(scorer, jpeg_quality=jpeg_quality)
