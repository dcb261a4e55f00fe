"""The LAION aesthetic score (improved-aesthetic-predictor, `sac+logos+ava1-l14-linearMSE`): how pleasing an image looks, about 1 to 10.

A linear head over the L2-normalised image features of OpenAI's CLIP ViT-L/14. The prompt plays no part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError
from evals.protocols import Roles
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

CLIP = "openai/clip-vit-large-patch14"


class AestheticScorer:
    """Value: `aesthetic`."""

    name = "aesthetic"
    version = "1"
    source = "christophschuhmann/improved-aesthetic-predictor, sac+logos+ava1-l14-linearMSE.pth"

    def __init__(self, *, roles: Roles, checkpoint: str | None = None, clip: str = CLIP, device: str = "auto") -> None:
        """Find head and CLIP.

        Args:
            roles: not used.
            checkpoint: safetensors of the head; None looks where `uniar-eval convert-weights` is told to put it.
            clip: CLIP in the transformers layout, folder or Hub name in the local cache.
            device: torch device.

        Raises:
            ModelError: one of them is not on this machine.
        """
        from evals.perception import weight_file
        from evals.perception.clip_pair import ClipPair

        self._file = weight_file.find("aesthetic", checkpoint, asked="scorer aesthetic: checkpoint")
        self.clip = ClipPair(clip, asked="scorer aesthetic: clip", device=device)
        self._head: Any = None

    def rating(self, image: Image.Image) -> float:
        """The score of an RGB image.

        Raises:
            ModelError: the head does not fit CLIP's features.
        """
        from evals.perception import reward_head, weight_file

        features = self.clip.image_features(image)
        if self._head is None:
            head = reward_head.build(len(features))
            weight_file.load_into(head, weight_file.read(self._file), path=self._file, what="the aesthetic predictor's head")
            self._head = head.to(features.device)
        return float(self._head.layers(features / features.norm(p=2))[0])

    def canary(self) -> None:
        """A grey picture lies on the scale (the trained head never leaves -5 to 15)."""
        from PIL import Image

        got = self.rating(Image.new("RGB", (224, 224), (128, 128, 128)))
        if not -5.0 < got < 15.0:
            raise CanaryError(
                f"scorer aesthetic: canary: got {got} for a grey picture; expected a score of about 1 to 10. Check the weights."
            )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Score one image."""
        key: dict[str, Any] = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        value = self.rating(image)
        return Score(**key, outcome=Outcome.OK, values={"aesthetic": value}, reason=f"aesthetic {value:.2f}")
