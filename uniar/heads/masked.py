"""Bits of a token in a few steps: a small network fills in what is masked, the surest bits first.

Learned on tokens of which a random number of bits is masked; the mean loss of the masked ones is then an upper bound of the
negative log-likelihood a bit, averaged over orders (Hoogeboom et al., "Autoregressive Diffusion Models", 2110.02037). Drawn as in
Chang et al., "MaskGIT" (2202.04200), without its noise: a cosine schedule, and which bits come next depends on what is known alone.
What the network says is added to what the state says directly, as in the released head, so its width is no bottleneck.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniar.generation.sampling import guided, sample_margins
from uniar.heads.base import BitLoss, OnLogits, VisualHead, signs
from uniar.kinds import whole
from uniar.language.layers import RMSNorm


class _Block(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.norm, self.up, self.down = RMSNorm(width, eps), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class MaskedHead(VisualHead):
    """See the module.

    Args:
        hidden: H.
        shape: (L, G, D).
        eps: of the norms.
        steps: in which a token is drawn, 1 to M; 1 draws all bits independently.
        width: of the network.
        layers: of the network.

    Raises:
        ConfigError: a setting that cannot be used.
    """

    kind = "masked"
    classifiers = ("direct", "classifier")

    def __init__(self, hidden: int, shape: tuple[int, int, int], eps: float, *, steps: int = 4, width: int = 256, layers: int = 2):
        super().__init__()
        self.shape = shape
        self.steps = whole("steps", steps, least=1, most=self.bits, where="visual_head")
        self.learning_draws = self.bits + 1
        width = whole("width", width, least=1, where="visual_head")
        self.norm, self.into = RMSNorm(hidden, eps), nn.Linear(hidden, width)
        self.direct = nn.Linear(hidden, self.bits, bias=False)
        self.known = nn.Linear(2 * self.bits, width, bias=False)
        self.blocks = nn.ModuleList(_Block(width, eps) for _ in range(whole("layers", layers, least=1, where="visual_head")))
        self.last = RMSNorm(width, eps)
        self.classifier = nn.Linear(width, self.bits, bias=False)

    def _alone(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """What a state says by itself: (N, H) -> input of the network (N, W), margins (N, M)."""
        x = self.norm(states)
        return self.into(x), self.direct(x)

    def _margins(self, start: Tensor, alone: Tensor, bits: Tensor, known: Tensor) -> Tensor:
        """Margins of all bits given some: of `_alone`, bits {0, 1} and bool known (N, M) -> float32 (N, M)."""
        given = known.to(start.dtype)
        x = start + self.known(torch.cat([signs(bits, start.dtype) * given, given], -1))
        for block in self.blocks:
            x = block(x)
        return (alone + self.classifier(self.last(x))).float()

    def nats(self, states: Tensor, codes: Tensor, draws: Tensor | None = None) -> BitLoss:
        """See `VisualHead`; the first number of a token says how many of its bits are masked, the others which."""
        assert draws is not None
        truth, count = codes.flatten(1), 1 + (draws[:, :1] * self.bits).long()
        masked = draws[:, 1:].argsort(1).argsort(1) < count
        margins = self._margins(*self._alone(states), truth, ~masked)
        lost = F.binary_cross_entropy_with_logits(margins, truth.float(), reduction="none")
        right = (((margins.detach() > 0) == truth.bool()) & masked).float()
        return BitLoss((lost * masked).sum(1) / count[:, 0], right.sum(1) / count[:, 0])

    def draw(
        self, states: Tensor, *, guidance_scale: float, temperature: float, uniform: Tensor, on_logits: OnLogits | None = None
    ) -> Tensor:
        """See `VisualHead`."""
        if on_logits is not None:
            raise self.dependent()
        numbers, own = uniform.flatten(1), self._alone(states)
        bits = torch.zeros_like(numbers, dtype=torch.uint8)
        known = torch.zeros_like(numbers, dtype=torch.bool)
        for step in range(1, self.steps + 1):
            both = (torch.cat([bits, bits]), torch.cat([known, known])) if guidance_scale > 1 else (bits, known)
            margins = guided(self._margins(*own, *both), guidance_scale)
            # At least one bit a step, so that none is left when there are as many steps as bits.
            wanted = max(step, self.bits - math.floor(self.bits * math.cos(math.pi / 2 * step / self.steps)))
            surest = margins.abs().masked_fill(known, math.inf).topk(wanted if step < self.steps else self.bits, 1).indices
            chosen = torch.zeros_like(known).scatter(1, surest, True) & ~known
            bits = torch.where(chosen, sample_margins(margins, temperature=temperature, uniform=numbers), bits)
            known = known | chosen
        return bits.view(-1, *self.shape)
