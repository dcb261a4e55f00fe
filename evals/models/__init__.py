"""Things under test: work items -> generations. Built as `factory(source=..., device=...)`.

Knows no scorer and no file of a run.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from evals.errors import PluginError
from evals.protocols import Model
from evals.registry import Registry

BUNDLED = "uniar-mini"
"""The checkpoint that ships with the package; what runs without `--model`."""


def build(spec: str | None, registry: Registry, *, device: str) -> Model:
    """Build the model that `--model` names.

    Args:
        spec: a path or id of a UniAR checkpoint, `NAME` or `NAME:SOURCE` of a model plugin (`images:DIR`), or None
            for the bundled checkpoint. An existing path wins over a plugin's name.
        registry: the suite's plugins.
        device: `cpu`, `cuda` or `auto`.

    Raises:
        PluginError: the plugin takes no source, or needs one.
        UserError: whatever the model says about its source.
    """
    name, source = split(spec, registry)
    factory = registry.load("model", name)
    given: dict[str, Any] = {"source": source, "device": device}
    parameters = inspect.signature(factory).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        if source is not None and "source" not in parameters:
            raise PluginError(f'--model: got "{spec}"; the model "{name}" takes no source. Write --model {name}.')
        given = {key: value for key, value in given.items() if key in parameters}
    if given.get("source", "") is None:
        if parameters["source"].default is inspect.Parameter.empty:
            raise PluginError(f'--model: got "{spec}"; the model "{name}" needs a source. Write --model {name}:SOURCE.')
        del given["source"]
    return factory(**given)


def split(spec: str | None, registry: Registry) -> tuple[str, str | None]:
    """Return (plugin name, source) of a `--model` value; what is no plugin's name is a UniAR checkpoint."""
    if spec is None:
        return "uniar", BUNDLED
    name, colon, source = spec.partition(":")
    if not Path(spec).exists() and name in registry.names("model"):
        return name, source if colon else None
    return "uniar", spec
