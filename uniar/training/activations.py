"""How many bytes autograd keeps from the forward to the backward, counted on tensors that have a shape and no data.

The model's own code runs on fake tensors with one row and with two; the difference of what is saved is the cost of a row, so
weights and their casts, which do not grow with the rows, drop out. Attention is counted with the kernel that saves its inputs,
its output and the mask, as the fused kernels of GPUs do. What is alive for a moment only is not counted.

T positions of a row, P patches, G patches a visual token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniar.configuration import UniARConfig, UniARVisionConfig

TEXT_SHARE = 0.5
"""Share of a packed row's positions that is taken to carry the text loss; the others stand for image tokens."""
Run = Callable[[int], Any]


class Kept(NamedTuple):
    """Bytes of one row."""

    blocks: float = 0.0
    """Inside the repeated blocks."""
    inputs: float = 0.0
    """Of the blocks' inputs: what is kept instead when the blocks are computed again in the backward."""
    block: float = 0.0
    """Inside the largest block: what the backward then brings back at a time."""
    rest: float = 0.0
    """Outside the blocks."""

    def bytes(self, *, checkpointing: bool) -> float:
        """In all, with or without gradient checkpointing."""
        return self.rest + (self.inputs + self.block if checkpointing else self.blocks)

    def times(self, blocks: int) -> Kept:
        """As many blocks like the one that was counted."""
        return Kept(self.blocks * blocks, self.inputs * blocks, self.block, self.rest)

    def plus(self, *others: Kept) -> Kept:
        """Parts that run one after another."""
        parts = (self, *others)
        return Kept(sum(k.blocks for k in parts), sum(k.inputs for k in parts), max(k.block for k in parts), sum(k.rest for k in parts))


class _Ledger:
    """Adds up storages, each once."""

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: dict[int, Any] = {}

    def add(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            # Held, so that its address is not given to another one.
            self._seen[storage._cdata] = storage
            self.bytes += storage.nbytes()
        return tensor


def kept(build: Callable[[], tuple[Run, Sequence[nn.Module], Iterable[Tensor]]], *, precision: str) -> Kept:
    """Count a forward.

    Args:
        build: makes the modules; returns (function of the number of rows that runs them, their repeated blocks in the order of
            the run, tensors that are not to be counted).
        precision: `float32` or `bfloat16`, see `LoopConfig`.
    """
    one, two = (_count(build, rows, precision) for rows in (1, 2))
    grown = [b - a for a, b in zip(one, two, strict=True)]
    return Kept(*grown)


def _count(build: Callable[[], Any], rows: int, precision: str) -> Kept:
    from torch._subclasses.fake_tensor import FakeTensorMode

    saved, inputs = _Ledger(), _Ledger()
    blocks: list[float] = []

    def before(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        for value in (*arguments, *named.values()):
            if isinstance(value, Tensor) and value.requires_grad:
                inputs.add(value)
        blocks.append(-saved.bytes)

    def after(*_: Any) -> None:
        blocks[-1] += saved.bytes

    with FakeTensorMode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        run, repeated, shared = build()
        for tensor in shared:
            saved.add(tensor)
        began = saved.bytes
        for block in repeated:
            block.register_forward_pre_hook(before, with_kwargs=True)
            block.register_forward_hook(after)
        with torch.autograd.graph.saved_tensors_hooks(saved.add, lambda tensor: tensor):
            run(rows)
    inside = sum(blocks)
    return Kept(inside, inputs.bytes, max(blocks, default=0.0), saved.bytes - began - inside)


def language_kept(config: UniARConfig, *, length: int, precision: str, text: float = TEXT_SHARE, bits: float = 1 - TEXT_SHARE) -> Kept:
    """A row of `length` positions through the language stack, the visual head's stack and the heads.

    Args:
        config: of the model.
        length: T.
        precision: see `kept`.
        text: share of the positions whose text logits are computed.
        bits: share whose bit logits are; 0 leaves out the visual head's stack, too.
    """
    depth = config.text_config.num_hidden_layers + (config.visual_depth if bits else 0)
    layer = kept(lambda: _layer(config, length), precision=precision)
    heads = kept(lambda: _heads(config, round(text * length), round(bits * length)), precision=precision)
    # The mask, a byte a pair of positions, and the two rotary tables: once for all layers.
    shared = Kept(rest=length * (length + 2 * 4 * config.text_config.head_dim))
    return layer.times(depth).plus(heads, shared)


def _layer(config: UniARConfig, length: int) -> tuple[Run, Sequence[nn.Module], Iterable[Tensor]]:
    from uniar.language.layers import DecoderLayer

    text = config.text_config
    layer = DecoderLayer(text, 0)
    # Shared by all layers, so not a layer's own.
    tables = {rows: torch.zeros(rows, 1, length, text.head_dim) for rows in (1, 2)}
    masks = {rows: torch.ones(rows, 1, length, length, dtype=torch.bool) for rows in (1, 2)}

    def run(rows: int) -> Tensor:
        x = torch.zeros(rows, length, text.hidden_size, requires_grad=True)
        return layer(x, tables[rows], tables[rows], masks[rows])

    return run, [layer], [*tables.values(), *masks.values()]


def _heads(config: UniARConfig, words: int, tokens: int) -> tuple[Run, Sequence[nn.Module], Iterable[Tensor]]:
    from uniar.heads import build
    from uniar.language.layers import RMSNorm

    text = config.text_config
    norm, lm_head = RMSNorm(text.hidden_size, text.rms_norm_eps), nn.Linear(text.hidden_size, text.vocab_size, bias=False)
    head = build(config)

    def run(rows: int) -> list[Tensor]:
        losses = []
        if words:
            states = torch.zeros(rows * words, text.hidden_size, requires_grad=True)
            targets = torch.zeros(rows * words, dtype=torch.int64)
            losses.append(F.cross_entropy(lm_head(norm(states)).float(), targets, reduction="none"))
        if tokens:
            states = torch.zeros(rows * tokens, text.hidden_size, requires_grad=True)
            codes = torch.zeros(rows * tokens, *head.shape, dtype=torch.uint8)
            losses.append(head.nats(states, codes, torch.zeros(rows * tokens, head.learning_draws)).nats)
        return losses

    return run, [], []


def vision_kept(config: UniARVisionConfig, *, tokens: int, precision: str) -> Kept:
    """Images of `tokens` visual tokens through the vision stack, the quantiser and the mergers."""

    def build() -> tuple[Run, Sequence[nn.Module], Iterable[Tensor]]:
        from uniar.vision import bsq
        from uniar.vision.tokenizer import UniARVisionModel

        model = UniARVisionModel(config)
        values = config.in_channels * config.temporal_patch_size * config.patch_size**2

        def run(rows: int) -> Any:
            patches = rows * tokens * config.group_size
            # One flat image: without a mask attention keeps as much of it as of several. A fake tensor cannot be listed.
            side = config.spatial_merge_size
            grid: Any = SimpleNamespace(tolist=lambda: [[1, side, patches // side]])
            z = model.prequantized(torch.zeros(patches, values), grid)
            return model.merge(model.features_of_vectors(bsq.quantize(z)))

        return run, list(model.blocks), []

    return kept(build, precision=precision)


def decoder_kept(config: Any, *, words: int, precision: str) -> Kept:
    """An image of the transformer's `sample_size` through the pixel decoder's transformer.

    Args:
        config: of the transformer.
        words: length of the constant prompt's embeddings.
        precision: see `kept`.
    """

    def build() -> tuple[Run, Sequence[nn.Module], Iterable[Tensor]]:
        from uniar.diffusion.transformer import FeatureConditionedSD3

        model = FeatureConditionedSD3.from_config(config)
        size, side = config.sample_size, config.sample_size // config.patch_size

        def run(rows: int) -> Tensor:
            return model(
                torch.zeros(rows, config.in_channels, size, size),
                features=torch.zeros(rows, side * side, config.siglip_channels),
                feature_grid=(side, side),
                timestep=torch.zeros(rows),
                prompt_embeds=torch.zeros(rows, words, config.joint_attention_dim),
                pooled_prompt_embeds=torch.zeros(rows, config.pooled_projection_dim),
            )

        return run, list(model.transformer_blocks), []

    return kept(build, precision=precision)


def vae_kept(config: Any, *, side: int, precision: str) -> Kept:
    """An image of `side` x `side` pixels through encoder and decoder of the VAE."""

    def build() -> tuple[Run, Sequence[nn.Module], Iterable[Tensor]]:
        from diffusers import AutoencoderKL

        model = AutoencoderKL.from_config(config)

        def run(rows: int) -> Any:
            return model.decode(model.encode(torch.zeros(rows, config.in_channels, side, side)).latent_dist.mean)

        return run, [], []

    return kept(build, precision=precision)
