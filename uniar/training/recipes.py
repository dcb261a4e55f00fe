"""The recipes of the stages that start from a checkpoint: what a file may say, and which kind it is.

`stage: pretrain` and `stage: sft` train the AR model on a mix; `mini` is the whole chain of the bundled checkpoint
(`uniar.training.mini`), told by its own keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uniar.data.faults import FaultPolicy
from uniar.errors import ConfigError
from uniar.training.language import LanguageConfig
from uniar.training.mini.recipe import MiniRecipe
from uniar.training.optim import EngineConfig
from uniar.training.recipe_file import OURS, build, read_yaml

STAGES = ("mini", "pretrain", "sft")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """Images that are made while the model learns."""

    prompts: tuple[str, ...]
    """One image each, always with the same seed."""
    every: int = 500
    """Steps between two sheets."""
    height: int = 64
    """Pixels of the rollout."""
    width: int = 64
    """Likewise."""
    guidance_scale: float = 2.5
    """On the bits."""
    temperature: float = 0.1
    """Of the bits."""
    decoder_steps: int = 8
    """Steps of the pixel decoder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageRecipe:
    """`stage: pretrain` or `stage: sft`."""

    stage: str
    """`pretrain` or `sft`; they differ in their defaults for what carries the loss."""
    train: EngineConfig
    """Length, batch, learning rate, precision, sharding."""
    checkpoint: str = "uniar-mini"
    """Weights to start from, and the tokenizer, decoder and processor of the result."""
    data: str = ""
    """Mix file (`docs/training.md`); a relative path starts in the working directory."""
    cache: str = ""
    """Folder of pre-computed codes (`uniar data encode`); empty: images are encoded as they come."""
    seed: int = 0
    """Of every draw."""
    language: LanguageConfig = field(default_factory=LanguageConfig)
    """Losses, packing, dropout of the condition."""
    faults: FaultPolicy = field(default_factory=FaultPolicy)
    """When broken records stop the run."""
    preview: Preview | None = None
    """Sample sheets; none by default."""
    trackers: tuple[str, ...] = ()
    """Further logs: `tensorboard`, `wandb`."""

    def __post_init__(self) -> None:
        if self.stage not in ("pretrain", "sft"):
            raise ConfigError(f"stage: got {self.stage!r}; expected pretrain or sft.")
        if not self.data:
            raise ConfigError("data: got nothing; expected a mix file. Give it with --set data=mix.yaml.")


def locate(recipe: str) -> Path:
    """The file of a recipe: a path that ends in .yaml, or the name of one of ours."""
    path = Path(recipe)
    return path if path.suffix else OURS / f"{recipe}.yaml"


def read(path: Path, overrides: tuple[str, ...] = ()) -> MiniRecipe | LanguageRecipe:
    """Read and check a recipe of any stage.

    Raises:
        ConfigError: one sentence with file and key.
    """
    data: Any = read_yaml(path, overrides)
    stage = data.get("stage", "mini") if isinstance(data, dict) else "mini"
    if stage not in STAGES:
        raise ConfigError(f"{path}: stage: got {stage!r}; expected one of {', '.join(STAGES)}.")
    if stage == "mini":
        return build(MiniRecipe, {k: v for k, v in data.items() if k != "stage"} if isinstance(data, dict) else data, str(path))
    return build(LanguageRecipe, data, str(path))
