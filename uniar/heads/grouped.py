"""Groups of g neighbouring bits of a code as one category of 2^g: what is dependent inside a group is modelled, groups are parallel.

g = 1 is the released head with two logits a bit; g = D would be the index of a codebook. The cost grows as 2^g / g.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniar.generation.sampling import guided
from uniar.heads.base import BitLoss, OnLogits, VisualHead, refuse
from uniar.kinds import whole
from uniar.language.layers import RMSNorm


class GroupedHead(VisualHead):
    """See the module.

    Args:
        hidden: H.
        shape: (L, G, D).
        eps: of the norm.
        size: g, bits of a group; divides D.

    Raises:
        ConfigError: a size that cannot be used.
    """

    kind = "groups"
    classifiers = ("classifier",)

    def __init__(self, hidden: int, shape: tuple[int, int, int], eps: float, *, size: int):
        super().__init__()
        if shape[2] % whole("size", size, least=1, most=12, where="visual_head"):
            raise refuse("size", size, f"a divisor of the {shape[2]} bits of a code")
        self.shape, self.size = shape, size
        self.norm = RMSNorm(hidden, eps)
        self.classifier = nn.Linear(hidden, self.bits // size * 2**size, bias=False)

    def _categories(self, states: Tensor) -> Tensor:
        """(B, H) -> float32 (B, M / g, 2^g)."""
        return self.classifier(self.norm(states)).unflatten(-1, (-1, 2**self.size)).float()

    def _powers(self, device: torch.device) -> Tensor:
        return 2 ** torch.arange(self.size - 1, -1, -1, device=device)

    def nats(self, states: Tensor, codes: Tensor, draws: Tensor | None = None) -> BitLoss:
        """See `VisualHead`."""
        found = self._categories(states)
        truth = codes.flatten(1).unflatten(1, (-1, self.size)).long()
        index = (truth * self._powers(codes.device)).sum(-1)
        total = F.cross_entropy(found.flatten(0, 1), index.flatten(), reduction="none").view(index.shape).sum(1)
        likely = self._bits(found.detach().argmax(-1))
        return BitLoss(total / self.bits, (likely == codes.flatten(1)).float().mean(1))

    def _bits(self, index: Tensor) -> Tensor:
        """Categories (B, M / g) -> uint8 (B, M), most significant bit first."""
        return ((index[..., None] // self._powers(index.device)) % 2).flatten(1).to(torch.uint8)

    def draw(
        self, states: Tensor, *, guidance_scale: float, temperature: float, uniform: Tensor, on_logits: OnLogits | None = None
    ) -> Tensor:
        """See `VisualHead`; a group takes the number of its first bit."""
        if on_logits is not None:
            raise self.dependent()
        found = guided(self._categories(states), guidance_scale)
        if temperature == 0:
            index = found.argmax(-1)
        else:
            below = torch.softmax(found / temperature, -1).cumsum(-1)
            level = uniform.flatten(1)[:, :: self.size, None]
            # The last sum may fall short of 1 by rounding.
            index = (below <= level).sum(-1).clamp(max=2**self.size - 1)
        return self._bits(index).view(-1, *self.shape)
