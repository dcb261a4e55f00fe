"""HPSv2's model: open_clip's ViT-H/14 with the benchmark's weights, and its own way of bringing an image to 224 x 224.

Source: tgxs002/HPSv2 866735e, package hpsv2 1.2.0. The weights are read from safetensors (`uniar-eval convert-weights`). On CUDA under
autocast, as there; on the CPU in float32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.errors import ModelError
from evals.perception import weight_file
from evals.perception.device import device_of

if TYPE_CHECKING:
    import torch
    from PIL import Image

VERSIONS = ("v2.0", "v2.1")
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Fit(NamedTuple):
    """How an image fits a text."""

    cosine: float
    truncated: bool
    """Whether the text is longer than the model's 77 tokens; the end token is kept."""


def pixels(image: Image.Image, side: int = 224, *, antialias: bool = True) -> torch.Tensor:
    """An image as HPSv2 shows it to its model, float32 (3, side, side), normalised.

    RGB in [0, 1]; the longest side becomes `side` by the tensor form of bicubic resizing, both sides by Python's round; black is added
    around the centre (the odd pixel right and below); then OpenAI's mean and deviation. Bicubic overshoot is not clipped.

    Args:
        image: any mode; a fourth channel is dropped (the package would normalise it as a mask).
        side: of the model.
        antialias: torchvision's default changed from off to on in 0.17; a fresh install of the package has it on.
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F

    x = F.to_tensor(image.convert("RGB"))
    height, width = x.shape[-2:]
    scale = side / max(height, width)
    if scale != 1.0:
        # A sliver would round to nothing.
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        x = F.resize(x, [height, width], InterpolationMode.BICUBIC, antialias=antialias)
    right, below = side - width, side - height
    x = F.pad(x, [right // 2, below // 2, right - right // 2, below - below // 2], fill=0)
    return F.normalize(x, MEAN, STD)


class HpsModel:
    """Cosine of image and text features.

    Args:
        version: `v2.0` or `v2.1`: which weights.
        checkpoint: safetensors file; None looks where `uniar-eval convert-weights` is told to put it.
        model: open_clip architecture.
        antialias: see `pixels`.
        device: torch device; `auto` is cuda where there is one.
        asked: who needs it, for messages.

    Raises:
        ModelError: no such version, or the weights are not on this machine.
    """

    def __init__(
        self,
        *,
        version: str = "v2.1",
        checkpoint: str | None = None,
        model: str = "ViT-H-14",
        antialias: bool = True,
        device: str = "auto",
        asked: str = "scorer hpsv2",
    ) -> None:
        if version not in VERSIONS:
            raise ModelError(f"{asked}: weights: got {version}; expected one of {', '.join(VERSIONS)}.")
        self._file = weight_file.find(f"hpsv2-{version}", checkpoint, asked=f"{asked}: checkpoint")
        self._name, self._antialias, self._device, self._asked = model, antialias, device, asked
        self._loaded: tuple[Any, Any, str] | None = None

    def _load(self) -> tuple[Any, Any, str]:
        # (network, tokenizer, device).
        if self._loaded is None:
            import open_clip

            device = device_of(self._device)
            try:
                network = open_clip.create_model(self._name, pretrained=None)
                tokenizer = open_clip.get_tokenizer(self._name)
            except (RuntimeError, ValueError, KeyError) as error:
                raise ModelError(f"{self._asked}: model: got {self._name} ({error}); expected an architecture of open_clip.") from error
            weight_file.load_into(network, weight_file.read(self._file), path=self._file, what=f"open_clip's {self._name}")
            self._loaded = (network.to(device).eval(), tokenizer, device)
        return self._loaded

    def fit(self, image: Image.Image, text: str) -> Fit:
        """How an image fits a text, by raw cosine (about 0.2 to 0.35 for real images)."""
        import torch
        from torch.nn.functional import normalize

        network, tokenizer, device = self._load()
        side = network.visual.image_size
        shown = pixels(image, side if isinstance(side, int) else side[0], antialias=self._antialias)
        with torch.no_grad(), _precision(device):
            seen = normalize(network.encode_image(shown[None].to(device)), dim=-1)
            read = normalize(network.encode_text(tokenizer([text]).to(device)), dim=-1)
            # Begin and end tokens are added to what `encode` gives.
            truncated = len(tokenizer.encode(text)) + 2 > network.context_length
            return Fit(float((seen @ read.T)[0, 0]), truncated)


def _precision(device: str) -> AbstractContextManager[Any]:
    import torch

    return torch.autocast("cuda") if device.startswith("cuda") else nullcontext()
