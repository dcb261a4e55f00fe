"""When two runs measure the same thing, so that their numbers may stand in one column: equal suite, version and protocol
name, and equal samples, roles, scorers, report and size of the outputs under that name.

A protocol's name alone is not enough: `--set`, `--role` and `--limit` change the measurement and keep the name. What the
model is told about its own sampling (temperature, guidance, steps) belongs to the model and may differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from evals.suite import lock

SAMPLING = ("temperature", "guidance_scale", "decoder_steps", "decoder_guidance_scale", "max_new_tokens", "batch_size")
"""Keys of `generate` that are the model's own affair."""
LIMIT = "limit"
SAMPLES = "samples_sha256"


def measurement(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run measures as a flat table, dotted key -> value; equal tables, comparable numbers.

    Args:
        manifest: of a run; keys that an older one lacks are left out.
    """
    table = of_suite(manifest.get("resolved_suite") or {})
    table |= {"suite": manifest.get("suite"), "protocol.name": (manifest.get("protocol") or {}).get("name")}
    return table | {LIMIT: manifest.get("limit"), SAMPLES: manifest.get("samples_sha256")}


def of_suite(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `measurement` that a resolved suite decides (`evals.suite.lock.resolved`)."""
    tree = {key: resolved[key] for key in ("suite", "version", "verb", "data", "score", "report", "plugins") if key in resolved}
    # A list of further metrics adds lines to the report and changes no number of it.
    if isinstance(tree.get("report"), Mapping):
        tree["report"] = {key: value for key, value in tree["report"].items() if key in ("value", "headline", "worst", "best")}
    tree["protocol"] = {"name": (resolved.get("protocol") or {}).get("name")}
    tree["generate"] = {key: value for key, value in (resolved.get("generate") or {}).items() if key not in SAMPLING}
    tree["roles"] = lock.deciding(resolved.get("roles") or {})
    return dict(_flat(json.loads(json.dumps(tree, default=str)), ""))


def differences(first: Mapping[str, Any], second: Mapping[str, Any], *, names: tuple[str, str] = ("here", "there")) -> list[str]:
    """Return in what two measurements differ, a phrase each, the protocol first; empty when they are comparable.

    >>> differences({"suite": "a", "limit": None}, {"suite": "a", "limit": 5})
    ['limit: nothing here, 5 there']
    """
    absent = object()
    keys = [key for key in dict.fromkeys((*first, *second)) if first.get(key, absent) != second.get(key, absent)]
    keys.sort(key=lambda key: key not in ("suite", "protocol.name", "version"))
    if len(keys) > 1 and SAMPLES in keys:
        # Other samples follow from other data; told alone they say something new.
        keys.remove(SAMPLES)
    return [_phrase(key, first.get(key), second.get(key), names) for key in keys]


def _phrase(key: str, first: Any, second: Any, names: tuple[str, str]) -> str:
    if key == SAMPLES:
        return "samples: other prompts or another order under the same settings"
    return f"{key}: {_shown(first)} {names[0]}, {_shown(second)} {names[1]}"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text[:80]}…" if len(text) > 80 else text


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _flat(child, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _flat(child, f"{key}[{index}]")
    else:
        yield key, value
