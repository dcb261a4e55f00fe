"""The visual tokenizer: pixels -> codes, and codes -> features, for the language model and for the pixel decoder.

`encode` gives the bits of every level; `embed` turns bits into what the language model receives; `feature_map` turns
bits into what the diffusion decoder receives. Un-quantising gives the same features as encoding, without pixels: the
model reads what it has written. Source: UniAR, tokenizer section; layout of the release (`bsq_encoder/`).

P patches, N visual tokens, L levels (last block first, then deepstack levels), G patches a token, D bits a code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from uniar.configuration import UniARVisionConfig
from uniar.errors import ConfigError
from uniar.vision import bsq
from uniar.vision.projection import LevelProjection, PatchMerger, raster_order, tokens_of
from uniar.vision.vit import PatchEmbed, VisionBlock, position_embedding, rotary_tables


class VisualFeatures(NamedTuple):
    """What the language model receives: one row a visual token."""

    main: Tensor
    """(N, out_hidden_size), takes the place of a token embedding."""
    deepstack: list[Tensor]
    """L - 1 tensors (N, out_hidden_size); the k-th is added after the k-th language layer."""


class Quantizer(nn.Module):
    """Holds the buffers that the release stores; the arithmetic is in `bsq`."""

    def __init__(self, bits: int):
        super().__init__()
        # 2**63 wraps to the sign bit, as the stored tensor does.
        powers = [2**i if i < 63 else -(2**63) for i in range(bits - 1, -1, -1)]
        self.register_buffer("basis", torch.tensor(powers, dtype=torch.int64))
        self.register_buffer("group_basis", torch.ones(1, dtype=torch.int64))


class UniARVisionModel(PreTrainedModel):
    """ViT + one quantiser shared by all levels, with an input and an output projection a level."""

    config_class = UniARVisionConfig
    base_model_prefix = ""
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["VisionBlock"]  # noqa: RUF012

    def __init__(self, config: UniARVisionConfig):
        super().__init__(config)
        c = config
        self.patch_embed = PatchEmbed(c)
        self.pos_embed = nn.Embedding(c.num_position_embeddings, c.hidden_size)
        self.blocks = nn.ModuleList(VisionBlock(c) for _ in range(c.depth))
        self.merger = PatchMerger(
            c.hidden_size, c.group_size, c.out_hidden_size, merged_norm=not c.bsq_skip_final_layernorm
        )
        self.deepstack_merger_list = nn.ModuleList(
            PatchMerger(c.hidden_size, c.group_size, c.out_hidden_size, merged_norm=True)
            for _ in c.deepstack_visual_indexes
        )
        self.bsq = Quantizer(c.bsq_dim)
        self.quantizers = _other_quantizers(c)
        for name in self._level_names():
            self.add_module(f"bsq_input_proj{name}", LevelProjection(c.hidden_size, c.bsq_hidden_dim, c.bsq_dim))
            self.add_module(f"bsq_output_proj{name}", LevelProjection(c.bsq_dim, c.bsq_hidden_dim, c.hidden_size))
        self.gradient_checkpointing = False
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_weights(module, self.config.initializer_range)

    def _level_names(self) -> list[str]:
        # The release numbers the projections in their names instead of keeping a list; level 0 is the last block.
        return ["", *(f"_list_{k}" for k in range(len(self.config.deepstack_visual_indexes)))]

    def _projections(self, side: str) -> list[nn.Module]:
        return [self.get_submodule(f"bsq_{side}_proj{name}") for name in self._level_names()]

    # -- pixels to codes -------------------------------------------------------------------------------------------

    def levels(self, pixel_values: Tensor, grid_thw: Tensor) -> list[Tensor]:
        """Features of every level before quantisation.

        Args:
            pixel_values: (P, C * temporal * patch * patch), images one after another, patches in group order.
            grid_thw: int (images, 3): frames, patch rows, patch columns of each image.

        Returns:
            L tensors (P, H): the last block, then the deepstack blocks.
        """
        wanted = self.config.deepstack_visual_indexes
        grids = [tuple(g) for g in grid_thw.tolist()]
        x = self.patch_embed(pixel_values)
        # Consecutive images of one size run as one batch; attention never crosses images.
        outputs: list[list[Tensor]] = [[] for _ in range(self.config.num_levels)]
        start = 0
        for (t, h, w), count in _runs(grids):
            size = t * h * w
            rows = x[start : start + count * size].reshape(count * t, h * w, -1)
            start += count * size
            for level, rows_out in enumerate(self._run_blocks(rows, h, w, wanted)):
                outputs[level].append(rows_out.reshape(-1, rows_out.shape[-1]))
        return [torch.cat(parts) for parts in outputs]

    def _run_blocks(self, x: Tensor, h: int, w: int, wanted: list[int]) -> list[Tensor]:
        c = self.config
        x = x + position_embedding(self.pos_embed.weight, h, w, c.spatial_merge_size).to(x.dtype)
        cos, sin = rotary_tables(h, w, c.spatial_merge_size, c.hidden_size // c.num_heads, x.device)
        kept: dict[int, Tensor] = {}
        for i, block in enumerate(self.blocks):
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(block.__call__, x, cos, sin)
            else:
                x = block(x, cos, sin)
            if i in wanted:
                kept[i] = x
        return [x, *(kept[i] for i in wanted)]

    def prequantized(self, pixel_values: Tensor, grid_thw: Tensor) -> Tensor:
        """Values whose signs are the bits: (P, L, D)."""
        levels = self.levels(pixel_values, grid_thw)
        return torch.stack([proj(x) for proj, x in zip(self._projections("input"), levels, strict=True)], 1)

    def quantized(self, z: Tensor) -> tuple[Tensor, Tensor | None, list[Tensor] | None]:
        """Quantise, straight through.

        Args:
            z: (P, L, D), of `prequantized`.

        Returns:
            Vectors (P, L, D); and with a quantiser other than the released one its loss (mean over levels) and the codes of each level,
            else None, None.
        """
        if self.quantizers is None:
            return bsq.quantize(z), None, None
        made = [quantizer(level) for quantizer, level in zip(self.quantizers, z.unbind(1), strict=True)]
        return torch.stack([m.vectors for m in made], 1), torch.stack([m.loss for m in made]).mean(), [m.codes for m in made]

    def _needs_bits(self) -> None:
        if self.quantizers is not None:
            kind = self.config.quantizer_kind
            raise ConfigError(
                f"vision_config.quantizer: got {kind}; images can be read with it and not written, since that needs the released bits. "
                "Use a checkpoint without it."
            )

    @torch.no_grad()
    def encode(self, pixel_values: Tensor, grid_thw: Tensor) -> Tensor:
        """Pixels to codes.

        Args:
            pixel_values: (P, C * temporal * patch * patch).
            grid_thw: int (images, 3).

        Returns:
            uint8 (N, L, G, D) in {0, 1}; N = P / G, images one after another.
        """
        self._needs_bits()
        z = self.prequantized(pixel_values, grid_thw)
        return tokens_of(bsq.codes_of(bsq.normalize(z)), self.config.group_size).transpose(1, 2).contiguous()

    # -- codes to features -----------------------------------------------------------------------------------------

    def level_features(self, codes: Tensor) -> list[Tensor]:
        """Un-quantise: uint8 (N, L, G, D) -> L tensors (P, H), one row a patch in group order, before any merger."""
        self._needs_bits()
        weight = self.pos_embed.weight
        vectors = bsq.vectors_of(codes.to(weight.device), dtype=weight.dtype)
        return self.features_of_vectors(vectors.transpose(1, 2).flatten(0, 1))

    def features_of_vectors(self, vectors: Tensor) -> list[Tensor]:
        """Quantised vectors (P, L, D) -> L tensors (P, H)."""
        return [proj(v) for proj, v in zip(self._projections("output"), vectors.unbind(1), strict=True)]

    def merge(self, features: list[Tensor]) -> VisualFeatures:
        """Level features (P, H) -> what the language model receives, one row a visual token."""
        main = self.merger(features[0])
        deepstack = features[1:]
        if self.config.bsq_skip_final_layernorm:
            deepstack = [self.merger.norm(x) for x in deepstack]
        mergers = self.deepstack_merger_list
        return VisualFeatures(main, [m(x) for m, x in zip(mergers, deepstack, strict=True)])

    def embed(self, codes: Tensor) -> VisualFeatures:
        """Codes (N, L, G, D) -> features for the language model."""
        return self.merge(self.level_features(codes))

    def forward(self, pixel_values: Tensor, grid_thw: Tensor) -> VisualFeatures:
        """Pixels -> features for the language model, through the straight-through quantiser (differentiable)."""
        return self.merge(self.features_of_vectors(self.quantized(self.prequantized(pixel_values, grid_thw))[0]))

    def feature_map(self, codes: Tensor, grid_h: int, grid_w: int) -> Tensor:
        """Codes of equally sized images -> the feature map of the pixel decoder.

        Args:
            codes: uint8 (B, N, L, G, D) with N = grid_h * grid_w / G.
            grid_h: patch rows.
            grid_w: patch columns.

        Returns:
            (B, grid_h * grid_w, H * L): raw level features, levels interleaved per channel, patches in raster order.
        """
        b = codes.shape[0]
        stacked = torch.stack(self.level_features(codes.flatten(0, 1)), -1)
        stacked = stacked.reshape(b, grid_h * grid_w, -1)
        return stacked[:, raster_order(grid_h, grid_w, self.config.spatial_merge_size, stacked.device)]


def _other_quantizers(config: UniARVisionConfig) -> nn.ModuleList | None:
    """One quantiser a level where the config asks for another than the released one."""
    settings = dict(getattr(config, "quantizer", None) or {})
    if not settings:
        return None
    from uniar.quantizers import build

    kind = settings.pop("kind", "bsq")
    # A codebook's first draws: levels must not share them.
    seeded = {"vq": True, "residual": settings.get("inner", "vq") == "vq"}.get(kind, False)
    own = [{"seed": settings.get("seed", 0) + 1000 * level} if seeded else {} for level in range(config.num_levels)]
    return nn.ModuleList(build(kind, dim=config.bsq_dim, **{**settings, **more}) for more in own)


def _runs(grids: list[tuple[int, ...]]) -> list[tuple[tuple[int, ...], int]]:
    out: list[tuple[tuple[int, ...], int]] = []
    for g in grids:
        if out and out[-1][0] == g:
            out[-1] = (g, out[-1][1] + 1)
        else:
            out.append((g, 1))
    return out


def init_weights(module: nn.Module, std: float) -> None:
    """Fresh weights: normal(0, std) matrices, zero biases, unit norms. Shared by both stacks."""
    from transformers import initialization as init

    if isinstance(module, nn.Linear | nn.Conv3d):
        init.normal_(module.weight, mean=0.0, std=std)
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        init.normal_(module.weight, mean=0.0, std=std)
    elif isinstance(module, nn.LayerNorm):
        init.ones_(module.weight)
        init.zeros_(module.bias)
    elif isinstance(module, Quantizer):
        fresh = Quantizer(module.basis.shape[0])
        init.copy_(module.basis, fresh.basis)
        init.copy_(module.group_basis, fresh.group_basis)


__all__ = ["UniARVisionModel", "VisualFeatures", "init_weights"]
