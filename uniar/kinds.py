"""Parts that come in kinds (quantisers, visual heads): checks of their settings, and the one way from a kind's name to an object."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from uniar.errors import ConfigError

T = TypeVar("T")


def whole(name: str, value: Any, *, least: int, most: int | None = None, where: str = "quantizer") -> int:
    """`value` if it is an int from `least` to `most`, else ConfigError."""
    # bool is an int in Python, not in a recipe.
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        wanted = f"{least} or more" if most is None else f"{least} to {most}"
        raise ConfigError(f"{where}.{name}: got {value!r}; expected a whole number, {wanted}.")
    return value


def number(name: str, value: Any, *, least: float = 0.0, below: float = math.inf, above: bool = False) -> float:
    """`value` as a float if it is from `least` (excluded where `above`) to under `below`, else ConfigError."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Written so that nan fails.
    if not known or not (least < value if above else least <= value) or not value < below:
        wanted = (f"above {least:g}" if above else f"{least:g} or more") + (f" and below {below:g}" if below < math.inf else "")
        raise ConfigError(f"quantizer.{name}: got {value!r}; expected a number, {wanted}.")
    return float(value)


def construct(table: Mapping[str, type[T]], kind: Any, *given: Any, settings: Mapping[str, Any], where: str, own: str | None = None) -> T:
    """`table[kind](*given, **settings)`, with every mistake told in one sentence.

    A class that takes `**settings` hands what it does not know to the classes it builds, which then judge it.

    Args:
        table: kind -> class.
        kind: key of the table.
        given: positional arguments of every kind.
        settings: keyword arguments of the class.
        where: name of the part, for the messages.
        own: name of the kind's own setting, where that is another.

    Raises:
        ConfigError: an unknown kind, or an unknown, missing or wrong setting.
    """
    if not isinstance(kind, str) or kind not in table:
        raise ConfigError(f"{own or where}: got {kind!r}; expected one of {', '.join(sorted(table))}.{_near(kind, table)}")
    parameters = inspect.signature(table[kind]).parameters.values()
    known = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
    hands_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name in settings:
        if name not in known and not hands_on:
            listed = f"one of {', '.join(known)}" if known else "none"
            raise ConfigError(f"{where}.{name}: got a setting that {kind} does not have; expected {listed}.{_near(name, known)}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in settings:
            raise ConfigError(f"{where}.{name}: got none; expected a value, which {kind} cannot do without.")
    return table[kind](*given, **settings)


def _near(name: Any, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), known, 1)
    return f" Did you mean {near[0]!r}?" if near else ""
