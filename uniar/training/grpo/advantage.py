"""Group-relative advantages with missing values.

Each reward is brought to its own scale inside the group of images of one prompt (centred, divided by its standard deviation),
the weighted sum over the rewards is brought to unit scale again. A missing reward adds nothing: after centring that is the
group's mean, never the worst score. Source: UniAR, GRPO section; GRPO (2402.03300). The published code adds 1e-4 to the
deviation; here a deviation that is rounding is none, and others are taken as they are.

R rewards, P groups (prompts), M members (images of a prompt).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LEAST_SPREAD = 1e-6
"""A standard deviation up to this share of the largest number in the group is rounding, not a difference between images."""


class Standardized(NamedTuple):
    """Values on the scale of their group."""

    values: Tensor
    """float64 (…, M): zero mean and unit deviation over the present members, 0 in groups that teach nothing, NaN where missing."""
    sparse: Tensor
    """bool (…): fewer than two members have a value."""
    flat: Tensor
    """bool (…): two or more have one, and all are equal."""


class Advantages(NamedTuple):
    """What each image is worth against its siblings."""

    values: Tensor
    """float32 (P, M); 0 where the image is absent or its group teaches nothing."""
    present: Tensor
    """bool (P, M): at least one reward has a value; the others take no part in the loss."""
    sparse: Tensor
    """bool (P,): groups with fewer than two present images."""
    flat: Tensor
    """bool (P,): groups whose present images are all worth the same."""


def standardize(values: Tensor, magnitude: Tensor | None = None) -> Standardized:
    """(value - group mean) / group deviation over the members that have a value; the deviation is the unbiased one.

    Args:
        values: float (…, M), NaN where missing, any unit.
        magnitude: (…, M), size of the numbers that each value was computed from, for telling rounding; default: of the values.

    >>> standardize(torch.tensor([1.0, 2.0, float("nan"), 3.0])).values.tolist()
    [-1.0, 0.0, nan, 1.0]
    """
    values = values.double()
    present = ~values.isnan()
    count = present.sum(-1, keepdim=True)
    known = torch.where(present, values, 0.0)
    mean = known.sum(-1, keepdim=True) / count.clamp(min=1)
    centred = torch.where(present, values - mean, 0.0)
    spread = (centred.pow(2).sum(-1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    size = torch.where(present, values.abs() if magnitude is None else magnitude.double(), 0.0).amax(-1, keepdim=True)
    sparse = count < 2
    flat = ~sparse & (spread <= LEAST_SPREAD * size)
    scaled = centred / torch.where(sparse | flat, torch.inf, spread)
    return Standardized(torch.where(present, scaled, torch.nan), sparse[..., 0], flat[..., 0])


def advantages(rewards: Tensor, weights: Sequence[float]) -> Advantages:
    """Combine several rewards into one advantage an image.

    Args:
        rewards: float (R, P, M), NaN where a reward does not apply or failed.
        weights: R weights above 0.

    Raises:
        ValueError: not one weight a reward.
    """
    if len(weights) != rewards.shape[0]:
        raise ValueError(f"weights: got {len(weights)}; expected one for each of the {rewards.shape[0]} rewards.")
    scaled = standardize(rewards).values
    present = ~scaled.isnan().all(0)
    weight = torch.tensor(weights, dtype=scaled.dtype, device=scaled.device)[:, None, None]
    parts = weight * scaled.nan_to_num(0.0)
    # Rewards that contradict each other cancel up to rounding, which must not be brought to unit scale.
    final = standardize(torch.where(present, parts.sum(0), torch.nan), parts.abs().sum(0))
    return Advantages(final.values.nan_to_num(0.0).float(), present, final.sparse, final.flat)
