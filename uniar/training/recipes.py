"""The recipes of the stages that start from a checkpoint: what a file may say, and which kind it is.

One a stage of training, and `mini`: the whole chain of the bundled checkpoint (`uniar.training.mini`), told by its own keys.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from uniar.data.faults import FaultPolicy
from uniar.errors import ConfigError
from uniar.training.decoder import DecoderConfig
from uniar.training.evaluation import Evaluation
from uniar.training.grpo.config import GrpoConfig
from uniar.training.language import LanguageConfig
from uniar.training.mini.recipe import MiniRecipe
from uniar.training.optim import EngineConfig
from uniar.training.rebuilding import Rebuild
from uniar.training.recipe_file import OURS, build, read_yaml
from uniar.training.tokenizer import TokenizerConfig


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
class StageRecipe:
    """What the recipes of all stages have: where it starts, what it reads, how long it learns."""

    stage: str
    """Which stage; see `STAGES`."""
    train: EngineConfig
    """Length, batch, learning rate, precision, sharding."""
    checkpoint: str = "uniar-mini"
    """Weights to start from; what the stage does not train is the result's too."""
    data: str = ""
    """Mix file (`docs/training.md`); a relative path starts in the working directory, or names one of ours."""
    seed: int = 0
    """Of every draw."""
    faults: FaultPolicy = field(default_factory=FaultPolicy)
    """When broken records stop the run."""
    trackers: tuple[str, ...] = ()
    """Further logs: `tensorboard`, `wandb`."""
    evaluations: tuple[Evaluation, ...] = ()
    """What scores the checkpoint while it learns."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigError("data: got nothing; expected a mix file. Give it with --set data=mix.yaml.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedRecipe(StageRecipe):
    """A stage whose samples are packed into rows."""

    tokens_per_sample: int = 0
    """Mean positions of a sample (`uniar data check` tells them); `--dry-run` alone reads it. 0: each is taken to fill a row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageRecipe(PackedRecipe):
    """`stage: pretrain` or `stage: sft`; they differ in their defaults for what carries the loss."""

    cache: str = ""
    """Folder of pre-computed codes (`uniar data encode`); empty: images are encoded as they come."""
    language: LanguageConfig = field(default_factory=LanguageConfig)
    """Losses, packing, dropout of the condition."""
    rebuild: Rebuild = field(default_factory=Rebuild)
    """For ablations: parts of the model that are built anew first."""
    preview: Preview | None = None
    """Sample sheets; none by default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderRecipe(StageRecipe):
    """`stage: decoder`: the diffusion transformer that draws the pixels."""

    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    """Dropout of the features, upscaling, crops."""
    fresh: bool = False
    """Whether the transformer starts from random weights instead of the checkpoint's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerRecipe(PackedRecipe):
    """`stage: tokenizer`: the vision stack and its quantiser, under the language model."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """Weights of the loss terms, flipped bits."""
    fresh: bool = False
    """Whether the vision stack starts from random weights instead of the checkpoint's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpoRecipe(StageRecipe):
    """`stage: grpo`; `data` is `shapes`, a JSONL file of records or a mix of them, `train.batch_size` the prompts of a step."""

    grpo: GrpoConfig
    """Rollouts, rewards, loss, adapters."""


_RECIPES: dict[str, type[StageRecipe]] = {
    "tokenizer": TokenizerRecipe,
    "decoder": DecoderRecipe,
    "pretrain": LanguageRecipe,
    "sft": LanguageRecipe,
    "grpo": GrpoRecipe,
}
STAGES = ("mini", *_RECIPES)


def decisive(recipe: StageRecipe) -> dict[str, Any]:
    """What decides the numbers of a run, as JSON data; how many processes share the work does not."""
    data = asdict(recipe)
    for key in ("preview", "trackers", "cache", "evaluations", "tokens_per_sample"):
        data.pop(key, None)
    for key in ("save_every", "log_every", "keep", "accumulate", "sharding", "compile", "gradient_checkpointing"):
        del data["train"][key]
    return data


def locate_data(data: str) -> Path:
    """The mix file of a recipe: a path, or the name of one of ours (`mix/…` in the recipes' folder)."""
    return OURS / data if not Path(data).exists() and (OURS / data).is_file() else Path(data)


def locate(recipe: str) -> Path:
    """The file of a recipe: a path that ends in .yaml, or the name of one of ours."""
    path = Path(recipe)
    return path if path.suffix else OURS / f"{recipe}.yaml"


def read(path: Path, overrides: tuple[str, ...] = ()) -> MiniRecipe | StageRecipe:
    """Read and check a recipe of any stage.

    Raises:
        ConfigError: one sentence with file and key.
    """
    data: Any = read_yaml(path, overrides)
    stage = data.get("stage", "mini") if isinstance(data, dict) else "mini"
    if stage not in STAGES:
        raise ConfigError(f"{path}: stage: got {stage!r}; expected one of {', '.join(STAGES)}.")
    if stage != "mini":
        return build(_RECIPES[stage], data, str(path))
    if not isinstance(data, dict):
        return build(MiniRecipe, data, str(path))
    made = build(MiniRecipe, {k: v for k, v in data.items() if k not in ("stage", "then")}, str(path))
    following = enumerate(data.get("then") or ())
    return replace(made, then=tuple(_following(entry, str(path), f"then[{i}]", made.seed) for i, entry in following))


def _following(data: Any, where: str, key: str, seed: int) -> StageRecipe:
    stage = data.get("stage") if isinstance(data, dict) else None
    if stage not in _RECIPES:
        raise ConfigError(f"{where}: {key}.stage: got {stage!r}; expected one of {', '.join(_RECIPES)}.")
    return build(_RECIPES[stage], {"seed": seed, **data}, where, f"{key}.")
