"""The vision transformer in its Qwen3-VL form: patches -> features of every level.

Patch embedding over (2 frames x 16 x 16), interpolated learned positions, 2-D rotary positions, pre-norm blocks with
full attention inside one image. Rows are patches in group order (the G patches of a visual token are adjacent).
P = patches of all images together, H = hidden width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniar.attention import attend
from uniar.configuration import UniARVisionConfig
from uniar.errors import ConfigError

_ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


class PatchEmbed(nn.Module):
    """Flattened patches (P, C * 2 * 16 * 16) -> (P, H). A convolution whose kernel is the whole patch."""

    def __init__(self, config: UniARVisionConfig):
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.hidden_size, kernel, stride=kernel)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(P, C*T*p*p) -> (P, H)."""
        weight = self.proj.weight
        # One patch is one output position, so the convolution is a matrix product (and much faster as one).
        return F.linear(pixel_values.to(weight.dtype), weight.flatten(1), self.proj.bias)


class VisionAttention(nn.Module):
    """Full self-attention over the patches of one image."""

    def __init__(self, config: UniARVisionConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, P, H), rotary tables (P, head_dim) -> (B, P, H)."""
        b, p, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, p, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return self.proj(attend(_rotate(q, cos, sin), _rotate(k, cos, sin), v))


class VisionMLP(nn.Module):
    """Linear -> activation -> Linear."""

    def __init__(self, config: UniARVisionConfig):
        super().__init__()
        self.linear_fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.linear_fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        if config.hidden_act not in _ACTIVATIONS:
            raise ConfigError(
                f"vision_config.hidden_act: got {config.hidden_act!r}; expected one of {', '.join(sorted(_ACTIVATIONS))}."
            )
        self.act = _ACTIVATIONS[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """(…, H) -> (…, H)."""
        return self.linear_fc2(self.act(self.linear_fc1(x)))


class VisionBlock(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: UniARVisionConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.attn = VisionAttention(config)
        self.mlp = VisionMLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, P, H) -> (B, P, H)."""
        x = x + self.attn(self.norm1(x), cos, sin)
        return x + self.mlp(self.norm2(x))


def position_embedding(table: Tensor, grid_h: int, grid_w: int, merge: int) -> Tensor:
    """Bilinear interpolation of the learned square table to a grid, in group order.

    Args:
        table: (S * S, H).
        grid_h: patches per column; a multiple of `merge`.
        grid_w: patches per row.
        merge: side of a group.

    Returns:
        (grid_h * grid_w, H).
    """
    side = round(table.shape[0] ** 0.5)
    rows = torch.linspace(0, side - 1, grid_h, device=table.device)
    cols = torch.linspace(0, side - 1, grid_w, device=table.device)
    r0, c0 = rows.long(), cols.long()
    r1, c1 = (r0 + 1).clamp(max=side - 1), (c0 + 1).clamp(max=side - 1)
    fr, fc = (rows - r0)[:, None], (cols - c0)[None, :]
    out = torch.zeros(grid_h, grid_w, table.shape[1], device=table.device, dtype=table.dtype)
    for r, c, w in (
        (r0, c0, (1 - fr) * (1 - fc)),
        (r0, c1, (1 - fr) * fc),
        (r1, c0, fr * (1 - fc)),
        (r1, c1, fr * fc),
    ):
        out = out + table[r[:, None] * side + c[None, :]] * w[..., None].to(table.dtype)
    return _group(out, merge)


def rotary_tables(grid_h: int, grid_w: int, merge: int, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin of the 2-D rotary positions (row in the first quarter, column in the second, then again),
    each float32 (grid_h * grid_w, head_dim), in group order."""
    quarter = head_dim // 4
    freqs = 1.0 / (10000.0 ** (torch.arange(0, 2 * quarter, 2, device=device, dtype=torch.float32) / (2 * quarter)))
    rows = torch.arange(grid_h, device=device)[:, None].expand(grid_h, grid_w)
    cols = torch.arange(grid_w, device=device)[None, :].expand(grid_h, grid_w)
    position = _group(torch.stack([rows, cols], -1), merge)
    angles = (position[..., None].float() * freqs).flatten(1)
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def _group(x: Tensor, merge: int) -> Tensor:
    """(h, w, C) raster -> (h * w, C) in group order."""
    h, w, c = x.shape
    return x.reshape(h // merge, merge, w // merge, merge, c).permute(0, 2, 1, 3, 4).reshape(h * w, c)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    # Rotary products run in float32 whatever the model's dtype: bf16 angles lose positions.
    xf = x.float()
    half = xf.shape[-1] // 2
    turned = torch.cat([-xf[..., half:], xf[..., :half]], -1)
    return (xf * cos + turned * sin).to(x.dtype)
