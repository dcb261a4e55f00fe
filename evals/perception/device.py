"""Where a measuring network runs."""

from __future__ import annotations


def device_of(name: str) -> str:
    """Return a torch device; `auto` becomes cuda where there is one."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
