"""UniAR: one autoregressive transformer that understands, generates and edits images.

The front door: `load` (the verbs generate / edit / understand), `UniARForConditionalGeneration`
(the Hugging Face door) and their configurations. Lazy (PEP 562): importing `uniar` imports no torch and
registers nothing. Knows nothing about benchmarks or pages.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "CheckpointError": "uniar.errors",
    "ConfigError": "uniar.errors",
    "InputError": "uniar.errors",
    "UniAR": "uniar.pipeline",
    "UniARConfig": "uniar.configuration",
    "UniARError": "uniar.errors",
    "UniARForConditionalGeneration": "uniar.model",
    "UniARVisionConfig": "uniar.configuration",
    "UniARVisionModel": "uniar.vision.tokenizer",
    "load": "uniar.pipeline",
}

__all__ = sorted([*_EXPORTS, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'uniar' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return __all__
