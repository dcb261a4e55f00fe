"""Training state on disk: weights, optimisers, counters; whole or absent, the newest few kept.

    <folder>/step-00000200/module.safetensors, optimizer.safetensors, state.json

A state is written beside its final name and renamed once it is complete, so a crash leaves the one before. Tensors are gathered
to full size: a run may go on with another number of processes. Nothing random is stored, since every draw belongs to
(seed, step, sample).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    get_state_dict,
    set_state_dict,
)

from uniar.errors import TrainingError
from uniar.training import zero

_NAME = re.compile(r"step-(\d{8})")
FORMAT = 1
OTHER_OPTIMISERS = "{}: written with other optimisers than this recipe's. Use another folder or the old recipe."


def states(folder: Path) -> list[tuple[int, Path]]:
    """Complete states of a run, oldest first: (step, path)."""
    found = [(int(m[1]), p) for p in folder.glob("step-*") if (m := _NAME.fullmatch(p.name)) and (p / "state.json").is_file()]
    return sorted(found)


def gather(module: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Full state of module and optimisers on the CPU; every process must call it.

    Returns:
        tensors by parameter name, optimiser slots as `name/slot`.
    """
    weights = gather_weights(module)
    if zero.is_engine(module):
        return weights, zero.gather_slots(module)
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    slots = get_optimizer_state_dict(module, list(optimizers), options=options)
    flat = {f"{name}/{slot}": torch.as_tensor(v) for name, per in slots.get("state", {}).items() for slot, v in per.items()}
    return weights, flat


def gather_weights(module: nn.Module) -> dict[str, Tensor]:
    """Full weights on the CPU, by name; every process must call it."""
    if zero.is_engine(module):
        return zero.gather_weights(module)
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return {k: v for k, v in get_model_state_dict(module, options=options).items() if isinstance(v, Tensor)}


def save(
    folder: Path,
    step: int,
    weights: Mapping[str, Tensor],
    slots: Mapping[str, Tensor],
    extra: Mapping[str, Any],
    *,
    keep: int,
    average: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a state and drop all but the newest `keep`; one process calls it.

    Args:
        folder: of the run.
        step: optimiser steps done.
        weights: from `gather`.
        slots: likewise.
        extra: JSON data (counters, recipe).
        keep: states that stay, at least 1.
        average: running average of the weights, when there is one.

    Returns:
        the state's folder.
    """
    final = folder / f"step-{step:08d}"
    fresh = folder / f".{final.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    parts = {"module": weights, "optimizer": slots} | ({} if average is None else {"average": average})
    for name, tensors in parts.items():
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, fresh / f"{name}.safetensors")
    data = {"format": FORMAT, "step": step, **extra}
    (fresh / "state.json").write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", "utf-8")
    for path in fresh.iterdir():
        _sync(path)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(fresh, final)
    _sync(folder)
    for _, old in states(folder)[: -max(keep, 1)]:
        shutil.rmtree(old)
    return final


def load_average(path: Path) -> dict[str, Tensor]:
    """The running average of a state.

    Raises:
        TrainingError: it has none.
    """
    file = path / "average.safetensors"
    if not file.is_file():
        raise TrainingError(f"{file}: not found; this run kept no average (ema was 0). Restore ema: 0, or use another folder.")
    return load_file(file)


def restore(path: Path, module: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Any]:
    """Load a state into module and optimisers; every process must call it.

    Returns:
        the JSON data of `save`.

    Raises:
        TrainingError: damaged, or of another shape.
    """
    try:
        data = json.loads((path / "state.json").read_text("utf-8"))
        weights = load_file(path / "module.safetensors")
        flat = load_file(path / "optimizer.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(
            f"{path}: cannot be read ({type(error).__name__}). Delete this folder; the run goes on from the state before."
        ) from None
    if data.get("format") != FORMAT:
        raise TrainingError(
            f"{path}/state.json: format: got {data.get('format')!r}; expected {FORMAT}. Use the version that wrote it, or another folder."
        )
    saved: dict[str, dict[str, Tensor]] = {}
    for key, value in flat.items():
        name, slot = key.rsplit("/", 1)
        saved.setdefault(name, {})[slot] = value
    if zero.is_engine(module):
        _refuse_misfit(path, zero.shapes(module), weights)
        if any(per.keys() != {"step", *zero.SLOTS} for per in saved.values()) or saved.keys() - set(zero.trained_names(module)):
            raise TrainingError(OTHER_OPTIMISERS.format(path))
        zero.restore(module, weights, saved)
        return data
    # Each process's own view, for names and shapes: a full state is gathered to the first process alone.
    own, slots = get_state_dict(module, list(optimizers))
    _refuse_misfit(path, {name: tuple(value.shape) for name, value in own.items()}, weights)
    known = slots.get("state", {})
    if any(per.keys() != known.get(name, {}).keys() for name, per in saved.items()):
        raise TrainingError(OTHER_OPTIMISERS.format(path))
    # A parameter that had no gradient yet has no slots; what fresh optimisers were given here is taken away again below.
    fresh = {name: per for name, per in known.items() if name not in saved}
    slots["state"] = saved | {name: {slot: torch.zeros(v.shape, dtype=v.dtype) for slot, v in per.items()} for name, per in fresh.items()}
    # What a stage leaves out of its state is no fault: the names were compared above.
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)
    try:
        set_state_dict(module, list(optimizers), model_state_dict=weights, optim_state_dict=slots, options=options)
    except RuntimeError as error:
        told = str(error).splitlines()[0]
        raise TrainingError(f"{path}: does not fit this recipe ({told}). Use another folder or the old recipe.") from None
    for name, parameter in module.named_parameters():
        if name.removeprefix("module.") in fresh:
            for optimizer in optimizers:
                optimizer.state.pop(parameter, None)
    return data


def _refuse_misfit(path: Path, own: Mapping[str, tuple[int, ...]], weights: Mapping[str, Tensor]) -> None:
    wrong = [f"missing {n}" for n in own if n not in weights] + [f"unexpected {n}" for n in weights if n not in own]
    shared = [n for n in own if n in weights]
    wrong += [f"{n} {tuple(weights[n].shape)} for {own[n]}" for n in shared if own[n] != tuple(weights[n].shape)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise TrainingError(f"{path}: does not fit this recipe ({', '.join(wrong[:3])}{more}). Use another folder or the old recipe.")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
