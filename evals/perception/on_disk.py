"""Whether a transformers checkpoint is on this machine; the network is never asked."""

from __future__ import annotations

from pathlib import Path


def is_here(checkpoint: str) -> bool:
    """Whether a local folder, or a Hub name in the local cache, has a `config.json`."""
    if Path(checkpoint).joinpath("config.json").is_file():
        return True
    if checkpoint.count("/") != 1 or checkpoint[0] in "./~":
        return False
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(checkpoint, "config.json"), str)
