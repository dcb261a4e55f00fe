"""Measurement: what is asked, judged, counted and kept. Knows `uniar` only through plugins; never imports `reports`.

The front door is lazy (PEP 562): importing `evals` imports neither torch nor numpy.
`evals.run(...)` calls the module `evals.run`, which is callable, so the name means one thing in every import order.
"""

from __future__ import annotations

from typing import Any

_EXPORTS = {
    "Metric": "evals.types",
    "Outcome": "evals.types",
    "Output": "evals.types",
    "Sample": "evals.types",
    "Score": "evals.types",
    "load_run": "evals.frames",
}

__all__ = sorted([*_EXPORTS, "run"])


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "run":
        return import_module("evals.run")
    if name not in _EXPORTS:
        raise AttributeError(f"module 'evals' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return __all__
