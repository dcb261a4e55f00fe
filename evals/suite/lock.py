"""The resolved suite as JSON, and the fingerprint that says whether two runs measure the same thing.

`batch_size`, the device, the folder, and how a judge is reached are not part of it: they change speed, place and price,
never a result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from evals.suite.schema import PluginUse, Suite
from evals.types import Sample

_REACHED = (
    "api_key_env", "backoff", "base_url", "canary", "completion_price", "concurrency", "prompt_price", "requests_per_minute", "retries",
    "timeout",
)  # fmt: skip
"""Settings of a role that tell how it is reached, not what it replies."""
_LATER: dict[str, Any] = {"answer_by": "words", "flip_rate": 0.0, "drop_levels": (), "dtype": "auto"}
"""Keys of `generate` that came after the first runs, with what those did."""
_FREE = re.compile(rf"resolved_suite\.(generate\.batch_size|roles\.\w+\.(judge\.)?({'|'.join(_REACHED)}))")


def canonical(data: Any) -> bytes:
    """Return JSON data as bytes that are equal exactly when the data are."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(data: Any) -> str:
    """Return the sha256 of JSON data, hexadecimal."""
    return hashlib.sha256(canonical(data)).hexdigest()


def resolved(suite: Suite) -> dict[str, Any]:
    """Return the resolved suite as plain JSON data, the plugin files with their sha256."""
    return {
        "suite": suite.name,
        "title": suite.title,
        "version": suite.version,
        "profile": suite.profile,
        "protocol": _listed(asdict(suite.protocol)),
        "verb": suite.verb,
        "data": {"dataset": suite.data.name, **suite.data.kwargs},
        # Later settings are left out at their default, as runs before there was a choice have it.
        "generate": _listed({key: value for key, value in asdict(suite.generate).items() if key not in _LATER or value != _LATER[key]}),
        "roles": {role: {"use": use.name, **use.kwargs} for role, use in suite.roles.items()},
        "score": [_scorer(use) for use in suite.score],
        "report": asdict(suite.report),
        "plugins": [
            {"file": path.relative_to(suite.folder).as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in suite.plugins
        ],
    }


def samples_digest(samples: Iterable[Sample]) -> str:
    """Return the sha256 of the samples, in order."""
    return digest([sample.to_json() for sample in samples])


def identity(
    resolved_suite: Mapping[str, Any], *, model: Mapping[str, Any], seed: int, limit: int | None, samples_sha256: str
) -> dict[str, Any]:
    """Return what a run folder is bound to: a flat table, dotted key -> value.

    A model with a `sha256` is known by that alone, so that a moved checkpoint stays the same model.
    """
    weights = {"sha256": model["sha256"]} if model.get("sha256") else dict(model)
    tree = {
        "resolved_suite": dict(resolved_suite),
        "model": weights,
        "seed": seed,
        "limit": limit,
        "samples_sha256": samples_sha256,
    }
    flat = dict(_flatten(json.loads(canonical(tree)), ""))
    return {key.removeprefix("resolved_suite."): value for key, value in flat.items() if not _FREE.fullmatch(key)}


def deciding(roles: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the roles' settings without those that only tell how a judge is reached."""
    return {role: {key: value for key, value in use.items() if key not in _REACHED} for role, use in roles.items()}


def fingerprint(identity_table: Mapping[str, Any]) -> str:
    """Return the sha256 of an identity table."""
    return digest(dict(identity_table))


def _flatten(value: Any, key: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, child in value.items():
            yield from _flatten(child, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from _flatten(child, f"{key}[{index}]")
    else:
        yield key, value


def _scorer(use: PluginUse) -> dict[str, Any]:
    return {"scorer": use.name, **use.kwargs}


def _listed(data: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}
