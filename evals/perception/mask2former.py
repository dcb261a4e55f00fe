"""GenEval's detector: Mask2Former Swin-S through transformers, with the official code's pre- and post-processing.

Source: djghosh13/geneval af4902f and mmdet 2.28.2. The weights on the Hub are Meta's, not the mmdet checkpoint of the
benchmark, so single decisions near a threshold may differ: results are named "GenEval (HF detector)".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evals.errors import ModelError
from evals.perception.device import device_of
from evals.perception.mask2former_postprocess import Instances, instances
from evals.perception.mask2former_preprocess import Prepared, prepare
from evals.perception.on_disk import is_here
from evals.protocols import Detection

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image


class Mask2FormerDetector:
    """Instances of the 80 COCO classes, told apart by index."""

    name = "mask2former"

    def __init__(
        self,
        *,
        checkpoint: str = "facebook/mask2former-swin-small-coco-instance",
        device: str = "auto",
        max_per_image: int = 100,
    ) -> None:
        """Find the weights on disk; they are read at the first image.

        Args:
            checkpoint: local folder, or Hub name that has been fetched before. Nothing is downloaded.
            device: torch device; `auto` is cuda where there is one.
            max_per_image: (query, class) pairs kept an image.

        Raises:
            ModelError: the weights are not on this machine.
        """
        self.checkpoint = checkpoint
        self.max_per_image = max_per_image
        self._device = device
        self._model: Any = None
        if not is_here(checkpoint):
            raise ModelError(
                f"detector mask2former: checkpoint: got {checkpoint}; expected a folder with config.json and weights, "
                "or a Hub model in the local cache. "
                f"Run `hf download {self._hub_name()}`, or copy the files to a folder "
                "and add --set roles.detector.checkpoint=DIR."
            )

    def _hub_name(self) -> str:
        default = "facebook/mask2former-swin-small-coco-instance"
        looks_like_hub = self.checkpoint.count("/") == 1 and self.checkpoint[0] not in "./~"
        return self.checkpoint if looks_like_hub else default

    @property
    def model(self) -> Any:
        """The network, loaded on first use.

        Raises:
            ModelError: the files are not a complete Mask2Former.
        """
        if self._model is None:
            self._model = self._load()
        return self._model

    def _load(self) -> Any:
        import torch
        from transformers import Mask2FormerForUniversalSegmentation

        device = device_of(self._device)
        try:
            model, report = Mask2FormerForUniversalSegmentation.from_pretrained(
                self.checkpoint, local_files_only=True, output_loading_info=True, dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"detector mask2former: checkpoint: got {self.checkpoint}, which cannot be read ({reason}); expected a "
                f"Mask2Former with weights. Run `hf download {self._hub_name()}` again."
            ) from error
        # A partly initialised detector would give plausible, wrong scores. Buffers (the loss's class weights, index
        # tables) are computed, not learned, and some published files lack them.
        learned = {name for name, _ in model.named_parameters()}
        absent = sorted([*(learned & set(report["missing_keys"])), *(str(key) for key in report["mismatched_keys"])])
        if absent:
            raise ModelError(
                f"detector mask2former: checkpoint: got {self.checkpoint} without {len(absent)} weights, {absent[0]} "
                f"first; expected a complete Mask2Former. Run `hf download {self._hub_name()}` again."
            )
        return model.to(device).eval()

    def raw(self, prepared: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
        """Network output for one prepared image: class logits (Q, C + 1) and mask logits (Q, H/4, W/4), on the CPU or
        wherever the model is."""
        import torch

        model = self.model
        pixels = torch.from_numpy(prepared.pixels)[None].to(model.device)
        # Ones everywhere: the official network does not know which pixels are padding.
        mask = torch.ones(pixels.shape[0], *pixels.shape[2:], dtype=torch.long, device=pixels.device)
        with torch.inference_mode():
            output = model(pixel_values=pixels, pixel_mask=mask)
        return output.class_queries_logits[0], output.masks_queries_logits[0]

    def instances(self, image: np.ndarray) -> Instances:
        """Instances of one uint8 (h, w, 3) RGB image."""
        import torch

        prepared = prepare(image)
        class_logits, mask_logits = self.raw(prepared)
        with torch.inference_mode():
            return instances(
                class_logits,
                mask_logits,
                padded_size=prepared.padded,
                resized_size=prepared.resized,
                original_size=prepared.original,
                max_per_image=self.max_per_image,
            )

    def detect(self, image: Image.Image, classes: Sequence[str]) -> list[Detection]:
        """All candidates with their masks, unfiltered.

        Raises:
            ModelError: the model has another number of classes than are asked for.
        """
        import numpy as np

        if self.model.config.num_labels != len(classes):
            raise ModelError(
                f"detector mask2former: checkpoint: got {self.model.config.num_labels} classes in {self.checkpoint}; "
                f"expected {len(classes)}, as the scorer asks for. Use a COCO instance checkpoint with classes: coco."
            )
        found = self.instances(np.asarray(image.convert("RGB")))
        masks = found.masks.cpu().numpy()
        rows = zip(
            found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), found.mask_index.tolist(), strict=True
        )
        return [
            Detection(label=label, score=score, box=tuple(box), mask=masks[index]) for label, score, box, index in rows
        ]
