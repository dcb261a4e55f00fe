"""How well a text fits a picture: the raw cosine of CLIP's features, by open_clip.

Source: Karine-Huang/T2I-CompBench 1b70949, `CLIPScore_eval/CLIP_similarity.py` (OpenAI's ViT-B/32). Not scaled, not clamped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.perception import open_clip_weights
from evals.perception.clip_pair import prefers_red

if TYPE_CHECKING:
    from PIL import Image


class ClipSimilarity:
    """Cosine of image and text features, -1 to 1; texts are cut at CLIP's 77 tokens."""

    name = "open-clip"

    def __init__(
        self,
        *,
        model: str = "ViT-B-32-quickgelu",
        pretrained: str = "openai",
        checkpoint: str | None = None,
        cache_dir: str | None = None,
        device: str = "auto",
    ) -> None:
        """Find the weights on disk; they are read at the first picture.

        Args:
            model: open_clip architecture. The plain `ViT-B-32` lacks the QuickGELU of OpenAI's weights.
            pretrained: open_clip's tag of the weights, looked up in the local Hub cache.
            checkpoint: safetensors file, or a folder with one; wins over `pretrained`. Nothing is downloaded.
            cache_dir: Hub cache; None is the usual one.
            device: torch device; `auto` is cuda where there is one.

        Raises:
            ModelError: the weights are not on this machine.
        """
        self.model_name = model
        self._pretrained = pretrained
        self._device = device
        self._file = open_clip_weights.find(
            checkpoint,
            cache_dir,
            model=model,
            pretrained=pretrained,
            role="embedder",
            usual=("ViT-B-32-quickgelu", "timm/vit_base_patch32_clip_224.openai"),
        )
        self._loaded: open_clip_weights.OpenClip | None = None

    def _load(self) -> open_clip_weights.OpenClip:
        if self._loaded is None:
            self._loaded = open_clip_weights.load(
                self._file, model=self.model_name, pretrained=self._pretrained, device=self._device, role="embedder"
            )
        return self._loaded

    def canary(self) -> None:
        """Compare a plain red picture with two texts.

        Raises:
            CanaryError: red fits "blue" better: the weights are not a trained CLIP's.
        """
        prefers_red(self.similarity, asked=f"embedder open-clip: {self._file}")

    def similarity(self, image: Image.Image, text: str) -> float:
        """Return the cosine of an RGB image and a text."""
        import torch
        from torch.nn.functional import cosine_similarity

        model, transform, tokenize, device = self._load()
        with torch.no_grad():
            seen = model.encode_image(transform(image)[None].to(device))
            read = model.encode_text(tokenize([text]).to(device))
            return float(cosine_similarity(seen.float(), read.float())[0])
