"""What the runs of all stages share once their engine stands: events, trackers, resume, train, export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from uniar.errors import ConfigError
from uniar.training import evaluation
from uniar.training.adapters import LoraSettings
from uniar.training.distributed import Processes
from uniar.training.engine import Engine
from uniar.training.recipes import StageRecipe
from uniar.training.trackers import open_trackers


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
        raise ConfigError(f"train.sharding: got fsdp2 with {key}; adapters are small, so use sharding none, or leave lora out.")


def runner(stage: str) -> Callable[..., Path | None]:
    """The function that trains a stage; its imports are made now."""
    if stage == "tokenizer":
        from uniar.training.run_tokenizer import train_tokenizer

        return train_tokenizer
    if stage == "decoder":
        from uniar.training.run_decoder import train_decoder

        return train_decoder
    if stage == "grpo":
        from uniar.training.run_grpo import train_grpo

        return train_grpo
    from uniar.training.run_language import train_language

    return train_language


def _nothing(_: str) -> None:
    pass
