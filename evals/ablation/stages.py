"""Stages of a cell before it is measured: trainings, each made once by content, by the command line of `uniar` in a process of its own.

A stage is its recipe, its settings, its seed and the stage before it. Its folder is named by that content, so cells that share a stage
share the training, a change makes another folder, and a stage that was killed goes on from its last state.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from evals.ablation.schema import TrainStage
from evals.errors import UserError
from evals.store import atomic
from evals.store.lock import locked
from evals.suite.lock import digest


class StageFailed(UserError):
    """A training ended with an error; its last line says which."""


class OutOfTime(UserError):
    """The budget is spent; what is made is kept, and the same command goes on."""

    exit_code = 3


class Trained(NamedTuple):
    """A finished stage."""

    checkpoint: Path
    seconds: float
    """Wall time of its training, all calls together."""
    reused: bool
    """Whether it was there already."""


def train(
    stages: Sequence[TrainStage], *, start: str | None, seed: int, folder: Path, device: str, deadline: float | None = None
) -> tuple[str | None, list[Trained]]:
    """Make the stages of a cell, one from the other.

    Args:
        stages: in order.
        start: checkpoint that the first one starts from; None leaves it to the recipe.
        seed: replicate; of every draw of the training.
        folder: holds the stages of all cells.
        device: as for `uniar-eval run`; `cpu` hides the GPU.
        deadline: monotonic second after which nothing more is begun.

    Returns:
        The last checkpoint, and each stage.

    Raises:
        StageFailed: a training ended with an error.
        OutOfTime: it is not finished yet.
    """
    before, made = start, []
    for stage, own in zip(stages, places(stages, start=start, seed=seed, folder=folder), strict=True):
        found = _one(stage, before=before, seed=seed, folder=own, device=device, deadline=deadline)
        made.append(found)
        before = str(found.checkpoint)
    return before, made


def places(stages: Sequence[TrainStage], *, start: str | None, seed: int, folder: Path) -> list[Path]:
    """Return the folder of each stage of a cell, named by its content, whether it is made yet or not; arguments as for `train`."""
    key, found = digest({"start": start}), []
    for stage in stages:
        key = digest({"recipe": _content(stage), "settings": list(stage.settings), "seed": seed, "before": key})
        found.append(folder / key[:20])
    return found


def _one(stage: TrainStage, *, before: str | None, seed: int, folder: Path, device: str, deadline: float | None) -> Trained:
    folder.mkdir(parents=True, exist_ok=True)
    record, checkpoint = folder / "stage.json", folder / "run" / "checkpoint"
    # Cells of other processes may want the same stage: whoever comes second finds it made.
    with locked(folder / "stage.lock", wait=True) as held:
        known: dict[str, Any] = json.loads(record.read_text("utf-8")) if record.is_file() else {}
        if known.get("status") == "done" and checkpoint.is_dir():
            return Trained(checkpoint, float(known["seconds"]), True)
        left = None if deadline is None else (deadline - time.monotonic()) / 60
        if left is not None and left <= 0:
            raise OutOfTime(f"{stage.recipe}: the budget is spent before this training. The same command goes on.")
        settings = [*stage.settings, f"seed={seed}", *([f"checkpoint={json.dumps(before)}"] if before is not None else [])]
        command = [sys.executable, "-m", "uniar", "train", stage.recipe, "--out", str(folder / "run")]
        command += [part for setting in settings for part in ("--set", setting)]
        command += [] if left is None else ["--max-minutes", f"{left:.2f}"]
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})
        began = time.monotonic()
        with (folder / "log.txt").open("ab") as log:
            # It holds the lock too: where this process is killed it goes on, and whoever comes next waits for it and takes what it made.
            ended = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False, pass_fds=(held,))
        seconds = float(known.get("seconds", 0.0)) + time.monotonic() - began
        finished = ended.returncode == 0 and checkpoint.is_dir()
        facts = {"recipe": stage.recipe, "settings": settings, "seconds": round(seconds, 3), "status": "done" if finished else "open"}
        atomic.write_json(record, facts)
    if ended.returncode != 0:
        raise StageFailed(f"{stage.recipe}: the training ended with {ended.returncode}: {_last_line(folder / 'log.txt')}")
    if not finished:
        raise OutOfTime(f"{stage.recipe}: the budget ended this training before its last step. The same command goes on.")
    return Trained(checkpoint, round(seconds, 3), False)


def _content(stage: TrainStage) -> str:
    """Digest of a stage's recipe file, and of the mix that it reads; a name stands for the file that ships with `uniar`."""
    import yaml

    ours, path = _recipes(), Path(stage.recipe)
    if not path.suffix:
        path = ours / f"{stage.recipe}.yaml"
    try:
        text = path.read_bytes()
        data = yaml.safe_load(text)
        named = data.get("data") if isinstance(data, dict) else None
        for setting in stage.settings:
            key, _, value = setting.partition("=")
            named = yaml.safe_load(value) if key == "data" else named
    except (OSError, yaml.YAMLError):
        # The training will say so in its own words.
        return stage.recipe
    found = hashlib.sha256(text)
    # As `uniar train` looks for it: from the working directory, else among its own.
    mix = next((place for place in (Path(str(named)), ours / str(named)) if place.is_file()), None)
    if mix is not None:
        found.update(mix.read_bytes())
    return found.hexdigest()


def _recipes() -> Path:
    spec = find_spec("uniar")
    origin = None if spec is None else spec.origin
    return Path(origin or "uniar").parent / "recipes"


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:400] if lines else "it said nothing"
