"""The Inception-v3 of FID, KID and Inception Score: TensorFlow's graph of 2015-12-05, of which the published scores are functions.

Source: Heusel et al. 2017; facts of its PyTorch forms (torch-fidelity 0.4.0, which torchmetrics uses; mseitzer/pytorch-fid). It differs
from torchvision's network in: 1,008 classes; average pools that leave padding out of the mean; the last block pools by maximum; images
resized as TensorFlow 1 did (no antialiasing, corner-anchored) and scaled by (x - 128) / 128. Layers are torchvision's, under its names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.perception import weight_file
from evals.perception.device import device_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

SIDE = 299
CLASSES = 1008


class Seen(NamedTuple):
    """What an extractor sees in n images."""

    features: np.ndarray
    """float64 (n, dimension)."""
    logits: np.ndarray | None
    """float64 (n, classes), from extractors that classify."""


class InceptionFeatures:
    """Pool features (2048) and logits without bias (1008).

    Args:
        checkpoint: safetensors file; None looks where `uniar-eval convert-weights` is told to put it.
        device: torch device; `auto` is cuda where there is one.

    Raises:
        ModelError: the weights are not on this machine.
    """

    name = "inception"
    dimension = 2048
    classifies = True

    def __init__(self, *, checkpoint: str | None = None, device: str = "auto") -> None:
        self._file = weight_file.find("inception", checkpoint, asked="scorer distribution: checkpoint")
        self._device = device
        self._network: Any = None

    def look(self, images: Sequence[Image.Image]) -> Seen:
        """Read RGB images of any sizes, one after another (sizes may differ, and a result must not depend on its neighbours)."""
        import numpy as np
        import torch

        device = device_of(self._device)
        if self._network is None:
            network = build()
            weight_file.load_into(network, weight_file.read(self._file), path=self._file, what="FID's Inception-v3")
            self._network = network.to(device)
        seen = []
        with torch.no_grad():
            for image in images:
                pixels = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32)).permute(2, 0, 1)[None]
                seen.append(look(self._network, pixels.to(device)))
        features, logits = (torch.cat(parts).double().cpu().numpy() for parts in zip(*seen, strict=True))
        return Seen(features, logits)


def build() -> Any:
    """The network with random weights, in eval mode; module names are those of the published file."""
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torchvision.models import Inception3, inception

    def mean_pool(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)

    def max_pool(x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(x, kernel_size=3, stride=1, padding=1)

    def chain(block: nn.Module, prefix: str, count: int, x: torch.Tensor) -> torch.Tensor:
        for i in range(1, count + 1):
            x = getattr(block, f"{prefix}_{i}")(x)
        return x

    class BlockA(inception.InceptionA):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parts = [self.branch1x1(x), chain(self, "branch5x5", 2, x), chain(self, "branch3x3dbl", 3, x)]
            return torch.cat([*parts, self.branch_pool(mean_pool(x))], 1)

    class BlockC(inception.InceptionC):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parts = [self.branch1x1(x), chain(self, "branch7x7", 3, x), chain(self, "branch7x7dbl", 5, x)]
            return torch.cat([*parts, self.branch_pool(mean_pool(x))], 1)

    class BlockE(inception.InceptionE):
        def __init__(self, channels: int, pool: Any) -> None:
            super().__init__(channels)
            self.pool = pool

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            near = self.branch3x3_1(x)
            far = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
            parts = [
                self.branch1x1(x),
                self.branch3x3_2a(near),
                self.branch3x3_2b(near),
                self.branch3x3dbl_3a(far),
                self.branch3x3dbl_3b(far),
            ]
            return torch.cat([*parts, self.branch_pool(self.pool(x))], 1)

    network = Inception3(num_classes=CLASSES, aux_logits=False, transform_input=False, init_weights=False)
    for name, channels, pool_features in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        setattr(network, f"Mixed_{name}", BlockA(channels, pool_features))
    for name, middle in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        setattr(network, f"Mixed_{name}", BlockC(768, middle))
    network.Mixed_7b = BlockE(1280, mean_pool)
    network.Mixed_7c = BlockE(2048, max_pool)
    return network.eval().requires_grad_(False)


_STAGES = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2", "Mixed_5b", "Mixed_5c",
    "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c",
)  # fmt: skip


def look(network: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels float32 (n, 3, h, w), 0 to 255 -> features (n, 2048) and logits without bias (n, 1008)."""
    x = (resized(pixels, SIDE) - 128) / 128
    for name in _STAGES:
        x = getattr(network, name)(x)
    features = x.mean(dim=(2, 3))
    return features, features @ network.fc.weight.T


def resized(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """TensorFlow 1's bilinear resize: output pixel i reads at i * in / out, without a half-pixel shift and without antialiasing.

    Args:
        pixels: float (n, c, h, w).
        side: of the square result.
    """
    import torch

    def places(length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # float32 like there: where i * scale is whole, float64 may land on the other side of it.
        at = torch.arange(side, dtype=torch.float32, device=pixels.device) * torch.tensor(length / side, dtype=torch.float32)
        low = at.floor().long()
        return low, (low + 1).clamp(max=length - 1), (at - low).to(pixels.dtype)

    low, high, share = places(pixels.shape[-2])
    rows = share[:, None]
    left, right, columns = places(pixels.shape[-1])
    # Across first, then down: the order of the published sum.
    upper = pixels[..., low, :]
    lower = pixels[..., high, :]
    upper = upper[..., left] + (upper[..., right] - upper[..., left]) * columns
    lower = lower[..., left] + (lower[..., right] - lower[..., left]) * columns
    return upper + (lower - upper) * rows
