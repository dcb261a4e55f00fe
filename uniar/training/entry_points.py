"""What is handed in from outside by name: entry points, built from a recipe's settings."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from uniar.errors import ConfigError


def load_entry_point(group: str, name: str, settings: Mapping[str, Any], *, key: str) -> Any:
    """Build what an entry point offers: its callable is called with the settings.

    Args:
        group: of entry points.
        name: in the group.
        settings: keyword arguments.
        key: of the recipe, for the messages.

    Raises:
        ConfigError: no such name (with the nearest one), a name found twice, or something that cannot be imported or built.
    """
    # An editable install and a checkout on the path can show the same distribution twice: equal targets are one.
    found = {(point.name, point.value): point for point in entry_points(group=group)}
    targets = sorted(value for known, value in found if known == name)
    if not targets:
        known = sorted({known for known, _ in found})
        near = difflib.get_close_matches(name, known, 1)
        hint = f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(known) or 'none; install a package that has some'}."
        raise ConfigError(f'{key}: got "{name}"; expected an entry point of the group {group}. {hint}')
    if len(targets) > 1:
        raise ConfigError(f'{key}: got "{name}"; expected one target, found {" and ".join(targets)}. Uninstall or rename one.')
    try:
        return found[name, targets[0]].load()(**settings)
    # This is foreign code: whatever its import or its constructor raises is told as its own fault, by name.
    except Exception as error:
        raise ConfigError(f"{key}.{name}: cannot be built from {dict(settings)}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """An exception as one line, with its type unless it is a sentence for users."""
    text = " ".join(str(error).split())
    return text if text.endswith(".") else f"{type(error).__name__}: {text}"
