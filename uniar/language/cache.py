"""Key/value cache of a rollout, pre-allocated, one object for the language stack and the visual head's stack.

Has the `update` method of the transformers cache classes, so a layer serves either. Layers of the head follow those of
the language model in one numbering.
"""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """Room for `capacity` positions in every layer.

    Args:
        layers: number of attention layers.
        capacity: positions in all (prompt + visual tokens).
    """

    def __init__(self, *, layers: int, capacity: int):
        self.capacity = capacity
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._filled = [0] * layers
        self._place: Tensor | None = None

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Append (B, kv_heads, T, d) and return views of all positions so far; of the whole room once it is fixed."""
        if self._place is not None:
            self._keys[layer].index_copy_(2, self._place, keys)
            self._values[layer].index_copy_(2, self._place, values)
            return self._keys[layer], self._values[layer]
        start = self._filled[layer]
        end = start + keys.shape[2]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions, layer {layer} asks for {end}")
        if self._keys[layer] is None:
            shape = (*keys.shape[:2], self.capacity, keys.shape[3])
            # Not empty: whoever looks at the whole room multiplies what is not filled by 0, which not every number bears.
            self._keys[layer] = torch.zeros(shape, dtype=keys.dtype, device=keys.device)
            self._values[layer] = torch.zeros(shape, dtype=values.dtype, device=values.device)
        self._keys[layer][:, :, start:end] = keys
        self._values[layer][:, :, start:end] = values
        self._filled[layer] = end
        return self._keys[layer][:, :, :end], self._values[layer][:, :, :end]

    def get_seq_length(self, layer: int = 0) -> int:
        """Positions held by a layer."""
        return self._filled[layer]

    def fix(self, place: Tensor) -> None:
        """From now on write one position at a time at the place that a tensor holds, int64 (1,), and return the whole room.

        What is not filled is zero, and whoever attends to it must mask it. Every layer must hold a prompt by then.
        """
        self._place = place

    def crop(self, length: int, layers: range) -> None:
        """Forget the positions from `length` on in some layers; what is before stays as it is."""
        for layer in layers:
            self._filled[layer] = min(self._filled[layer], length)
