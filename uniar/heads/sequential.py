"""Bits of a token in chunks, one after another: a small causal transformer over the chunks, conditioned on the state.

Bits of a chunk are parallel, chunks see all earlier ones; with one chunk a level it is the depth transformer of Lee et al.,
"Autoregressive Image Generation using Residual Quantization" (2203.01941), over levels instead of residual stages. What it says is
added to what the state says directly, as in the released head, so the small width is no bottleneck.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig

from uniar.generation.sampling import guided, sample_margins
from uniar.heads.base import BitLoss, OnLogits, VisualHead, bernoulli, refuse, signs
from uniar.kinds import whole
from uniar.language.cache import KVCache
from uniar.language.layers import DecoderLayer, RMSNorm
from uniar.language.rope import rotary_tables

ORDERS = ("level", "patch", "bit")
"""Axis of (L, G, D) along which a token is cut: a chunk holds all bits of one level, of one patch, or one bit of every code."""
_HEAD = 32


class SequentialHead(VisualHead):
    """See the module. K chunks of C bits, W width.

    Args:
        hidden: H.
        shape: (L, G, D).
        eps: of the norms.
        order: one of `ORDERS`.
        width: W, a multiple of 32.
        layers: of the transformer.

    Raises:
        ConfigError: a setting that cannot be used.
    """

    kind = "sequential"
    classifiers = ("direct", "classifier")

    def __init__(self, hidden: int, shape: tuple[int, int, int], eps: float, *, order: str = "level", width: int = 128, layers: int = 2):
        super().__init__()
        if order not in ORDERS:
            raise refuse("order", order, f"one of {', '.join(ORDERS)}")
        if whole("width", width, least=_HEAD, where="visual_head") % _HEAD:
            raise refuse("width", width, f"a multiple of {_HEAD}")
        self.shape, self.axis = shape, ORDERS.index(order)
        self.chunks = shape[self.axis]
        size = {"hidden_size": width, "intermediate_size": 2 * width, "head_dim": _HEAD, "num_attention_heads": width // _HEAD}
        config = Qwen3VLTextConfig(**size, num_key_value_heads=width // _HEAD, rms_norm_eps=eps, attention_bias=False)
        self.norm, self.direct = RMSNorm(hidden, eps), nn.Linear(hidden, self.bits, bias=False)
        self.into = nn.Linear(hidden, width, bias=False)
        self.place = nn.Embedding(self.chunks, width)
        # Rows of both matrices lie chunk by chunk: every chunk is read and told by weights of its own.
        self.read = nn.Linear(width, self.bits, bias=False)
        self.blocks = nn.ModuleList(DecoderLayer(config, i) for i in range(whole("layers", layers, least=1, where="visual_head")))
        self.last = RMSNorm(width, eps)
        self.classifier = nn.Linear(width, self.bits, bias=False)

    def _cut(self, values: Tensor) -> Tensor:
        """(N, L, G, D) -> (N, K, C)."""
        return values.movedim(1 + self.axis, 1).flatten(2)

    def _joined(self, chunks: Tensor) -> Tensor:
        """(N, K, C) -> (N, L, G, D)."""
        rest = [n for axis, n in enumerate(self.shape) if axis != self.axis]
        return chunks.unflatten(2, rest).movedim(1, 1 + self.axis)

    def _by_chunk(self, part: nn.Linear, chunks: slice) -> Tensor:
        """Rows of a matrix for some chunks: (K', C, W)."""
        return part.weight.unflatten(0, (self.chunks, -1))[chunks]

    def _alone(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """What a state says by itself: (N, H) -> input of every chunk (N, 1, W), margins of all chunks (N, K, C)."""
        x = self.norm(states)
        return self.into(x)[:, None], self._cut(self.direct(x).unflatten(-1, self.shape))

    def _margins(self, start: Tensor, alone: Tensor, before: Tensor, chunks: slice, cache: KVCache | None = None) -> Tensor:
        """Margins of chunks given the chunk before each: of `_alone`, before (N, K', C) -> float32 (N, K', C)."""
        weights = self._by_chunk(self.read, slice(max(chunks.start - 1, 0), chunks.stop - 1)).to(before.dtype)
        seen = torch.einsum("nkc,kcw->nkw", before, weights) if len(weights) else before.new_zeros(len(before), 0, self.place.embedding_dim)
        if chunks.start == 0:
            seen = F.pad(seen, (0, 0, 1, 0))
        x = start + self.place.weight[chunks] + seen
        positions = torch.arange(chunks.start, chunks.stop, device=x.device).expand(3, 1, -1)
        cos, sin = rotary_tables(positions, head_dim=_HEAD, theta=10000.0, section=(_HEAD // 2, 0, 0), dtype=x.dtype)
        for block in self.blocks:
            x = block(x, cos, sin, None, cache)
        told = torch.einsum("nkw,kcw->nkc", self.last(x), self._by_chunk(self.classifier, chunks).to(x.dtype))
        return (alone[:, chunks] + told).float()

    def nats(self, states: Tensor, codes: Tensor, draws: Tensor | None = None) -> BitLoss:
        """See `VisualHead`; every chunk is told the true ones before it."""
        truth = self._cut(codes)
        return bernoulli(self._margins(*self._alone(states), signs(truth[:, :-1], states.dtype), slice(0, self.chunks)), truth)

    def draw(
        self, states: Tensor, *, guidance_scale: float, temperature: float, uniform: Tensor, on_logits: OnLogits | None = None
    ) -> Tensor:
        """See `VisualHead`; guidance is taken chunk by chunk, both rows are told the same chunks."""
        if on_logits is not None:
            raise self.dependent()
        numbers, made, own = self._cut(uniform), [], self._alone(states)
        cache = KVCache(layers=len(self.blocks), capacity=self.chunks)
        before = states.new_zeros(len(states), 0, numbers.shape[2])
        for k in range(self.chunks):
            margins = guided(self._margins(*own, before, slice(k, k + 1), cache)[:, 0], guidance_scale)
            made.append(sample_margins(margins, temperature=temperature, uniform=numbers[:, k]))
            told = signs(made[-1], states.dtype)[:, None]
            before = torch.cat([told, told]) if guidance_scale > 1 else told
        return self._joined(torch.stack(made, 1)).contiguous()
