"""LPIPS (Zhang et al. 2018) through torchmetrics' network: its own linear weights, and a torchvision backbone read from safetensors.

torchmetrics would fetch the backbone from the network; here it is a file on this machine or one sentence.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.perception import weight_file
from evals.perception.device import device_of

if TYPE_CHECKING:
    import torch
    from PIL import Image

NETS = ("alex", "vgg", "squeeze")
_SLICE = re.compile(r"^(slice\d+|slices\.\d+)\.")


class Lpips:
    """Perceptual distance of two images of one size.

    Args:
        net: backbone; `alex` is the one that reconstruction papers report as a metric.
        checkpoint: safetensors of torchvision's backbone; None looks where `uniar-eval convert-weights` is told to put it.
        device: torch device; `auto` is cuda where there is one.

    Raises:
        ModelError: the weights are not on this machine.
    """

    def __init__(self, *, net: str = "alex", checkpoint: str | None = None, device: str = "auto") -> None:
        self.net = net
        self._file = weight_file.find(f"lpips-{net}", checkpoint, asked="scorer similarity: lpips_checkpoint")
        self._device = device
        self._network: Any = None

    def distance(self, image: Image.Image, other: Image.Image) -> float:
        """LPIPS of two RGB images of equal size, 0 for equal ones."""
        import torch

        if self._network is None:
            self._network = build(self.net, weight_file.read(self._file), path=self._file).to(device_of(self._device))
        device = next(self._network.parameters()).device
        with torch.no_grad():
            pair = [pixels(one).to(device) * 2 - 1 for one in (image, other)]
            return float(self._network(*pair))


def build(net: str, backbone: dict[str, torch.Tensor], *, path: Path) -> Any:
    """torchmetrics' LPIPS network over a torchvision state dict (names `features.*`; `classifier.*` is not used), in eval mode.

    Raises:
        ModelError: names or shapes that are not the backbone's.
    """
    from torchmetrics.functional.image.lpips import _LPIPS

    network = _LPIPS(pretrained=True, net=net, pnet_rand=True, use_dropout=True, eval_mode=True)
    # The slices keep the backbone's numbering: `slice2.3.weight` and `slices.1.3.weight` are `features.3.weight`.
    wanted = {name: _SLICE.sub("features.", name) for name in network.net.state_dict()}
    own = {name: backbone[source] for name, source in wanted.items() if source in backbone}
    weight_file.load_into(network.net, own, path=path, what=f"LPIPS' backbone {net}")
    return network.eval().requires_grad_(False)


def pixels(image: Image.Image) -> torch.Tensor:
    """RGB image -> float32 (1, 3, h, w), 0 to 1."""
    import numpy as np
    import torch

    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0).permute(2, 0, 1)[None]
