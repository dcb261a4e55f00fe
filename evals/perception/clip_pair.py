"""Image and text features of a CLIP checkpoint in the transformers layout, as torchmetrics' CLIPScore takes them.

Nothing is fetched: a folder, or a Hub name that is in the local cache, in safetensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from evals.errors import CanaryError, ModelError
from evals.perception.device import device_of
from evals.perception.on_disk import is_here

if TYPE_CHECKING:
    import torch
    from PIL import Image


class TextFeatures(NamedTuple):
    """What a text became."""

    features: torch.Tensor
    """float32 (E,), not normalised."""
    kept: torch.Tensor
    """The same with the end token kept when the text is cut; the very same tensor when it is not."""
    truncated: bool
    """Whether the text is longer than the model reads."""


class ClipPair:
    """A CLIP model and its processor.

    Args:
        checkpoint: folder, or Hub name in the local cache (`openai/clip-vit-large-patch14`).
        asked: who needs it and by which setting, for messages: `scorer clipscore: checkpoint`.
        device: torch device; `auto` is cuda where there is one.

    Raises:
        ModelError: it is not on this machine.
    """

    def __init__(self, checkpoint: str, *, asked: str, device: str = "auto") -> None:
        self.checkpoint, self._asked, self._device = checkpoint, asked, device
        if not is_here(checkpoint):
            raise ModelError(
                f"{asked}: got {checkpoint}, which is neither a folder with config.json nor in the local cache; expected a CLIP checkpoint "
                f"in safetensors. Run `hf download {checkpoint}` where there is a network, or give a folder."
            )
        self._loaded: tuple[Any, Any] | None = None

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import CLIPModel, CLIPProcessor

            try:
                model = CLIPModel.from_pretrained(self.checkpoint, local_files_only=True, use_safetensors=True)
                processor = CLIPProcessor.from_pretrained(self.checkpoint, local_files_only=True)
            # Wrong files make transformers raise almost anything; all of it means this checkpoint cannot be used.
            except Exception as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ModelError(
                    f"{self._asked}: got {self.checkpoint}, which does not load ({reason}); expected a CLIP checkpoint with "
                    "model.safetensors, tokenizer and preprocessor files. Fetch it again, or another revision of it."
                ) from error
            self._loaded = (model.to(device_of(self._device)).eval().float(), processor)
        return self._loaded

    def image_features(self, image: Image.Image) -> torch.Tensor:
        """float32 (E,), not normalised, of an RGB image."""
        import torch

        model, processor = self._load()
        pixels = processor(images=[image.convert("RGB")], return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            return _pooled(model.get_image_features(pixel_values=pixels.to(model.device)))[0]

    def text_features(self, text: str) -> TextFeatures:
        """Features of a text. A longer one than the model reads is cut as torchmetrics cuts it: the end token is lost."""
        import torch

        model, processor = self._load()
        longest = model.config.text_config.max_position_embeddings
        # Not told its longest length: the tokenizer's warning about it would be a second count.
        ids = processor.tokenizer([text], add_special_tokens=True, truncation=False, verbose=False)["input_ids"][0]
        truncated = len(ids) > longest

        def features(row: list[int]) -> torch.Tensor:
            given = torch.tensor([row], device=model.device)
            with torch.no_grad():
                return _pooled(model.get_text_features(input_ids=given, attention_mask=torch.ones_like(given)))[0]

        cut = features(ids[:longest])
        return TextFeatures(cut, features([*ids[: longest - 1], ids[-1]]) if truncated else cut, truncated)

    def cosine(self, image: Image.Image, text: str) -> float:
        """Cosine of an image and a text, -1 to 1."""
        return cosine(self.image_features(image), self.text_features(text).features)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Cosine of two vectors, in float32 as the published scores have it."""
    a, b = a.float(), b.float()
    return float((a / a.norm(p=2)) @ (b / b.norm(p=2)))


def _pooled(found: Any) -> torch.Tensor:
    # transformers 5 returns an output object whose pooled part is the projected feature; before, the tensor itself.
    return getattr(found, "pooler_output", found)


def prefers_red(score: Any, *, asked: str) -> None:
    """The one verdict that every trained image-text model knows.

    Args:
        score: (RGB image, text) -> number, larger is a better fit.
        asked: who asks, for the message.

    Raises:
        CanaryError: a red picture fits "blue" at least as well.
    """
    from PIL import Image

    picture = Image.new("RGB", (224, 224), (220, 20, 20))
    right, wrong = score(picture, "a plain red image"), score(picture, "a plain blue image")
    if not right > wrong:
        raise CanaryError(
            f"{asked}: canary: got {right:.3f} for red and {wrong:.3f} for blue on a red picture; expected more for red. The weights are "
            "not a trained model's, or not this model's."
        )
