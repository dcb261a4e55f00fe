"""Features of the bundled tokenizer: an honest offline extractor for mini profiles, which no weights must be fetched for.

The last ViT level before quantisation, each patch normalised (mean 0, variance 1: a few channels are a thousand times the others and
would decide every distance alone), averaged over the patches of an image: 128 numbers that know the mini world and nothing else.
A distance in them is no FID and never carries its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evals.perception.device import device_of
from evals.perception.inception import Seen

if TYPE_CHECKING:
    from PIL import Image

CHECKPOINT = "uniar-mini"


class TokenizerFeatures:
    """Mean patch features of `uniar-mini`'s tokenizer.

    Args:
        device: torch device; `auto` is cuda where there is one.
    """

    name = "mini_features"
    classifies = False

    def __init__(self, *, device: str = "cpu") -> None:
        self._device = device
        self._loaded: Any = None

    @property
    def dimension(self) -> int:
        """Numbers an image."""
        return int(self._model().visual.config.hidden_size)

    def _model(self) -> Any:
        if self._loaded is None:
            import uniar

            self._loaded = _Tokenizer(uniar.load(CHECKPOINT, device=device_of(self._device)))
        return self._loaded

    def look(self, images: Sequence[Image.Image]) -> Seen:
        """Read RGB images one after another, at the size they have as far as the checkpoint's processor allows."""
        import numpy as np

        return Seen(np.stack([self._model().features(image) for image in images]), None)


class _Tokenizer:
    """The parts of a checkpoint that an image passes."""

    def __init__(self, loaded: Any) -> None:
        self._processor = loaded.processor.image_processor
        self.visual = loaded.feature_encoder

    def features(self, image: Image.Image) -> Any:
        import torch

        inputs = self._processor(images=[image.convert("RGB")], return_tensors="pt")
        pixels = inputs["pixel_values"].to(next(self.visual.parameters()).device)
        with torch.inference_mode():
            last = self.visual.levels(pixels, inputs["image_grid_thw"])[0]
        last = torch.nn.functional.layer_norm(last.float(), last.shape[-1:])
        return last.mean(dim=0).double().cpu().numpy()
