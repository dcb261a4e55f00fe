"""The typed recipe of `uniar train mini`: sizes of the parts and length of the stages, read from YAML.

An unknown key, a wrong type or a value out of range is one sentence with file and key.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from uniar.errors import ConfigError
from uniar.training.optim import LoopConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionSize:
    """The ViT and its quantiser."""

    hidden: int = 128
    depth: int = 6
    heads: int = 4
    mlp: int = 384
    patch: int = 8
    levels: tuple[int, ...] = (2,)
    """Blocks whose output is a deepstack level."""
    bits: int = 16
    projection: int = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageSize:
    """The language stack and the visual head's stack."""

    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    mlp: int = 640
    visual_depth: int = 2
    vocabulary: int = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelSize:
    """The VAE and the DiT."""

    vae_widths: tuple[int, ...] = (16, 32, 48)
    latents: int = 4
    hidden: int = 128
    layers: int = 5
    heads: int = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class MiniRecipe:
    """Everything that decides the weights of a mini checkpoint, together with the seed."""

    tokenizer: LoopConfig
    vae: LoopConfig
    decoder: LoopConfig
    autoregressive: LoopConfig
    seed: int = 0
    canvas: int = 64
    """Side of the training images, pixels."""
    vision: VisionSize = field(default_factory=VisionSize)
    language: LanguageSize = field(default_factory=LanguageSize)
    pixels: PixelSize = field(default_factory=PixelSize)
    flip_rate: float = 0.1
    """Largest bit-flip rate of the tokenizer's training (spec: strength drawn from 0 to this)."""
    input_flip_rate: float = 0.05
    """Largest share of flipped bits in the codes that the language model reads while it learns to write."""
    entropy_weight: float = 0.02
    """Weight of the soft-entropy loss beside reconstruction and patch understanding."""
    condition_dropout: float = 0.1
    """Share of prompts replaced by the empty one, for guidance."""
    mix: dict[str, float] = field(default_factory=lambda: {"generate": 0.6, "edit": 0.2, "understand": 0.2})
    """Share of each kind of sequence in a batch."""
    turns: int = 1
    """Questions about the one image of an understanding sequence."""
    packed_length: int = 160
    """Positions of a row that sequences of the language model are packed into."""
    visual_weight: float = 10.0
    """Weight of the bit loss against the text loss (UniAR pre-training: 10)."""


def read_recipe(path: Path, overrides: tuple[str, ...] = ()) -> MiniRecipe:
    """Read and check a recipe file.

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
        raise ConfigError(f"{path}: no such recipe. Ours: mini, mini-smoke.") from None
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
    return _build(MiniRecipe, data, str(path), "")


def _build(cls: type, data: Any, where: str, prefix: str) -> Any:
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
        kind = hints[key]
        values[key] = _build(kind, value, where, f"{prefix}{key}.") if is_dataclass(kind) else _scalar(kind, value, where, prefix + key)
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {prefix}{error}") from None
    except TypeError as error:
        raise ConfigError(f"{where}: {prefix or 'top level'}: {str(error).split('__init__() ')[-1]}.") from None


def _scalar(kind: Any, value: Any, where: str, key: str) -> Any:
    if kind is float and _is_number(value):
        return float(value)
    if kind is int and _is_number(value) and isinstance(value, int):
        if value < 0:
            raise ConfigError(f"{where}: {key}: got {value}; expected 0 or more.")
        return value
    if kind == tuple[int, ...] and isinstance(value, list) and all(_is_number(v) and isinstance(v, int) for v in value):
        return tuple(value)
    if kind == dict[str, float] and isinstance(value, dict) and all(_is_number(v) for v in value.values()):
        return {str(k): float(v) for k, v in value.items()}
    if (kind is str and isinstance(value, str)) or (kind is bool and isinstance(value, bool)):
        return value
    if kind is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text; only 1.0e-3 is a number there.
        raise ConfigError(f"{where}: {key}: got text {value!r}; expected a number, written like 0.001 or 1.0e-3.")
    raise ConfigError(f"{where}: {key}: got {value!r}; expected {getattr(kind, '__name__', kind)}.")


def _is_number(value: Any) -> bool:
    # bool is an int in Python, not in a recipe.
    return isinstance(value, int | float) and not isinstance(value, bool)
