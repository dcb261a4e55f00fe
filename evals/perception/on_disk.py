"""Whether a transformers checkpoint is on this machine; the network is never asked."""

from __future__ import annotations

from pathlib import Path


def is_here(checkpoint: str) -> bool:
    """Whether a local folder, or a Hub name in the local cache, has a `config.json`; what can be no Hub name is not here."""
    if Path(checkpoint).joinpath("config.json").is_file():
        return True
    # Asked of the cache folder alone: no network, no hang.
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(checkpoint, "config.json"), str)
    except HFValidationError:
        return False
