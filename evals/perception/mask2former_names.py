"""Names and layouts of Mask2Former's weights: mmdet 2.x on one side, transformers on the other. Pure, no file is touched.

Source: mmdet 2.28.2 `SwinTransformer`, `MSDeformAttnPixelDecoder`, `Mask2FormerHead` and the config
`mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco`. Reading files and building the network is `mask2former_convert`'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.errors import ModelError

if TYPE_CHECKING:
    import torch

COMPUTED = "relative_position_index"
"""Ending of mmdet's index tables: computed from the window size, not learned; compared, then dropped."""
UNUSED = "model.pixel_level_module.encoder.swin.layernorm."
"""transformers' last norm of the plain Swin; a detector never calls it and mmdet has none. It stays 1 and 0."""
POINTS = 4
"""Sampling points of deformable attention, in both codes."""
_SWIN = "model.pixel_level_module.encoder.swin."
_PIXEL = "model.pixel_level_module.decoder."
_HEAD = "model.transformer_module."


class Link(NamedTuple):
    """One mmdet tensor and what it becomes."""

    theirs: str
    ours: tuple[str, ...]
    """One name, or three: query, key, value."""
    how: str = "copy"
    """`copy`, `split` (rows in three) or `merge` (patch merging: the last axis changes its order)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dims:
    """Sizes that the shapes of a state dict tell."""

    embed: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    hidden: int
    encoder_layers: int
    encoder_ffn: int
    decoder_layers: int
    decoder_ffn: int
    levels: int
    attention_heads: int
    queries: int
    classes: int


def dims_of(shapes: Mapping[str, tuple[int, ...]]) -> Dims:
    """Read the sizes of a detector off its tensors' shapes.

    Args:
        shapes: mmdet name -> shape.

    Raises:
        ModelError: a tensor that tells a size is absent: this is no Mask2Former with a Swin backbone.
    """

    def size(name: str, axis: int) -> int:
        shape = shapes.get(name)
        if shape is None or len(shape) <= axis:
            raise ModelError(f"got {_got(shapes)} without {name}; expected the weights of mmdet's Mask2Former with a Swin backbone.")
        return shape[axis]

    def count(before: str, after: str) -> int:
        n = 0
        while f"{before}{n}{after}" in shapes:
            n += 1
        return n

    stages = count("backbone.stages.", ".blocks.0.norm1.weight")
    table = "blocks.0.attn.w_msa.relative_position_bias_table"
    head = "panoptic_head."
    levels = size(f"{head}pixel_decoder.level_encoding.weight", 0)
    offsets = size(f"{head}pixel_decoder.encoder.layers.0.attentions.0.sampling_offsets.weight", 0)
    return Dims(
        embed=size("backbone.patch_embed.projection.weight", 0),
        depths=tuple(count(f"backbone.stages.{s}.blocks.", ".norm1.weight") for s in range(stages)),
        heads=tuple(size(f"backbone.stages.{s}.{table}", 1) for s in range(stages)),
        window=(math.isqrt(size(f"backbone.stages.0.{table}", 0)) + 1) // 2,
        hidden=size(f"{head}query_feat.weight", 1),
        encoder_layers=count(f"{head}pixel_decoder.encoder.layers.", ".norms.0.weight"),
        encoder_ffn=size(f"{head}pixel_decoder.encoder.layers.0.ffns.0.layers.0.0.weight", 0),
        decoder_layers=count(f"{head}transformer_decoder.layers.", ".norms.0.weight"),
        decoder_ffn=size(f"{head}transformer_decoder.layers.0.ffns.0.layers.0.0.weight", 0),
        levels=levels,
        attention_heads=max(1, offsets // (levels * POINTS * 2)),
        queries=size(f"{head}query_feat.weight", 0),
        classes=size(f"{head}cls_embed.weight", 0) - 1,
    )


def _got(shapes: Mapping[str, Any]) -> str:
    return f"{len(shapes)} tensors ({next(iter(sorted(shapes)), 'none')} first)"


def links(dims: Dims) -> Iterator[Link]:
    """Yield every learned tensor of the mmdet detector with its name in transformers."""
    yield from _backbone(dims)
    yield from _pixel_decoder(dims)
    yield from _decoder(dims)


def _both(theirs: str, ours: str, how: str = "copy") -> Iterator[Link]:
    for part in ("weight", "bias"):
        yield Link(f"{theirs}.{part}", (f"{ours}.{part}",), how)


def _thirds(theirs: str, ours: str, joint: str) -> Iterator[Link]:
    # `joint` is "qkv." (Linear) or "in_proj_" (MultiheadAttention).
    for part in ("weight", "bias"):
        yield Link(f"{theirs}.{joint}{part}", tuple(f"{ours}.{x}_proj.{part}" for x in "qkv"), "split")


def _backbone(dims: Dims) -> Iterator[Link]:
    yield from _both("backbone.patch_embed.projection", f"{_SWIN}embeddings.patch_embeddings.projection")
    yield from _both("backbone.patch_embed.norm", f"{_SWIN}embeddings.norm")
    for s, depth in enumerate(dims.depths):
        for b in range(depth):
            theirs, ours = f"backbone.stages.{s}.blocks.{b}", f"{_SWIN}encoder.layers.{s}.blocks.{b}"
            yield from _both(f"{theirs}.norm1", f"{ours}.layernorm_before")
            yield from _both(f"{theirs}.norm2", f"{ours}.layernorm_after")
            yield from _thirds(f"{theirs}.attn.w_msa", f"{ours}.attention", "qkv.")
            yield from _both(f"{theirs}.attn.w_msa.proj", f"{ours}.attention.o_proj")
            bias = "relative_position_bias_table"
            yield Link(f"{theirs}.attn.w_msa.{bias}", (f"{ours}.attention.relative_position_bias.{bias}",))
            yield from _both(f"{theirs}.ffn.layers.0.0", f"{ours}.mlp.fc1")
            yield from _both(f"{theirs}.ffn.layers.1", f"{ours}.mlp.fc2")
        if s + 1 < len(dims.depths):
            theirs, ours = f"backbone.stages.{s}.downsample", f"{_SWIN}encoder.layers.{s}.downsample"
            yield from _both(f"{theirs}.norm", f"{ours}.norm", "merge")
            yield Link(f"{theirs}.reduction.weight", (f"{ours}.reduction.weight",), "merge")
        yield from _both(f"backbone.norm{s}", f"model.pixel_level_module.encoder.hidden_states_norms.stage{s + 1}")


def _pixel_decoder(dims: Dims) -> Iterator[Link]:
    head = "panoptic_head.pixel_decoder"
    for i in range(dims.levels):
        yield from _both(f"{head}.input_convs.{i}.conv", f"{_PIXEL}input_projections.{i}.0")
        yield from _both(f"{head}.input_convs.{i}.gn", f"{_PIXEL}input_projections.{i}.1")
    yield Link(f"{head}.level_encoding.weight", (f"{_PIXEL}level_embed",))
    for i in range(dims.encoder_layers):
        theirs, ours = f"{head}.encoder.layers.{i}", f"{_PIXEL}encoder.layers.{i}"
        for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
            yield from _both(f"{theirs}.attentions.0.{part}", f"{ours}.self_attn.{part}")
        yield from _both(f"{theirs}.ffns.0.layers.0.0", f"{ours}.fc1")
        yield from _both(f"{theirs}.ffns.0.layers.1", f"{ours}.fc2")
        yield from _both(f"{theirs}.norms.0", f"{ours}.self_attn_layer_norm")
        yield from _both(f"{theirs}.norms.1", f"{ours}.final_layer_norm")
    for theirs, ours in (("lateral_convs.0", "adapter_1"), ("output_convs.0", "layer_1")):
        yield Link(f"{head}.{theirs}.conv.weight", (f"{_PIXEL}{ours}.0.weight",))
        yield from _both(f"{head}.{theirs}.gn", f"{_PIXEL}{ours}.1")
    yield from _both(f"{head}.mask_feature", f"{_PIXEL}mask_projection")


def _decoder(dims: Dims) -> Iterator[Link]:
    yield Link("panoptic_head.query_embed.weight", (f"{_HEAD}queries_embedder.weight",))
    yield Link("panoptic_head.query_feat.weight", (f"{_HEAD}queries_features.weight",))
    yield Link("panoptic_head.level_embed.weight", (f"{_HEAD}level_embed.weight",))
    for i in range(dims.decoder_layers):
        theirs, ours = f"panoptic_head.transformer_decoder.layers.{i}", f"{_HEAD}decoder.layers.{i}"
        # Masked attention to the pixels comes first (attentions.0), attention among the queries second.
        for part in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"):
            yield Link(f"{theirs}.attentions.0.attn.{part}", (f"{ours}.cross_attn.{part}",))
        yield from _thirds(f"{theirs}.attentions.1.attn", f"{ours}.self_attn", "in_proj_")
        yield from _both(f"{theirs}.attentions.1.attn.out_proj", f"{ours}.self_attn.out_proj")
        yield from _both(f"{theirs}.ffns.0.layers.0.0", f"{ours}.fc1")
        yield from _both(f"{theirs}.ffns.0.layers.1", f"{ours}.fc2")
        for n, norm in enumerate(("cross_attn_layer_norm", "self_attn_layer_norm", "final_layer_norm")):
            yield from _both(f"{theirs}.norms.{n}", f"{ours}.{norm}")
    yield from _both("panoptic_head.transformer_decoder.post_norm", f"{_HEAD}decoder.layernorm")
    yield from _both("panoptic_head.cls_embed", "class_predictor")
    for i, n in enumerate((0, 2, 4)):
        # Linear, ReLU, Linear, ReLU, Linear in one row there, three pairs here.
        yield from _both(f"panoptic_head.mask_embed.{n}", f"{_HEAD}decoder.mask_predictor.mask_embedder.{i}.0")


def merged_order(tensor: torch.Tensor) -> torch.Tensor:
    """Bring the input axis of a patch merging from mmdet's order into transformers'.

    mmdet unfolds 2x2 patches, so a channel's four pixels are neighbours, row by row; transformers joins four whole
    pictures: even row and column, odd row, odd column, both odd.

    Args:
        tensor: `(..., 4 C)`, the reduction's weight or the norm's weight or bias.
    """
    channels = tensor.shape[-1] // 4
    quads = tensor.reshape(*tensor.shape[:-1], channels, 4).transpose(-1, -2)
    return quads[..., [0, 2, 1, 3], :].reshape(tensor.shape).contiguous()


def apply(link: Link, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what one mmdet tensor becomes, by name in transformers."""
    if link.how == "split":
        return {name: part.contiguous() for name, part in zip(link.ours, tensor.chunk(3, dim=0), strict=True)}
    return {link.ours[0]: merged_order(tensor) if link.how == "merge" else tensor.contiguous()}
