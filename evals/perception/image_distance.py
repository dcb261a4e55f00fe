"""How different two images look: DreamSim, and a stand-in of the mini world.

A measure has `name`, `look(image)` -> what it keeps of an image, and `distance(one, other)` of two such, 0 for equal images.
DreamSim (Fu et al. 2023) is its authors' package; it is not among our dependencies, and its weights are pickles that the package itself
reads. The package would fetch what is lacking: here it is only called when all its files are there.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evals.errors import ModelError
from evals.perception import weight_file
from evals.perception.device import device_of

if TYPE_CHECKING:
    from PIL import Image

BACKBONES = ("dino_vitb16_pretrain.pth", "clip_vitb16_pretrain.pth.tar", "open_clip_vitb16_pretrain.pth.tar")
ADAPTERS = (("ensemble_lora",), ("dino_vitb16_lora", "clip_vitb16_lora", "open_clip_vitb16_lora"))
"""Folders of the fine-tuned part, of the package's release 0.2.1 and of those before."""


class Distance(Protocol):
    """What a scorer needs of such a measure."""

    name: str

    def look(self, image: Image.Image) -> Any:
        """What is kept of an RGB image."""

    def distance(self, one: Any, other: Any) -> float:
        """Between two looks."""


class DreamSim:
    """The package's pretrained ensemble: 1 - cosine of its embeddings, each image resized to 224 x 224.

    Args:
        folder: where the package's weights lie; None is `dreamsim` beside the converted weights.
        device: torch device; `auto` is cuda where there is one.
        asked: who needs it and by which setting, for messages.

    Raises:
        ModelError: package or weights are not on this machine.
    """

    name = "dreamsim"

    def __init__(self, *, folder: str | None = None, device: str = "auto", asked: str = "distance") -> None:
        self._folder = weight_file.folder() / "dreamsim" if folder is None else Path(folder)
        self._device, self._asked = device, asked
        if find_spec("dreamsim") is None:
            raise ModelError(
                f"{asked}: got dreamsim, which is not installed; expected the package and its weights. Run `pip install dreamsim` and "
                f"unpack its dreamsim_ensemble_checkpoint.zip (github.com/ssundaram21/dreamsim, releases) into {self._folder}."
            )
        lacking = [name for name in BACKBONES if not (self._folder / name).exists()]
        if not lacking and not any(all((self._folder / name).is_dir() for name in names) for names in ADAPTERS):
            lacking = [ADAPTERS[0][0]]
        if lacking:
            raise ModelError(
                f"{asked}: got no {lacking[0]} in {self._folder}; expected DreamSim's weights. Unpack dreamsim_ensemble_checkpoint.zip "
                "(github.com/ssundaram21/dreamsim, releases) there."
            )
        self._loaded: tuple[Any, Any, str] | None = None

    def _load(self) -> tuple[Any, Any, str]:
        # (network, preprocess, device).
        if self._loaded is None:
            import importlib

            device = device_of(self._device)
            try:
                # By name: the package is optional, and need not be there for whoever reads this file.
                network, preprocess = importlib.import_module("dreamsim").dreamsim(
                    pretrained=True, device=device, cache_dir=str(self._folder)
                )
            # Foreign code over foreign files: whatever it raises means that it cannot be used.
            except Exception as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ModelError(
                    f"{self._asked}: got a DreamSim that does not load ({reason}); expected the package with the weights of its own "
                    f"release in {self._folder}. Install the release that fits."
                ) from error
            self._loaded = (network, preprocess, device)
        return self._loaded

    def look(self, image: Image.Image) -> Any:
        """The ensemble's embedding, float (E,)."""
        import torch

        network, preprocess, device = self._load()
        with torch.no_grad():
            return network.embed(preprocess(image).to(device)).reshape(-1)

    def distance(self, one: Any, other: Any) -> float:
        """1 - cosine, as the package's own forward pass has it."""
        from torch.nn.functional import cosine_similarity

        return 1.0 - float(cosine_similarity(one, other, dim=-1))


class MiniFeatures:
    """1 - cosine of the bundled tokenizer's mean patch features: it knows the mini world and is no DreamSim.

    Args:
        device: torch device.
    """

    name = "mini_features"

    def __init__(self, *, device: str = "cpu") -> None:
        from evals.perception.tokenizer_features import TokenizerFeatures

        self._features = TokenizerFeatures(device=device)

    def look(self, image: Image.Image) -> Any:
        """float64 (128,)."""
        return self._features.look([image]).features[0]

    def distance(self, one: Any, other: Any) -> float:
        """1 - cosine."""
        import numpy as np

        return 1.0 - float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
