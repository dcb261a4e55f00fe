"""The only place where a random generator is born.

Every draw belongs to a stream: (seed, name). The seed of a sample comes from its id and repeat, never from
its batch slot, its rank or the time, so a sample can be drawn again alone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(*parts: int | str) -> int:
    """Hash the parts into a seed in [0, 2**63).

    >>> derive_seed(0, "sample", 1) == derive_seed(0, "sample", 1)
    True
    >>> derive_seed(0, "sample", 1) == derive_seed(0, "sample", 2)
    False
    """
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, stream: str) -> torch.Generator:
    """A CPU generator for one stream of one seed; CPU, so that a GPU run draws the same numbers."""
    import torch

    return torch.Generator("cpu").manual_seed(derive_seed(seed, stream))
