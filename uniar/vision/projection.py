"""The two projections of a feature level (into and out of the quantiser) and the patch merger.

Names of the parameters are the released ones (`norm`, `linear_fc1`, `linear_fc2`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LevelProjection(nn.Module):
    """LayerNorm -> Linear -> GELU (exact) -> Linear, a row a patch: (P, in) -> (P, out)."""

    def __init__(self, in_features: int, hidden_features: int, out_features: int):
        super().__init__()
        self.norm = nn.LayerNorm(in_features, eps=1e-6)
        self.linear_fc1 = nn.Linear(in_features, hidden_features)
        self.linear_fc2 = nn.Linear(hidden_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(P, in) -> (P, out)."""
        return self.linear_fc2(F.gelu(self.linear_fc1(self.norm(x))))


class PatchMerger(nn.Module):
    """Join the G patches of a group into one token: (P, H) -> (P / G, out).

    `merged_norm`: the LayerNorm runs over the merged width G * H, else over H before merging.
    """

    def __init__(self, hidden_size: int, group_size: int, out_features: int, *, merged_norm: bool):
        super().__init__()
        self.merged_size = hidden_size * group_size
        self.merged_norm = merged_norm
        self.norm = nn.LayerNorm(self.merged_size if merged_norm else hidden_size, eps=1e-6)
        self.linear_fc1 = nn.Linear(self.merged_size, self.merged_size)
        self.linear_fc2 = nn.Linear(self.merged_size, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(P, H) in group order -> (P / G, out)."""
        merged = (-1, self.merged_size)
        x = self.norm(x.reshape(merged)) if self.merged_norm else self.norm(x).reshape(merged)
        return self.linear_fc2(F.gelu(self.linear_fc1(x)))


def tokens_of(x: Tensor, group_size: int) -> Tensor:
    """(P, …) -> (P / G, G, …): patches of a group are adjacent in the released order."""
    return x.reshape(-1, group_size, *x.shape[1:])


def raster_order(grid_h: int, grid_w: int, merge: int, device: torch.device | None = None) -> Tensor:
    """Index of each raster patch inside the group order, int64 (grid_h * grid_w).

    `features[raster_order(h, w, m)]` turns rows in group order into rows in raster order.
    """
    order = torch.arange(grid_h * grid_w, device=device).reshape(grid_h // merge, grid_w // merge, merge, merge)
    return order.permute(0, 2, 1, 3).reshape(-1)
