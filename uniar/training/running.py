"""One run of a stage from a checkpoint, whatever the stage: engine, events, trackers, resume, train, export.

What a stage reads and how its result is written is told by `run_tokenizer`, `run_decoder`, `run_language` and `run_grpo`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from uniar.data.faults import Faults
from uniar.data.mix import Mix
from uniar.data.sizing import Sizing
from uniar.errors import ConfigError
from uniar.training import evaluation
from uniar.training.adapters import LoraSettings
from uniar.training.distributed import Processes
from uniar.training.engine import Engine, Event
from uniar.training.recipes import StageRecipe, decisive, locate_data
from uniar.training.trackers import open_trackers


class Ready(NamedTuple):
    """A stage that can be trained."""

    stage: Any
    """See `training.stage.Stage`."""
    write: Callable[[Engine, Path], Path]
    """Writes a checkpoint of the engine's current weights to a folder; every process calls it."""
    every: Mapping[str, tuple[int, Event]] = MappingProxyType({})
    """Events of the engine."""
    afterwards: str = ""
    """What the user must know of the result."""


def train_stage(
    recipe: StageRecipe, out: Path, *, say: Callable[[str], None], max_minutes: float | None = None, export: Path | None = None
) -> Path | None:
    """Train a stage, resuming what `out` holds, and write the checkpoint.

    Args:
        recipe: what to train.
        out: folder of states, logs, previews and evaluations.
        say: prints one line.
        max_minutes: stop cleanly after that long; the same command goes on later.
        export: folder of the checkpoint; default `out/checkpoint`.

    Returns:
        the checkpoint, or None when the time was up before the last step.
    """
    processes = Processes()
    ready = _maker(recipe.stage)(recipe, out, processes, say)
    engine = Engine(
        ready.stage, recipe.train, folder=out, seed=recipe.seed, say=say, processes=processes, every=ready.every, describe=decisive(recipe)
    )
    made = finish(recipe, engine, partial(ready.write, engine), max_minutes=max_minutes, export=export)
    if made is not None and processes.main and ready.afterwards:
        say(ready.afterwards)
    return made


def _maker(stage: str) -> Callable[[Any, Path, Processes, Callable[[str], None]], Ready]:
    # Each stage's libraries are imported when it is trained.
    if stage == "tokenizer":
        from uniar.training.run_tokenizer import tokenizer_ready

        return tokenizer_ready
    if stage == "decoder":
        from uniar.training.run_decoder import decoder_ready

        return decoder_ready
    if stage == "grpo":
        from uniar.training.run_grpo import grpo_ready

        return grpo_ready
    from uniar.training.run_language import language_ready

    return language_ready


def mixed_samples(recipe: StageRecipe, sizing: Sizing, say: Callable[[str], None]) -> Faults:
    """The samples of a recipe's mix by number; broken records are told and counted."""
    mix = Mix.open(locate_data(recipe.data), sizing=sizing, seed=recipe.seed)
    return Faults(mix, report=lambda line: say(f"broken record: {line}"), policy=recipe.faults)


def finish(
    recipe: StageRecipe,
    engine: Engine,
    write: Callable[[Path], Path],
    *,
    max_minutes: float | None,
    export: Path | None,
) -> Path | None:
    """Train to the end, or until the time is up, and write the checkpoint.

    Args:
        recipe: of the stage.
        engine: made for it.
        write: writes a checkpoint of the current weights to a folder; every process calls it.
        max_minutes: stop cleanly after that long.
        export: folder of the checkpoint; default `checkpoint` in the run's folder.

    Returns:
        the checkpoint, or None when the time was up before the last step.

    Raises:
        ConfigError: trackers or evaluations that are not there.
        TrainingError: the run diverged, or its folder holds another one.
    """
    out, processes = engine.folder, engine.processes
    say = engine.say if processes.main else _nothing
    for e in recipe.evaluations:
        event = evaluation.event(e, folder=out, processes=processes, export=write, say=say)
        engine.on(f"evaluation {e.name}", e.every, event)
    if processes.main:
        engine.trackers = open_trackers(recipe.trackers, out)
    done = engine.resume()
    if done:
        say(f"{recipe.stage}: going on after step {done}")
    if not engine.run(max_seconds=None if max_minutes is None else 60 * max_minutes):
        return None
    return write(export or out / "checkpoint")


def refuse_sharded_adapters(lora: LoraSettings | None, processes: Processes, sharding: str, *, key: str) -> None:
    """Raise ConfigError where adapters meet sharded weights, which cannot be folded together."""
    if lora is not None and processes.shards(sharding):
        raise ConfigError(
            f"train.sharding: got {processes.sharding(sharding)} with {key}; adapters are small, so use sharding none, or leave lora out."
        )


def _nothing(_: str) -> None:
    pass
