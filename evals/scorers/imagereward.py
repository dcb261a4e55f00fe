"""ImageReward-v1.0 (Xu et al. 2023): a reward trained on human rankings, about -2.3 to 2, 0 being average.

Source: THUDM/ImageReward, package image-reward 1.5. The model is `evals.perception.image_reward`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.protocols import Roles
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image


class ImageRewardScorer:
    """Values: `imagereward`; `truncated`, 1 when the prompt is longer than 35 tokens."""

    name = "imagereward"
    version = "1"
    source = "THUDM/ImageReward, package image-reward 1.5; ImageReward-v1.0"

    def __init__(
        self, *, roles: Roles, checkpoint: str | None = None, tokenizer: str = "google-bert/bert-base-uncased", device: str = "auto"
    ) -> None:
        """Find the weights; see `evals.perception.image_reward.ImageRewardModel`.

        Raises:
            ModelError: weights or word pieces are not on this machine.
        """
        from evals.perception.image_reward import ImageRewardModel

        self.model = ImageRewardModel(checkpoint=checkpoint, tokenizer=tokenizer, device=device)

    def canary(self) -> None:
        """Red against blue."""
        from evals.perception.clip_pair import prefers_red

        prefers_red(lambda image, text: self.model.reward(image, text)[0], asked="scorer imagereward")

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Score one image against its sample's prompt."""
        key: dict[str, Any] = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        if not sample.prompt.strip():
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="the sample has no prompt")
        value, truncated = self.model.reward(image, sample.prompt)
        reason = f"reward {value:.3f}{'; the prompt is cut' if truncated else ''}"
        return Score(**key, outcome=Outcome.OK, values={"imagereward": value, "truncated": float(truncated)}, reason=reason)
