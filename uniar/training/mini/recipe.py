"""The typed recipe of `uniar train mini`: sizes of the parts and length of the stages, read from YAML.

An unknown key, a wrong type or a value out of range is one sentence with file and key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
    then: tuple[Any, ...] = ()
    """Recipes of further stages (`uniar.training.recipes`), each from the checkpoint of the one before."""
