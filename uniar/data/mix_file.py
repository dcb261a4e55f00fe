"""The mix file: YAML -> datasets; every mistake is one sentence with file, line and key.

    datasets:
      - {name: photos, path: photos.jsonl, sampled_ratio: 0.5}
      - {name: web, kind: shards, path: "web/{000..099}.tar", sampled_ratio: 20000}
      - {name: world, kind: shapes, split: train, sequences: {generate: 3, interleaved: 1}}

The release's form `{name, json_path, sampled_ratio}` is read too. Relative paths start at the mix file. Leaves opening the sources
and drawing from them to `uniar.data.mix`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from uniar.data.faults import reason
from uniar.data.shapes.questions import KINDS
from uniar.errors import ConfigError

SPLITS = ("train", "held_out", "all")
SEQUENCES = ("generate", "edit", "understand", "interleaved", "rounds")
"""What a shapes source draws; interleaved: an image is written, then questions about it are answered; rounds: then it is changed as
told, in the same context, and asked about again."""
_KEYS = {
    "jsonl": ("name", "kind", "path", "json_path", "root", "sampled_ratio", "weight"),
    "shards": ("name", "kind", "path", "sampled_ratio", "weight"),
    "shapes": ("name", "kind", "weight", "split", "sequences", "canvas", "turns", "questions"),
}
_MAX_VALUES = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """One entry of a mix file."""

    name: str
    """Of the source; letters, digits, `.`, `_`, `-`."""
    kind: str
    """`jsonl`, `shards` or `shapes`."""
    path: str = ""
    """JSONL file, or pattern of shards; shapes have none."""
    root: str = ""
    """Folder of a JSONL file's images; default: the file's own."""
    sampled_ratio: float = 1.0
    """1: all records; below 1: that share of them; a whole number above 1: that many. The same ones in every pass."""
    weight: float | None = None
    """Share of the draws against the others' weights; all datasets have one or none: then the numbers of records decide."""
    split: str = "train"
    """Of the synthetic world."""
    sequences: dict[str, float] = field(default_factory=lambda: {"generate": 0.5, "edit": 0.2, "understand": 0.2, "interleaved": 0.1})
    """Shares of what a shapes source draws."""
    canvas: int = 64
    """Side of the synthetic images, pixels; a multiple of 64."""
    turns: int = 1
    """Questions about one synthetic image."""
    questions: dict[str, float] = field(default_factory=dict)
    """Shares of the kinds of questions (`uniar.data.shapes.questions.KINDS`); default: equal ones."""
    where: str = "mix: datasets"
    """`file:line: datasets[i]`, for messages."""

    def __post_init__(self) -> None:
        ratio, shares, asked = self.sampled_ratio, self.sequences, self.questions
        checks = (
            ("name", re.fullmatch(r"[\w.-]+", self.name), "letters, digits and . _ -"),
            ("kind", self.kind in _KEYS, f"one of {', '.join(_KEYS)}"),
            ("path", bool(self.path) != (self.kind == "shapes"), "no path" if self.kind == "shapes" else "a file or a pattern"),
            ("sampled_ratio", 0 < ratio < 1 or (1 <= ratio < 2**53 and ratio == int(ratio)), "1, a share below 1 or a whole number"),
            ("weight", self.weight is None or 0 < self.weight < float("inf"), "more than 0"),
            ("split", self.split in SPLITS, f"one of {', '.join(SPLITS)}"),
            ("canvas", self.canvas > 0 and self.canvas % 64 == 0, "a multiple of 64"),
            ("turns", self.turns > 0, "1 or more"),
            ("questions", set(asked) <= set(KINDS), f"shares of {', '.join(KINDS)}"),
            ("questions", not asked or _shared(asked), "shares of 0 or more, one above 0"),
            ("sequences", set(shares) <= set(SEQUENCES), f"shares of {', '.join(SEQUENCES)}"),
            ("sequences", _shared(shares), "shares of 0 or more, one above 0"),
        )
        for key, fine, expected in checks:
            if not fine:
                raise ConfigError(f"{key}: got {_told(getattr(self, key))}; expected {expected}.")


def _shared(shares: dict[str, float]) -> bool:
    return all(0 <= s < 1e9 for s in shares.values()) and sum(shares.values()) > 0


def _told(value: Any) -> str:
    text = "nothing" if value is None or value == "" else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_mix(path: Path) -> tuple[Dataset, ...]:
    """Read and check a mix file.

    Raises:
        ConfigError: one sentence with file, line and key.
    """
    return _MixFile(Path(path)).datasets()


class _MixFile:
    def __init__(self, path: Path):
        self._path = path
        self._lines: dict[str, int] = {}

    def fail(self, key: str, got: str, expected: str, remedy: str = "") -> ConfigError:
        where = f"{self._path}:{self._lines.get(key, 1)}: {key or 'mix'}"
        return ConfigError(f"{where}: got {got}; expected {expected}.{remedy and ' '}{remedy}")

    def datasets(self) -> tuple[Dataset, ...]:
        try:
            loader = yaml.SafeLoader(self._path.read_text("utf-8"))
            try:
                root = loader.get_single_node()
                data = None if root is None else self._plain(loader, root, "")
            finally:
                loader.dispose()
        except OSError as error:
            raise ConfigError(f"{self._path}: got no readable file ({error.strerror}); expected a mix file.") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            self._lines[""] = mark.line + 1 if mark else 1
            raise self.fail("", f"broken YAML ({getattr(error, 'problem', None) or reason(error)})", "a mapping with datasets") from None
        if not isinstance(data, dict) or list(data) != ["datasets"]:
            told = f"the keys {', '.join(data) or 'none'}" if isinstance(data, dict) else _told(data)
            raise self.fail("", told, "a mapping with datasets alone")
        if not isinstance(data["datasets"], list) or not data["datasets"]:
            raise self.fail("datasets", _told(data["datasets"]), "a list that is not empty")
        made = tuple(self._dataset(entry, f"datasets[{i}]") for i, entry in enumerate(data["datasets"]))
        for i, d in enumerate(made):
            if d.name in [other.name for other in made[:i]]:
                raise self.fail(f"datasets[{i}].name", f"{d.name!r} a second time", "a name of its own")
            if (d.weight is None) != (made[0].weight is None):
                raise self.fail(f"datasets[{i}]", f"weight {_told(d.weight)}", "a weight for every dataset or for none")
            if d.kind == "shapes" and d.weight is None and len(made) > 1:
                raise self.fail(f"datasets[{i}]", "shapes without a weight", "a weight for every dataset, as shapes have no size")
        return made

    def _plain(self, loader: yaml.SafeLoader, node: yaml.Node, key: str) -> Any:
        self._lines.setdefault(key, node.start_mark.line + 1)
        if len(self._lines) > _MAX_VALUES:
            raise self.fail(key, f"more than {_MAX_VALUES} values", "a mix file")
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_object(node)
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self.fail(key, f"the tag {node.tag}", "a plain mapping or list")
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(loader, child, f"{key}[{i}]") for i, child in enumerate(node.value)]
        out: dict[str, Any] = {}
        for name, child in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise self.fail(key, "a key that is no text", "text")
            inner = f"{key}.{name.value}" if key else name.value
            self._lines[inner] = name.start_mark.line + 1
            if name.value in out:
                raise self.fail(inner, "the key twice", "it once")
            out[name.value] = self._plain(loader, child, inner)
        return out

    def _dataset(self, data: Any, at: str) -> Dataset:
        if not isinstance(data, dict):
            raise self.fail(at, _told(data), "a mapping")
        kind = data.get("kind", "shards" if str(data.get("path", "")).endswith(".tar") else "jsonl")
        if kind not in list(_KEYS):
            raise self.fail(f"{at}.kind", _told(kind), f"one of {', '.join(_KEYS)}")
        hints = {f.name: f.type for f in fields(Dataset)}
        values: dict[str, Any] = {}
        for key, value in data.items():
            if key not in _KEYS[kind]:
                near = difflib.get_close_matches(key, _KEYS[kind], 1)
                told = f"an unknown key of the kind {kind}"
                raise self.fail(f"{at}.{key}", told, f"one of {', '.join(_KEYS[kind])}", f"Did you mean {near[0]!r}?" if near else "")
            field_name = "path" if key == "json_path" else key
            if field_name in values:
                raise self.fail(f"{at}.{key}", "both path and json_path", "one of them")
            values[field_name] = self._typed(hints[field_name], value, f"{at}.{key}")
        if "name" not in values:
            raise self.fail(at, "no name", "a name for the log")
        try:
            return Dataset(**{**values, "kind": kind}, where=f"{self._path}:{self._lines[at]}: {at}")
        except ConfigError as error:
            key = str(error).split(":")[0]
            line = self._lines.get(f"{at}.{key}", self._lines[at])
            raise ConfigError(f"{self._path}:{line}: {at}.{error}") from None

    def _typed(self, hint: Any, value: Any, key: str) -> Any:
        if hint == "str" and isinstance(value, str):
            return value
        if hint == "int" and _is_number(value) and value == int(value):
            return int(value)
        if hint in ("float", "float | None") and _is_number(value):
            return float(value)
        if hint.startswith("dict") and isinstance(value, dict) and all(_is_number(v) for v in value.values()):
            return {name: float(v) for name, v in value.items()}
        told = {"str": "text", "int": "a whole number", "dict[str, float]": "a mapping of numbers"}.get(hint, "a number")
        raise self.fail(key, _told(value), told)


def _is_number(value: Any) -> bool:
    # bool is an int in Python, not in a mix; infinities and NaN are no shares.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
