"""HPSv2 and HPSv2.1 (Wu et al. 2023): what people prefer, as a cosine of image and prompt.

Source: tgxs002/HPSv2 866735e. The value is the raw cosine; the benchmark's tables show 100 times it, by style: metric plugins
`hpsv2_overall` and `hpsv2_styles`. The package's `score()` means v2.0, its `evaluate()` v2.1: the value's name says which it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.protocols import Roles
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image


class HpsScorer:
    """Values: `hps_v2.1` (or `hps_v2.0`), the raw cosine; `truncated`, 1 when the prompt is longer than 77 tokens."""

    name = "hpsv2"
    version = "1"
    source = "tgxs002/HPSv2 866735e, package hpsv2 1.2.0"

    def __init__(
        self,
        *,
        roles: Roles,
        weights: str = "v2.1",
        checkpoint: str | None = None,
        model: str = "ViT-H-14",
        antialias: bool = True,
        device: str = "auto",
    ) -> None:
        """Choose the weights; see `evals.perception.hps.HpsModel`.

        Raises:
            ModelError: no such weights, or they are not on this machine.
        """
        from evals.perception.hps import HpsModel

        self.weights = weights
        self.model = HpsModel(version=weights, checkpoint=checkpoint, model=model, antialias=antialias, device=device)

    def canary(self) -> None:
        """Red against blue."""
        from evals.perception.clip_pair import prefers_red

        prefers_red(lambda image, text: self.model.fit(image, text).cosine, asked="scorer hpsv2")

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Score one image against its sample's prompt."""
        key: dict[str, Any] = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        if not sample.prompt.strip():
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="the sample has no prompt")
        fit = self.model.fit(image, sample.prompt)
        name = f"hps_{self.weights}"
        reason = f"{name}: {100 * fit.cosine:.2f} of 100{'; the prompt is cut' if fit.truncated else ''}"
        return Score(**key, outcome=Outcome.OK, values={name: fit.cosine, "truncated": float(fit.truncated)}, reason=reason)
