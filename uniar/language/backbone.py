"""The language stack: embedding, layers, deepstack injection. Returns the states BEFORE the last norm.

The visual head reads those states as they are; the text head applies the norm first. Nothing is switched off from
outside, which is why the norm lives here but is called by the text head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from uniar.language.layers import DecoderLayer, RMSNorm


class LanguageModel(nn.Module):
    """Qwen3 decoder stack with features added after its first layers at visual positions."""

    def __init__(self, config: Any):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        *,
        mask: Tensor | None = None,
        cache: Any | None = None,
        visual_positions: Tensor | None = None,
        deepstack: list[Tensor] | None = None,
        run: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """Run the stack.

        Args:
            x: input embeddings (B, T, H).
            cos: rotary table (B, 1, T, head_dim).
            sin: likewise.
            mask: bool (B, 1, T, keys) or None.
            cache: `KVCache` or a transformers cache.
            visual_positions: bool (B, T), True at visual tokens; None: all are.
            deepstack: L - 1 tensors (visual tokens, H), the k-th added after layer k.
            run: how a layer is called (gradient checkpointing); default plainly.

        Returns:
            states before the last norm (B, T, H).
        """
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, mask, cache) if run is None else run(layer.__call__, x, cos, sin, mask, cache)
            if deepstack is not None and i < len(deepstack) and visual_positions is None:
                x = x + deepstack[i].view_as(x).to(x.device, x.dtype)
            elif deepstack is not None and i < len(deepstack):
                x = x.masked_scatter(
                    visual_positions[..., None], x[visual_positions] + deepstack[i].to(x.device, x.dtype)
                )
        return x
