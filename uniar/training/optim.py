"""Optimisers of a stage and their learning rate.

`muon` orthogonalises the momentum of every hidden matrix (Jordan et al. 2024, "Muon"; update scaled to AdamW's size as in Liu
et al., arXiv 2502.16982); embeddings, classifiers, norms and biases stay with AdamW, as its authors advise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uniar.errors import ConfigError

OPTIMIZERS = ("adamw", "muon")
PRECISIONS = ("float32", "bfloat16")
SHARDINGS = ("none", "fsdp2", "zero1", "zero2", "zero3")
SCHEDULES = ("cosine", "linear", "constant")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """How long and how fast a stage learns."""

    steps: int
    """Optimiser steps in all."""
    batch_size: int
    """Samples a step."""
    lr: float
    """Peak learning rate."""
    warmup: int = 100
    """Steps of linear warm-up; then cosine to `final_lr` of the peak."""
    final_lr: float = 0.1
    """Share of the peak at the last step."""
    optimizer: str = "adamw"
    """`adamw`, or `muon` for the hidden matrices and AdamW for the rest."""
    precision: str = "float32"
    """`bfloat16` computes the products of forward and backward in bfloat16; weights and optimiser stay in float32."""
    compile: bool = False
    """Compile the stage's repeated blocks (`torch.compile`; needs a C++ compiler on the CPU): same mathematics, fewer passes."""
    weight_decay: float = 0.01
    """Of matrices; norms, biases and embeddings have none."""
    clip: float = 1.0
    """Global gradient norm."""
    save_every: int = 200
    """Steps between saved states."""
    log_every: int = 20
    """Steps between log lines."""

    def __post_init__(self) -> None:
        for key, known in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
            if getattr(self, key) not in known:
                raise ConfigError(f"{key}: got {getattr(self, key)!r}; expected one of {', '.join(known)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig(LoopConfig):
    """What the engine can do beyond the plain loop."""

    schedule: str = "cosine"
    """After the warm-up: `cosine` or `linear` down to `final_lr` of the peak, or `constant`."""
    accumulate: int = 1
    """Micro-batches of a step; `batch_size` is the global batch over all of them and all processes."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward: less memory, about a third more time."""
    keep: int = 3
    """Saved states that stay."""
    sharding: str = "none"
    """Over the processes: `none` copies all (DDP); `fsdp2` splits weights, gradients and optimiser; `zero1`, `zero2` and `zero3` are
    DeepSpeed's: the optimiser, gradients too, weights too."""
    ema: float = 0.0
    """Decay of the running average of the weights that is exported; 0 keeps none."""

    def __post_init__(self) -> None:
        # A dataclass with slots is a new class, so the bare super() of a method would not find it.
        LoopConfig.__post_init__(self)
        for key, known in (("schedule", SCHEDULES), ("sharding", SHARDINGS)):
            if getattr(self, key) not in known:
                raise ConfigError(f"{key}: got {getattr(self, key)!r}; expected one of {', '.join(known)}.")
        for key in ("accumulate", "keep"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key}: got {getattr(self, key)}; expected 1 or more.")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema: got {self.ema}; expected 0 (none) to below 1.")


def refuse_zero3(sharding: str, *, ema: float, rollouts: bool, name: str) -> None:
    """Raise ConfigError where zero3 meets what reads weights outside a step: a running average, or rollouts of the stage `name`."""
    if sharding == "zero3" and (ema or rollouts):
        what = "ema" if ema else f"stage {name}"
        raise ConfigError(f"sharding: got zero3 with {what}, which reads weights outside a step. Use fsdp2 or zero2.")


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then the schedule (cosine unless it says otherwise) to `final_lr` of the peak."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    schedule = getattr(config, "schedule", "cosine")
    fall = {"cosine": 0.5 * (1 + math.cos(math.pi * progress)), "linear": 1 - progress, "constant": 1.0}[schedule]
    return config.lr * (config.final_lr + (1 - config.final_lr) * fall)


class Optimizers:
    """The optimisers of one module, handled as one.

    Args:
        module: its parameters that require gradients are trained. An attribute `classifiers` (names of its parts whose
            matrices are classifiers) keeps those away from Muon.
        config: see `LoopConfig`.

    Raises:
        ConfigError: Muon is asked for and this PyTorch has none.
    """

    def __init__(self, module: nn.Module, config: LoopConfig):
        trained = [p for p in module.parameters() if p.requires_grad]
        hidden = {id(p) for p in hidden_matrices(module)} if config.optimizer == "muon" else set()
        matrices = [p for p in trained if p.dim() >= 2 and id(p) not in hidden]
        plain = [p for p in trained if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        # Adapters have no norms, and Muon may take all matrices: what is empty could be saved but not restored.
        groups = [group for group in groups if group["params"]]
        self.parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)] if groups else []
        if hidden:
            if not hasattr(torch.optim, "Muon"):
                raise ConfigError(f"optimizer: got 'muon'; torch {torch.__version__} has none. Use torch 2.9 or newer, or 'adamw'.")
            chosen = [p for p in trained if id(p) in hidden]
            decay = {"weight_decay": config.weight_decay, "adjust_lr_fn": "match_rms_adamw"}
            self.parts.append(torch.optim.Muon(chosen, lr=config.lr, **decay))

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained; read from the optimisers, since sharding replaces parameters."""
        return [p for part in self.parts for group in part.param_groups for p in group["params"]]

    def step(self, lr: float) -> None:
        """Update every parameter at that learning rate."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()

    def clear(self) -> None:
        """Drop the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """All slots as `part.parameter.slot`."""
        out = {}
        for k, part in enumerate(self.parts):
            for index, slots in part.state_dict()["state"].items():
                for slot, value in slots.items():
                    out[f"{k}.{index}.{slot}"] = torch.as_tensor(value).detach().cpu().contiguous().clone()
        return out

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state`.

        Raises:
            ValueError: the slots are not those of these optimisers.
        """
        if {key.split(".")[0] for key in state} != {str(k) for k in range(len(self.parts))}:
            raise ValueError("written with other optimisers")
        for k, part in enumerate(self.parts):
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in state.items():
                number, index, slot = key.split(".")
                if int(number) == k:
                    slots.setdefault(int(index), {})[slot] = value
            part.load_state_dict({"state": slots, "param_groups": part.state_dict()["param_groups"]})


def hidden_matrices(module: nn.Module) -> Iterator[Tensor]:
    """The matrices that Muon would train: those of linear layers that are no classifiers."""
    classifiers = tuple(getattr(module, "classifiers", ()))
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear) and part.weight.requires_grad and not name.startswith(classifiers):
            yield part.weight


class WeightAverage:
    """Running average of the trained weights: average = decay * average + (1 - decay) * weight.

    The decay grows with the number of updates, min(decay, (1 + n) / (10 + n)), so that the first weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay, self.updates = decay, 0
        self._values = {n: p.detach().clone().float() for n, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights of this step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, parameter in module.named_parameters():
            if name in self._values:
                self._values[name].lerp_(parameter.detach().float(), 1 - decay)

    def gathered(self) -> dict[str, Tensor]:
        """Full tensors on the CPU, with the number of updates; every process must call it."""
        full = {n: (v.full_tensor() if hasattr(v, "full_tensor") else v).cpu() for n, v in self._values.items()}
        return {**full, "updates": torch.tensor(self.updates)}

    def load(self, values: dict[str, Tensor]) -> None:
        """Inverse of `gathered`."""
        self.updates = int(values["updates"])
        for name, own in self._values.items():
            full = values[name].to(own.device)
            if hasattr(own, "full_tensor"):
                from torch.distributed.tensor import distribute_tensor

                full = distribute_tensor(full, own.device_mesh, own.placements).to_local()
                own = own.to_local()
            own.copy_(full)
