"""Recipe files: YAML and `--set a.b=c` -> a frozen dataclass; every mistake is one sentence with file and key.

The dataclass is the schema: its fields are the keys, its defaults the defaults, its `__post_init__` the checks across fields.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from uniar.errors import ConfigError

R = TypeVar("R")
OURS = Path(__file__).parents[1] / "recipes"
"""The recipes that ship with the package."""


def read_yaml(path: Path, overrides: tuple[str, ...] = ()) -> Any:
    """The file's data with the overrides applied.

    Args:
        path: YAML file.
        overrides: `a.b=value` strings, values as YAML.

    Raises:
        ConfigError: one sentence with file and key.
    """
    import yaml

    try:
        data = yaml.safe_load(path.read_text("utf-8"))
        data = {} if data is None else data
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such recipe. Ours: {', '.join(sorted(p.stem for p in OURS.glob('*.yaml')))}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({str(error).splitlines()[0]}).") from None
    for text in overrides:
        key, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--set {text}: expected key.key=value.")
        node = data
        *parents, last = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise ConfigError(f"--set {text}: {key}: there is no such place in {path}; expected a key of a mapping.")
        try:
            node[last] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set {text}: got a value that is not valid YAML; expected a number, text or [list].") from None
    return data


def build(cls: type[R], data: Any, where: str, prefix: str = "") -> R:
    """Plain data -> a recipe dataclass.

    Args:
        cls: frozen dataclass.
        data: mapping of its fields.
        where: file, for the messages.
        prefix: path of `data` in the file, with a dot at its end.

    Raises:
        ConfigError: one sentence with file and key.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: {prefix or 'top level'}: got {data!r}; expected a mapping.")
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cls)]
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known keys: {', '.join(names)}."
            raise ConfigError(f"{where}: {prefix}{key}: unknown key.{hint}")
        values[key] = _value(hints[key], value, where, f"{prefix}{key}")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {prefix}{error}") from None
    except TypeError as error:
        raise ConfigError(f"{where}: {prefix or 'top level'}: {str(error).split('__init__() ')[-1]}.") from None


def _value(kind: Any, value: Any, where: str, key: str) -> Any:
    if get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind):
        if value is None:
            return None
        kind = next(k for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is tuple and is_dataclass(get_args(kind)[0]):
        if not isinstance(value, list):
            raise ConfigError(f"{where}: {key}: got {value!r}; expected a list.")
        return tuple(build(get_args(kind)[0], entry, where, f"{key}[{i}].") for i, entry in enumerate(value))
    return build(kind, value, where, f"{key}.") if is_dataclass(kind) else _scalar(kind, value, where, key)


def _scalar(kind: Any, value: Any, where: str, key: str) -> Any:
    if kind is float and _is_number(value):
        return float(value)
    if kind is int and _is_number(value) and isinstance(value, int):
        if value < 0:
            raise ConfigError(f"{where}: {key}: got {value}; expected 0 or more.")
        return value
    if kind == tuple[int, ...] and isinstance(value, list) and all(_is_number(v) and isinstance(v, int) for v in value):
        return tuple(value)
    if kind == tuple[str, ...] and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if kind == dict[str, float] and isinstance(value, dict) and all(_is_number(v) for v in value.values()):
        return {str(k): float(v) for k, v in value.items()}
    if get_origin(kind) is Mapping and isinstance(value, dict):
        return value
    if (kind is str and isinstance(value, str)) or (kind is bool and isinstance(value, bool)):
        return value
    if kind is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text; only 1.0e-3 is a number there.
        raise ConfigError(f"{where}: {key}: got text {value!r}; expected a number, written like 0.001 or 1.0e-3.")
    raise ConfigError(f"{where}: {key}: got {value!r}; expected {getattr(kind, '__name__', kind)}.")


def _is_number(value: Any) -> bool:
    # bool is an int in Python, not in a recipe.
    return isinstance(value, int | float) and not isinstance(value, bool)
