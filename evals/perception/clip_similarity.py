"""How well a text fits a picture: the raw cosine of CLIP's features, by open_clip.

Source: Karine-Huang/T2I-CompBench 1b70949, `CLIPScore_eval/CLIP_similarity.py` (OpenAI's ViT-B/32). Not scaled, not clamped.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, ModelError

if TYPE_CHECKING:
    from PIL import Image

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
WEIGHT_FILES = ("open_clip_model.safetensors", "model.safetensors")


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
        self._file = self._find(checkpoint, cache_dir)
        self._loaded: tuple[Any, Any, Any, str] | None = None

    def _find(self, checkpoint: str | None, cache_dir: str | None) -> Path:
        # Looks at the disk alone: no network, no hang.
        got, repository = checkpoint, "timm/vit_base_patch32_clip_224.openai"
        if checkpoint is not None:
            path = Path(checkpoint)
            for candidate in (path, *(path / name for name in WEIGHT_FILES)):
                if candidate.is_file() and candidate.suffix == ".safetensors":
                    return candidate
        else:
            from huggingface_hub import try_to_load_from_cache
            from open_clip.pretrained import get_pretrained_cfg

            repository = str(get_pretrained_cfg(self.model_name, self._pretrained).get("hf_hub", "")).rstrip("/")
            if not repository:
                raise ModelError(
                    f"embedder open-clip: pretrained: got {self.model_name} with {self._pretrained}; expected a tag that open_clip knows "
                    "on the Hub. Use ViT-B-32-quickgelu with openai, or set checkpoint."
                )
            for name in WEIGHT_FILES:
                found = try_to_load_from_cache(repository, name, cache_dir=cache_dir)
                if isinstance(found, str):
                    return Path(found)
            got = f"no {repository} in the local cache"
        raise ModelError(
            f"embedder open-clip: checkpoint: got {got}; expected the safetensors weights of {self.model_name}. Run `hf download "
            f"{repository} {WEIGHT_FILES[0]}`, or copy that file to this machine and add --set roles.embedder.checkpoint=FILE."
        )

    def _load(self) -> tuple[Any, Any, Any, str]:
        # (model, image transform, tokenizer, device).
        if self._loaded is not None:
            return self._loaded
        import open_clip
        import torch

        device = self._device if self._device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            model = open_clip.create_model(
                self.model_name,
                pretrained=str(self._file),
                device=device,
                # open_clip 3 only warns when OpenAI's weights meet plain GELU.
                force_quick_gelu=self._pretrained == "openai",
            )
        except (RuntimeError, ValueError, OSError, AssertionError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"embedder open-clip: checkpoint: got {self._file}, which does not load as {self.model_name} ({reason}); expected its "
                "weights. Check `model` and `checkpoint`."
            ) from error
        transform = open_clip.image_transform(
            model.visual.image_size, is_train=False, mean=MEAN, std=STD, interpolation="bicubic", resize_mode="shortest"
        )
        self._loaded = (model.eval(), transform, open_clip.get_tokenizer(self.model_name), device)
        return self._loaded

    def canary(self) -> None:
        """Compare a plain red picture with two texts.

        Raises:
            CanaryError: red fits "blue" better: the weights are not a trained CLIP's.
        """
        from PIL import Image

        picture = Image.new("RGB", (224, 224), (220, 20, 20))
        right, wrong = self.similarity(picture, "a plain red image"), self.similarity(picture, "a plain blue image")
        if not right > wrong:
            raise CanaryError(
                f"embedder open-clip: canary: got {right:.3f} for red and {wrong:.3f} for blue on a red picture; expected more for red. "
                f"{self._file} holds no trained CLIP."
            )

    def similarity(self, image: Image.Image, text: str) -> float:
        """Return the cosine of an RGB image and a text."""
        import torch
        from torch.nn.functional import cosine_similarity

        model, transform, tokenize, device = self._load()
        with torch.no_grad():
            seen = model.encode_image(transform(image)[None].to(device))
            read = model.encode_text(tokenize([text]).to(device))
            return float(cosine_similarity(seen.float(), read.float())[0])
