"""The one training loop: schedule, clip, log, save, resume.

A stage hands in its modules, its parameters and `step(batch_index) -> {name: loss}`. The batch of step i is a function of
(seed, stage, i) alone, so the data position is the step number and a resumed run sees what an unbroken one would have seen.
State (weights, optimiser, random states, step) is written atomically as safetensors + JSON.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from uniar.errors import TrainingError
from uniar.seeding import derive_seed
from uniar.training.losses import grad_norm


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """How long and how fast a stage learns."""

    steps: int
    """Optimiser steps in all."""
    batch_size: int
    """Samples a step."""
    lr: float
    """Peak learning rate of AdamW."""
    warmup: int = 100
    """Steps of linear warm-up; then cosine to a tenth of the peak."""
    weight_decay: float = 0.01
    """Of matrices; norms, biases and embeddings have none."""
    clip: float = 1.0
    """Global gradient norm."""
    save_every: int = 200
    """Steps between saved states."""
    log_every: int = 20
    """Steps between log lines."""


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then cosine to a tenth of the peak."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def run_stage(
    name: str,
    module: nn.Module,
    step: Callable[[int, torch.Generator], Mapping[str, Tensor]],
    config: LoopConfig,
    *,
    folder: Path,
    seed: int,
    say: Callable[[str], None],
    max_seconds: float | None = None,
) -> bool:
    """Train until `config.steps` or until the time is up; resume from the folder's state when there is one.

    Args:
        name: stage name, for the log and the seeds.
        module: what is trained; only its parameters that require gradients get updates.
        step: (step number, CPU generator of that step) -> named losses; the entry `loss` is minimised.
        config: see `LoopConfig`.
        folder: where `state-*.safetensors` and `log.jsonl` live.
        seed: run seed.
        say: prints one line.
        max_seconds: stop (and save) after that long.

    Returns:
        True when the stage is finished.

    Raises:
        TrainingError: the loss is not finite; the last saved state stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = [p for p in module.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.dim() >= 2]
    plain = [p for p in parameters if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95))
    start = _restore(folder, module, optimizer)
    began, seen = time.monotonic(), start
    module.train()
    for i in range(start, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, i)
        stream = torch.Generator("cpu").manual_seed(derive_seed(seed, name, i))
        losses = step(i, stream)
        loss = losses["loss"]
        if not bool(torch.isfinite(loss)):
            raise TrainingError(f"{folder}: step {i}: the loss is {loss.item()}. The last good state is kept; lower lr and resume.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = grad_norm(parameters, config.clip)
        optimizer.step()
        done = i + 1
        if done % config.log_every == 0 or done == config.steps:
            rate = (done - seen) / (time.monotonic() - began)
            record = {"step": done, "lr": optimizer.param_groups[0]["lr"], "grad_norm": round(norm, 4)}
            values = {k: float(v.detach()) for k, v in losses.items()}
            record |= {k: round(v, 5) for k, v in values.items()}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
            told = " ".join(f"{k} {v:.4f}" for k, v in values.items())
            say(f"{name} {done}/{config.steps} {told} | {rate:.2f} steps/s, {(config.steps - done) / rate / 60:.1f} min left")
        late = max_seconds is not None and time.monotonic() - began > max_seconds
        if done % config.save_every == 0 or done == config.steps or late:
            _save(folder, module, optimizer, done)
        if late and done < config.steps:
            say(f"{name}: stopped after {done} of {config.steps} steps; run the same command to go on.")
            return False
    module.eval()
    return True


def _save(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors = {f"module.{k}": v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        for slot, value in slots.items():
            tensors[f"optimizer.{index}.{slot}"] = torch.as_tensor(value).detach().cpu().contiguous().clone()
    tensors["step"] = torch.tensor(step)
    tensors["rng"] = torch.get_rng_state()
    temporary, final = folder / "state.tmp", folder / "state.safetensors"
    save_file(tensors, temporary)
    # One rename makes the state whole or absent; a crash between writes keeps the older one.
    os.replace(temporary, final)


def _restore(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    file = folder / "state.safetensors"
    if not file.is_file():
        return 0
    tensors = load_file(file)
    own = {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
    try:
        module.load_state_dict(own, strict=True)
    except RuntimeError as error:
        raise TrainingError(f"{file}: does not fit this recipe ({str(error).splitlines()[0]}). Use another folder or the old recipe.") from None
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, slot = key.split(".")
            state.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["rng"])
    return int(tensors["step"])
