"""Interleaved multimodal rotary positions (Qwen3-VL) and the position ids of mixed text / image sequences.

A position has three parts (time, row, column). Text tokens carry the same number in all three; the tokens of an image
share the time and count rows and columns from there; the text after an image goes on from the largest part.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def rotary_tables(
    position_ids: Tensor, *, head_dim: int, theta: float, section: Sequence[int], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """cos and sin for attention.

    Args:
        position_ids: int (3, B, T).
        head_dim: width of a head.
        theta: rotary base.
        section: frequencies given to time, row, column; row and column take every third frequency from 1 and 2.
        dtype: of the result.

    Returns:
        two tensors (B, 1, T, head_dim).
    """
    inv_freq = 1.0 / (
        theta ** (torch.arange(0, head_dim, 2, device=position_ids.device, dtype=torch.float32) / head_dim)
    )
    angles = position_ids[..., None].float() * inv_freq
    mixed = angles[0].clone()
    for axis in (1, 2):
        index = slice(axis, section[axis] * 3, 3)
        mixed[..., index] = angles[axis][..., index]
    mixed = torch.cat([mixed, mixed], -1)[:, None]
    return mixed.cos().to(dtype), mixed.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotation to (B, heads, T, head_dim)."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def position_ids_of(
    input_ids: Tensor,
    *,
    image_token_id: int,
    grid_thw: Tensor | None,
    merge: int,
    attention_mask: Tensor | None = None,
) -> Tensor:
    """Position ids of sequences with image placeholders.

    Args:
        input_ids: int (B, T).
        image_token_id: the placeholder, one per visual token.
        grid_thw: int (images, 3) in patches, in the order in which the images stand in the rows.
        merge: side of a patch group.
        attention_mask: (B, T), 0 at padding; padding gets position 1 (as the release does) and shifts nothing.

    Returns:
        int64 (3, B, T).

    Raises:
        ValueError: the placeholders of a row are not the visual tokens of its images.
    """
    b, t = input_ids.shape
    out = torch.ones(3, b, t, dtype=torch.int64)
    grids = iter([] if grid_thw is None else grid_thw.tolist())
    rows = input_ids.tolist()
    masks = [[1] * t] * b if attention_mask is None else attention_mask.tolist()
    for r in range(b):
        columns: list[tuple[int, int, int]] = []
        at = 0
        tokens = [token for token, keep in zip(rows[r], masks[r], strict=True) if keep]
        i = 0
        while i < len(tokens):
            if tokens[i] != image_token_id:
                columns.append((at, at, at))
                at += 1
                i += 1
                continue
            grid = next(grids, None)
            if grid is None:
                raise ValueError(f"row {r}: more image placeholders than grid_thw has images")
            frames, h, w = grid[0], grid[1] // merge, grid[2] // merge
            count = frames * h * w
            if tokens[i : i + count] != [image_token_id] * count:
                raise ValueError(f"row {r}: an image of {count} visual tokens has fewer placeholders")
            columns += [(at + f, at + y, at + x) for f in range(frames) for y in range(h) for x in range(w)]
            at += max(h, w)
            i += count
        keep = torch.tensor(masks[r], dtype=torch.bool)
        out[:, r, keep] = torch.tensor(columns, dtype=torch.int64).reshape(-1, 3).T
    return out.to(input_ids.device)
