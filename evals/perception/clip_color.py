"""GenEval's colour classifier: CLIP zero-shot over ten colours on a crop of the object, background greyed out.

Source: djghosh13/geneval af4902f (`ImageCrops`, `color_classification`) and clip-benchmark 1.4.0. The text side is
built once a class. On CUDA both encoders run under fp16 autocast, as there; on the CPU in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from evals.perception import open_clip_weights
from evals.protocols import Detection
from evals.vocabulary import COLORS

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

TEMPLATES: tuple[str, ...] = (
    "a photo of a {color} {name}",
    "a photo of a {color}-colored {name}",
    "a photo of a {color} object",
)
BACKGROUND = (153, 153, 153)
LOGIT_SCALE = 100.0


def color_texts(object_class: str) -> list[list[str]]:
    """The three texts of each colour, in the order of `COLORS` (no article rule: "a photo of a orange dog")."""
    return [[template.format(color=color, name=object_class) for template in TEMPLATES] for color in COLORS]


def color_weights(embed: Callable[[list[str]], torch.Tensor], object_class: str) -> torch.Tensor:
    """Classifier of one class: normalised mean of the normalised text features of each colour.

    Args:
        embed: texts -> float (number of texts, E).
        object_class: class name as GenEval writes it.

    Returns:
        float (E, 10).
    """
    from torch.nn.functional import normalize

    texts = color_texts(object_class)
    features = normalize(embed([text for group in texts for text in group]), dim=-1)
    means = features.reshape(len(COLORS), len(TEMPLATES), -1).mean(dim=1)
    return (means / means.norm(dim=-1, keepdim=True)).T


def color_logits(image_features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Score image features float (n, E) against `color_weights`: float (n, 10)."""
    from torch.nn.functional import normalize

    return LOGIT_SCALE * normalize(image_features, dim=-1) @ weights


def best_colors(logits: torch.Tensor) -> list[str]:
    """The colour of the largest logit of each row, the first on a tie."""
    # numpy's argmax promises the first maximum; torch's does not.
    return [COLORS[int(i)] for i in logits.float().cpu().numpy().argmax(axis=1)]


def color_crop(
    image: Image.Image,
    mask: np.ndarray | None,
    box: Sequence[float],
    *,
    background: tuple[int, int, int] | None = BACKGROUND,
) -> Image.Image:
    """Cut an object out over a flat background.

    Args:
        image: RGB.
        mask: bool (h, w) of the object; None keeps the background.
        box: x1, y1, x2, y2; rounded half to even by Pillow, black outside the image.
        background: RGB put where the mask is not; None keeps the image.
    """
    from PIL import Image as Images

    if mask is not None and background is not None:
        flat = Images.new("RGB", image.size, background)
        image = Images.composite(image, flat, Images.fromarray(mask))
    # A tuple of Python numbers: current Pillow refuses an array here.
    return image.crop(tuple(float(x) for x in box))


class OpenClipColor:
    """Colours by open_clip's ViT-L/14 with OpenAI's weights and QuickGELU."""

    name = "open-clip"

    def __init__(
        self,
        *,
        model: str = "ViT-L-14-quickgelu",
        pretrained: str = "openai",
        checkpoint: str | None = None,
        cache_dir: str | None = None,
        device: str = "auto",
        keep_background: bool = False,
        crop: bool = True,
    ) -> None:
        """Find the weights on disk; they are read at the first colour asked.

        Args:
            model: open_clip architecture. The plain `ViT-L-14` lacks QuickGELU and would give other logits.
            pretrained: open_clip's tag of the weights, looked up in the local Hub cache.
            checkpoint: safetensors file, or folder with one, to use instead of the cache.
            cache_dir: Hub cache folder, when not the default one.
            device: torch device; `auto` is cuda where there is one.
            keep_background: official option `bgcolor=original`: no masking.
            crop: False looks at the whole image (official option `crop=0`).

        Raises:
            ModelError: the weights are not on this machine.
        """
        self.model_name = model
        self.keep_background = keep_background
        self.crop = crop
        self._pretrained = pretrained
        self._device = device
        self._weights_file = open_clip_weights.find(
            checkpoint,
            cache_dir,
            model=model,
            pretrained=pretrained,
            role="color",
            usual=("ViT-L-14-quickgelu", "timm/vit_large_patch14_clip_224.openai"),
        )
        self._loaded: open_clip_weights.OpenClip | None = None
        self._classifiers: dict[str, torch.Tensor] = {}

    def _load(self) -> open_clip_weights.OpenClip:
        if self._loaded is None:
            self._loaded = open_clip_weights.load(
                self._weights_file, model=self.model_name, pretrained=self._pretrained, device=self._device, role="color"
            )
        return self._loaded

    def _precision(self, device: str) -> AbstractContextManager[Any]:
        import torch

        return torch.autocast("cuda", dtype=torch.float16) if device.startswith("cuda") else nullcontext()

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """Text features, float (n, E), not normalised."""
        import torch

        model, _, tokenize, device = self._load()
        with torch.no_grad(), self._precision(device):
            return model.encode_text(tokenize(texts).to(device))

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Image features, float (n, E), not normalised."""
        import torch

        model, transform, _, device = self._load()
        with torch.no_grad(), self._precision(device):
            return model.encode_image(torch.stack([transform(image) for image in images]).to(device))

    def classify(self, image: Image.Image, detections: Sequence[Detection], object_class: str) -> list[str]:
        """The colour of each detection, in order."""
        if not detections:
            return []
        if object_class not in self._classifiers:
            self._classifiers[object_class] = color_weights(self.embed_texts, object_class)
        whole = (0.0, 0.0, float(image.width), float(image.height))
        background = None if self.keep_background else BACKGROUND
        crops = [color_crop(image, d.mask, d.box if self.crop else whole, background=background) for d in detections]
        weights = self._classifiers[object_class]
        return best_colors(color_logits(self.embed_images(crops).to(weights.dtype), weights))
