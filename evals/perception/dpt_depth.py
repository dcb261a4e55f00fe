"""Depth of a picture by transformers' DPT: 0 for the farthest pixel, 1 for the nearest.

Source: Karine-Huang/T2I-CompBench 1b70949, `UniDet_eval/3D_spatial_eval.py` and `experts/model_bank_3d.py` (DPT-Hybrid of
MiDaS). As there: the image is stretched to a square, the prediction scaled to 0..1, brought back to the image's size and
kept in 8 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.errors import ModelError
from evals.perception.device import device_of
from evals.perception.on_disk import is_here

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class DptDepth:
    """Relative inverse depth."""

    name = "dpt"

    def __init__(self, *, checkpoint: str = "Intel/dpt-hybrid-midas", device: str = "auto") -> None:
        """Find the weights on disk; they are read at the first image.

        Args:
            checkpoint: local folder, or Hub name that has been fetched before. Nothing is downloaded.
            device: torch device; `auto` is cuda where there is one.

        Raises:
            ModelError: the weights are not on this machine.
        """
        self.checkpoint = checkpoint
        self._device = device
        self._loaded: tuple[Any, str] | None = None
        if not is_here(checkpoint):
            raise ModelError(
                f"depth dpt: checkpoint: got {checkpoint}; expected a folder with config.json and safetensors weights, or a Hub model in "
                "the local cache. Run `hf download Intel/dpt-hybrid-midas`, or copy the files to a folder and add "
                "--set roles.depth.checkpoint=DIR."
            )

    def _load(self) -> tuple[Any, str]:
        if self._loaded is not None:
            return self._loaded
        import torch
        from transformers import DPTForDepthEstimation

        device = device_of(self._device)
        try:
            model = DPTForDepthEstimation.from_pretrained(self.checkpoint, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"depth dpt: checkpoint: got {self.checkpoint}, which does not load ({reason}); expected a DPT model in safetensors. "
                "Fetch Intel/dpt-hybrid-midas, or convert its weights."
            ) from error
        self._loaded = (model.to(device).eval(), device)
        return self._loaded

    def depth(self, image: Image.Image) -> np.ndarray:
        """Return float32 (h, w) in 0..1, larger is nearer; 0 everywhere when the model sees one plane.

        Args:
            image: RGB.
        """
        import numpy as np
        import torch
        from PIL import Image as Images

        model, device = self._load()
        # transformers' hybrid backbone takes its own size only; the official code stretches to 480.
        side = int(model.config.image_size)
        square = np.asarray(image.convert("RGB").resize((side, side), Images.Resampling.BILINEAR), np.float32) / 255
        pixels = torch.from_numpy((square - 0.5) / 0.5).permute(2, 0, 1)[None].to(device)
        with torch.no_grad():
            found = model(pixel_values=pixels).predicted_depth[0].float()
            spread = found.max() - found.min()
            found = (found - found.min()) / spread if float(spread) > 0 else torch.zeros_like(found)
            size = (image.height, image.width)
            whole = torch.nn.functional.interpolate(found[None, None], size=size, mode="bilinear", align_corners=True)
        return np.floor(255 * whole[0, 0].cpu().numpy().astype(np.float32)) / np.float32(255)
