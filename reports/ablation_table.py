"""Reading the table of a grid (`ablation.json`, schema version 1): every key is checked, the wrong one is told in one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.ablation.curves import LARGEST
from evals.ablation.exporting import COSTS
from evals.errors import StoreError
from reports.text import visible

SCHEMA = 1
"""Version of the table that this page reads."""

_NONE = type(None)
_SOME = (float, _NONE)
_WORD = (str, _NONE)
_SEED = {"seed": int, "status": str, "reason": str, "value": _SOME, "difference": _SOME, "run": str, "made": Mapping}
_TASK = {"task": str, "first": float, "second": float, "delta": float, "low": _SOME, "high": _SOME}
_EFFECT = {
    "delta": float, "low": _SOME, "high": _SOME, "p": _SOME, "p_holm": _SOME, "counts": {"won": int, "lost": int, "tied": int},
    "pairs": int, "prompts": int, "by_seed": [float], "wider_by_seeds": bool, "tasks": [_TASK],
}  # fmt: skip
_LEVEL = {"value": _SOME, "low": _SOME, "high": _SOME, "outputs": int, "planned": int, "seeds": [_SOME]}
_CURVE = {"stage": str, "number": int, "seed": int, "steps": [float], "measures": [{"name": str, "values": [float], "last": float}]}
_CELL = {
    "name": str, "own": Mapping, "control": bool, "status": str, "seeds": [_SEED], "level": _LEVEL, "effect": (_EFFECT, _NONE),
    "cost": {key: _SOME for key in COSTS}, "curves": [_CURVE],
}  # fmt: skip
_TABLE = {
    "ablation": str, "version": int, "size": str, "suite": str, "profile": _WORD, "limit": (int, _NONE), "seeds": [int], "control": str,
    "cells": [_CELL], "title": str, "question": str, "notes": [str], "trained": bool, "suite_title": _WORD, "protocol": _WORD,
    "mini": bool, "value": _WORD, "headline": _WORD, "scale": ([float], _NONE), "complete": bool, "command": [str], "created": str,
    "seconds": float,
}  # fmt: skip
"""What the page needs of a table: a type, several, a list of one, or an object with these keys."""
_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "yes or no", Mapping: "an object", _NONE: "null"}


def read(path: Path) -> dict[str, Any]:
    """Return the table of a grid.

    Raises:
        StoreError: there is none, it is damaged, or it has another version.
    """
    again = "The same `uniar-eval ablate` command writes it anew."
    try:
        # The writer lets lone surrogates pass; `visible` shows them.
        found = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except OSError as error:
        raise StoreError(f"{path}: got no file ({error.strerror}); expected the table that `uniar-eval ablate` writes.") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: got a damaged file ({' '.join(str(error).split())}); expected JSON. {again}") from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != SCHEMA:
        told = "a table without a version" if version is None else f"version {visible(version, 40)}"
        raise StoreError(f"{path}: schema_version: got {told}; expected {SCHEMA}. {again}")
    # Tables of before curves were kept have none.
    for cell in found["cells"] if isinstance(found.get("cells"), list) else ():
        if isinstance(cell, dict):
            cell.setdefault("curves", [])
    wrong = _wrong(found, _TABLE, "")
    if wrong:
        raise StoreError(f"{path}: {wrong}. The file is damaged. {again}")
    return dict(found)


def _wrong(data: Any, shape: Any, at: str) -> str:
    """The first thing that does not fit, empty when all does."""
    if isinstance(shape, tuple):
        return "" if data is None else _wrong(data, shape[0], at)
    if isinstance(shape, dict):
        if not isinstance(data, dict):
            return f"{at}: got {_kind(data)}; expected an object"
        lacking = next((key for key in shape if key not in data), None)
        if lacking is not None:
            return f"{at}{'.' if at else ''}{lacking}: got nothing; expected a value"
        return next((told for key, part in shape.items() if (told := _wrong(data[key], part, f"{at}{'.' if at else ''}{key}"))), "")
    if isinstance(shape, list):
        if not isinstance(data, list):
            return f"{at}: got {_kind(data)}; expected a list"
        return next((told for number, part in enumerate(data) if (told := _wrong(part, shape[0], f"{at}[{number}]"))), "")
    fits = isinstance(data, (int, float) if shape is float else shape) and isinstance(data, bool) == (shape is bool)
    # What Python writes and reads as JSON may be not a number, infinite, or too large for a float.
    fits = fits and (shape not in (int, float) or abs(data) <= LARGEST)
    return "" if fits else f"{at}: got {_kind(data)}; expected {_NAMES[shape]}"


def _kind(data: Any) -> str:
    if isinstance(data, (int, float)) and not abs(data) <= LARGEST:
        return "a number out of range"
    return "a list" if isinstance(data, list) else next((name for kind, name in _NAMES.items() if type(data) is kind), "an object")
