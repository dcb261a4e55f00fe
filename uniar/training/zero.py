"""DeepSpeed ZeRO around a stage: optimiser (zero1), gradients too (zero2), weights too (zero3) split over the processes.

DeepSpeed is an extra (`pip install deepspeed`) and is imported here alone. Its own checkpoints are pickles, so states are gathered and
written as everywhere, and a run may go on under another sharding. Like FSDP2 it is called directly: accelerate takes a DeepSpeed
configuration for plain DDP where there is no GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from uniar.errors import ConfigError

LEVELS = {"zero1": 1, "zero2": 2, "zero3": 3}
SLOTS = ("exp_avg", "exp_avg_sq")
"""Of AdamW, beside `step`."""


def wrap(stage: Any, optimizer: torch.optim.Optimizer, *, level: int, accumulate: int, clip: float, precision: str) -> nn.Module:
    """Return DeepSpeed's engine around a stage; the process group must be there.

    Args:
        stage: see `training.stage.Stage`.
        optimizer: AdamW over what is trained; its parameters become DeepSpeed's partitions.
        level: 1, 2 or 3.
        accumulate: micro-batches a step.
        clip: global gradient norm.
        precision: of the products, `float32` or `bfloat16`.

    Raises:
        ConfigError: DeepSpeed is not installed.
    """
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
    except ImportError:
        told = f"sharding: got zero{level}, and DeepSpeed is not installed. Run `pip install deepspeed`, or use fsdp2."
        raise ConfigError(told) from None
    config: dict[str, Any] = {
        # Batches are shared out by the engine; only the product has to fit.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": accumulate,
        "gradient_clipping": clip,
        "zero_optimization": {"stage": level},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**31,
    }
    if precision == "bfloat16":
        config["torch_autocast"] = {"enabled": True, "dtype": "bfloat16"}
    if level == 3:
        inside = {id(p) for block in stage.repeated_blocks() for p in block.parameters()}
        # Blocks are gathered one by one. All else is used by methods that are no forward, so it is gathered with the stage's own.
        for parameter in (p for p in stage.parameters() if id(p) not in inside):
            deepspeed.zero.register_external_parameter(stage, parameter)
    return deepspeed.initialize(model=stage, optimizer=optimizer, config=config)[0]


def is_engine(module: nn.Module) -> bool:
    """Whether a module is DeepSpeed's engine."""
    return type(module).__name__ == "DeepSpeedEngine"


def backward(engine: Any, loss: Tensor, *, last: bool) -> None:
    """Backward of a micro-batch; what follows the last one is `step`."""
    # DeepSpeed divides by the number of micro-batches; the engine's losses are sums over them.
    engine.backward(loss * engine.gradient_accumulation_steps())
    if not last:
        engine.step()


def step(engine: Any, lr: float) -> float:
    """Clip and update at a learning rate; returns the global gradient norm before clipping."""
    for group in engine.optimizer.param_groups:
        group["lr"] = lr
    engine.step()
    return float(engine.get_global_grad_norm())


# -- states ----------------------------------------------------------------------------------------------------------


def gather_weights(engine: Any) -> dict[str, Tensor]:
    """Full weights on the CPU by name; every process must call it, the main one alone keeps them."""
    found = {}
    for name, value in _tensors(engine).items():
        with _whole(value):
            if _main():
                found[name] = value.detach().cpu().clone()
    return found


def gather_slots(engine: Any) -> dict[str, Tensor]:
    """Full optimiser slots on the CPU as `name/slot`; every process must call it, the main one alone keeps them."""
    from deepspeed.utils import safe_get_full_optimizer_state

    states = [s for s in _base(engine).state.values() if s]
    if not states:
        return {}
    _link(engine)
    found = {}
    for name, parameter in _trained(engine):
        own = {slot: safe_get_full_optimizer_state(parameter, slot) for slot in SLOTS} | {"step": torch.as_tensor(states[0]["step"])}
        if _main():
            found |= {f"{name}/{slot}": value.cpu().clone() for slot, value in own.items()}
    return found


def restore(engine: Any, weights: Mapping[str, Tensor], slots: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Load full weights and slots (parameter -> slot -> tensor) into the partitions; every process must call it."""
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

    for name, value in _tensors(engine).items():
        if name in weights:
            with torch.no_grad(), _whole(value, write=True):
                value.copy_(weights[name])
    for name, parameter in _trained(engine):
        safe_set_full_fp32_param(parameter, weights[name].float().to(parameter.device))
    if not slots:
        return
    steps = max(float(slot["step"]) for slot in slots.values())
    base = _base(engine)
    for flat in _partitions(engine):
        base.state[flat] = {"step": torch.tensor(steps), **{slot: torch.zeros_like(flat) for slot in SLOTS}}
    _link(engine)
    for name, parameter in _trained(engine):
        for slot in SLOTS:
            # A parameter without a gradient so far has none, which is zero.
            value = slots[name][slot] if name in slots else torch.zeros(weights[name].shape)
            safe_set_full_optimizer_state(parameter, value.float().to(parameter.device), slot)


def trained_names(engine: Any) -> list[str]:
    """Names of what is trained."""
    return [name for name, _ in _trained(engine)]


def shapes(engine: Any) -> dict[str, tuple[int, ...]]:
    """Full shape of each weight by name; of a split one, too."""
    return {name: tuple(getattr(v, "ds_shape", v.shape)) for name, v in _tensors(engine).items()}


def _main() -> bool:
    return torch.distributed.get_rank() == 0


def _tensors(engine: Any) -> dict[str, Tensor]:
    """What the stage keeps in its state, its parameters as they are."""
    return {name: value for name, value in engine.module.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}


def _whole(value: Tensor, *, write: bool = False) -> Any:
    if not hasattr(value, "ds_id"):
        return nullcontext()
    from deepspeed.runtime.zero import GatheredParameters

    # With a modifier what the first process wrote is what all keep a part of.
    return GatheredParameters([value], modifier_rank=0 if write else None)


def _trained(engine: Any) -> Iterator[tuple[str, Tensor]]:
    return ((name, p) for name, p in engine.module.named_parameters() if p.requires_grad)


def _base(engine: Any) -> torch.optim.Optimizer:
    return engine.optimizer.optimizer


def _partitions(engine: Any) -> list[Tensor]:
    optimizer = engine.optimizer
    return list(getattr(optimizer, "fp32_partitioned_groups_flat", None) or optimizer.single_partition_of_fp32_groups)


def _link(engine: Any) -> None:
    """Let parameters find their slots: zero1 and zero2 do so after the update of the first group, when others have none yet."""
    if hasattr(engine.optimizer, "_lazy_init_hp_params_optimizer_state"):
        engine.optimizer._hp_optimizer_states_linked = False
        engine.optimizer._lazy_init_hp_params_optimizer_state()
