"""The one training loop: schedule, clip, log, save, resume.

A stage hands in its modules, its parameters and `step(batch_index) -> {name: loss}`. The batch of step i is a function of
(seed, stage, i) alone, so the data position is the step number and a resumed run sees what an unbroken one would have seen.
State (weights, optimiser, random states, step) is written atomically as safetensors + JSON.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from uniar.errors import TrainingError
from uniar.seeding import derive_seed
from uniar.training.losses import grad_norm
from uniar.training.optim import LoopConfig, Optimizers, learning_rate


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
        module: what is trained; only its parameters that require gradients get updates. With `config.compile` it names the
            parts to compile by `repeated_blocks()`.
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
    optimizers = Optimizers(module, config)
    start = _restore(folder, module, optimizers)
    if config.compile:
        for block in module.repeated_blocks():
            # Batches of packed rows differ in length; one dynamic graph serves them all.
            block.compile(dynamic=True)
    began, seen = time.monotonic(), start
    module.train()
    for i in range(start, config.steps):
        lr = learning_rate(config, i)
        stream = torch.Generator("cpu").manual_seed(derive_seed(seed, name, i))
        with computing(config.precision):
            losses = step(i, stream)
            loss = losses["loss"]
            if not bool(torch.isfinite(loss)):
                raise TrainingError(f"{folder}: step {i}: the loss is {loss.item()}. The last good state is kept; lower lr and resume.")
            optimizers.clear()
            loss.backward()
        norm = grad_norm(optimizers.parameters, config.clip)
        optimizers.step(lr)
        done = i + 1
        if done % config.log_every == 0 or done == config.steps:
            rate = (done - seen) / (time.monotonic() - began)
            record = {"step": done, "lr": lr, "grad_norm": round(norm, 4)}
            values = {k: float(v.detach()) for k, v in losses.items()}
            record |= {k: round(v, 5) for k, v in values.items()}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
            told = " ".join(f"{k} {v:.4f}" for k, v in values.items())
            say(f"{name} {done}/{config.steps} {told} | {rate:.2f} steps/s, {(config.steps - done) / rate / 60:.1f} min left")
        late = max_seconds is not None and time.monotonic() - began > max_seconds
        if done % config.save_every == 0 or done == config.steps or late:
            _save(folder, module, optimizers, done)
        if late and done < config.steps:
            say(f"{name}: stopped after {done} of {config.steps} steps; run the same command to go on.")
            return False
    module.eval()
    return True


@contextmanager
def computing(precision: str, device_type: str = "cpu") -> Iterator[None]:
    """Run forward and backward in a precision, with the attention kernel that is fast there.

    In bfloat16 PyTorch's fused attention has a backward on the CPU that is several times slower than plain products
    (`benchmarks/attention_backward.py`), so the plain one is chosen; its products run in bfloat16 too.
    """
    if precision == "float32":
        yield
        return
    reduced = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with torch.autocast(device_type, torch.bfloat16), sdpa_kernel(SDPBackend.MATH) if device_type == "cpu" else nullcontext():
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(reduced)


def _save(folder: Path, module: nn.Module, optimizers: Optimizers, step: int) -> None:
    tensors = {f"module.{k}": v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}
    tensors |= {f"optimizer.{k}": v for k, v in optimizers.state().items()}
    tensors["step"] = torch.tensor(step)
    tensors["rng"] = torch.get_rng_state()
    temporary, final = folder / "state.tmp", folder / "state.safetensors"
    save_file(tensors, temporary)
    # One rename makes the state whole or absent; a crash between writes keeps the older one.
    os.replace(temporary, final)


def _restore(folder: Path, module: nn.Module, optimizers: Optimizers) -> int:
    file = folder / "state.safetensors"
    if not file.is_file():
        return 0
    tensors = load_file(file)
    own = {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
    try:
        module.load_state_dict(own, strict=True)
    except RuntimeError as error:
        raise TrainingError(f"{file}: does not fit this recipe ({str(error).splitlines()[0]}). Use another folder or the old recipe.") from None
    try:
        optimizers.load_state({k.removeprefix("optimizer."): v for k, v in tensors.items() if k.startswith("optimizer.")})
    except ValueError:
        raise TrainingError(f"{file}: written with other optimisers than this recipe's. Use another folder or the old recipe.") from None
    torch.set_rng_state(tensors["rng"])
    return int(tensors["step"])
