"""The head of ImageReward and of the LAION aesthetic predictor: five linear layers in a row, without activations.

width -> 1024 -> 128 -> 64 -> 16 -> 1, dropouts between the first four, so the published names are layers 0, 2, 4, 6 and 7.
"""

from __future__ import annotations

from typing import Any

NAMES = ("layers.0", "layers.2", "layers.4", "layers.6", "layers.7")
WIDTHS = (1024, 128, 64, 16, 1)


def build(width: int) -> Any:
    """The head over features of `width` numbers, in eval mode; its state dict has the published names."""
    from torch import nn

    layers: list[Any] = []
    for out, dropout in zip(WIDTHS, (0.2, 0.2, 0.1, None, None), strict=True):
        layers.append(nn.Linear(width, out))
        width = out
        if dropout is not None:
            layers.append(nn.Dropout(dropout))
    head = nn.Module()
    head.layers = nn.Sequential(*layers)
    return head.eval().requires_grad_(False)
