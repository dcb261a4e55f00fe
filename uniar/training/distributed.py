"""Processes: who am I, sums over all of us, DDP, FSDP2 and DeepSpeed. The only file that knows of ranks.

Started alone, by `torchrun` or by `accelerate launch`, on one machine or several; accelerate makes the process group and runs
DDP. FSDP2 (PyTorch's `fully_shard`) and DeepSpeed (`training.zero`) are called directly, because accelerate quietly falls back to
DDP where there is no GPU; they are chosen by the recipe (`train.sharding`) or by a launcher's FSDP or DeepSpeed setting.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from uniar.training import zero
from uniar.training.optim import EngineConfig, Optimizers


class Processes:
    """This process among its siblings."""

    def __init__(self, *, cpu: bool | None = None):
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs

        # Frozen parts and stages that alternate leave parameters without gradients in some steps.
        handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]
        # Without a GPU accelerate makes a process group only when it is told that the CPU is meant.
        cpu = not torch.cuda.is_available() if cpu is None else cpu
        # A launcher's DeepSpeed setting chooses the sharding (`sharding`); accelerate itself only makes the process group.
        switch = os.environ.pop(_DEEPSPEED, None)
        self._accelerator = Accelerator(cpu=cpu, kwargs_handlers=handlers)
        if switch is not None:
            os.environ[_DEEPSPEED] = switch

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return self._accelerator.process_index

    @property
    def world(self) -> int:
        """How many processes."""
        return self._accelerator.num_processes

    @property
    def main(self) -> bool:
        """Whether this process writes files and talks."""
        return self._accelerator.is_main_process

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self._accelerator.device

    def sharding(self, asked: str) -> str:
        """What is really done: nothing alone, else what the recipe asks, else what the launcher was set to."""
        if self.world == 1:
            return "none"
        if asked == "none" and _on(_DEEPSPEED):
            return f"zero{os.environ.get('ACCELERATE_DEEPSPEED_ZERO_STAGE', '2')}"
        return "fsdp2" if asked == "none" and _on("ACCELERATE_USE_FSDP") else asked

    def shards(self, asked: str) -> bool:
        """Whether parameters are split over the processes."""
        return self.sharding(asked) in ("fsdp2", "zero3")

    def wrap(
        self, stage: Any, make: Callable[[Any], Sequence[torch.optim.Optimizer]], config: EngineConfig
    ) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        """Stage and optimisers as this kind of run needs them.

        Args:
            stage: see `training.stage.Stage`.
            make: stage -> optimisers; called once its parameters have their final form.
            config: of the run.
        """
        stage.to(self.device)
        sharding = self.sharding(config.sharding)
        if sharding in zero.LEVELS:
            (optimizer,) = make(stage)
            level = zero.LEVELS[sharding]
            wrapped = zero.wrap(
                stage, optimizer, level=level, accumulate=config.accumulate, clip=config.clip, precision=config.precision
            )
            return wrapped, [optimizer]
        if sharding == "fsdp2":
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

            mesh = init_device_mesh(self.device.type, (self.world,))
            for block in stage.repeated_blocks():
                fully_shard(block, mesh=mesh)
            fully_shard(stage, mesh=mesh)
            if not stage.prefetch:
                # It runs parts of the stage before the first forward does; they would take themselves for the outermost one.
                register_fsdp_forward_method(stage, "prepare")
            return stage, list(make(stage))
        optimizers = make(stage)
        wrapped, *inner = self._accelerator.prepare(stage, *optimizers)
        # accelerate's optimisers count micro-batches themselves; the engine steps only when a batch is whole.
        return wrapped, [getattr(o, "optimizer", o) for o in inner]

    @contextmanager
    def local(self, wrapped: nn.Module, *, last: bool) -> Iterator[None]:
        """Inside, gradients stay local until the last micro-batch."""
        if hasattr(wrapped, "set_requires_gradient_sync"):
            wrapped.set_requires_gradient_sync(last)
            yield
        elif last or zero.is_engine(wrapped):
            yield
        else:
            with self._accelerator.no_sync(wrapped):
                yield

    @contextmanager
    def whole(self, wrapped: nn.Module) -> Iterator[None]:
        """Inside, sharded weights are whole in every process, for what uses them many times (rollouts)."""
        sharded = [m for m in wrapped.modules() if hasattr(m, "unshard")]
        for module in sharded:
            module.set_reshard_after_forward(False, recurse=False)
            # Now, since what is gathered in inference mode would be of no use to the training.
            module.unshard()
        try:
            yield
        finally:
            for module in sharded:
                # As it was: the outermost part's own weights are needed again by the backward at once.
                module.set_reshard_after_forward(module is not wrapped, recurse=False)
                module.reshard()

    def backward(self, wrapped: nn.Module, loss: Tensor, *, last: bool) -> None:
        """Backward of a micro-batch as the sharding in use needs it."""
        if zero.is_engine(wrapped):
            zero.backward(wrapped, loss, last=last)
        else:
            self._accelerator.backward(loss)

    def update(self, wrapped: nn.Module, optimizers: Optimizers, *, lr: float, clip: float, check: Callable[[float], None]) -> float:
        """Clip the global gradient norm and step.

        Args:
            wrapped: the stage as `wrap` returned it.
            optimizers: of the stage.
            lr: learning rate of this step.
            clip: largest norm.
            check: told the norm before clipping; may raise. With ZeRO the weights have been updated by then.

        Returns:
            the norm before.
        """
        if zero.is_engine(wrapped):
            norm = zero.step(wrapped, lr)
            check(norm)
            return norm
        found = torch.nn.utils.clip_grad_norm_(optimizers.parameters, clip)
        # A sharded norm is a DTensor; its full value is the sum over the shards.
        norm = float(found.full_tensor() if hasattr(found, "full_tensor") else found)
        check(norm)
        optimizers.step(lr)
        return norm

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum of each value over all processes, in float64; the keys of all processes are joined."""
        if self.world == 1:
            return dict(values)
        from accelerate.utils import gather_object

        out: dict[str, float] = {}
        for own in gather_object([dict(values)]):
            for key, value in own.items():
                out[key] = out.get(key, 0.0) + value
        return out

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in some process."""
        return self.total({"flag": float(flag)})["flag"] > 0

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()

    def unwrapped(self, wrapped: nn.Module) -> Any:
        """The stage itself."""
        return wrapped.module if zero.is_engine(wrapped) else self._accelerator.unwrap_model(wrapped)


def leave(tell: Callable[[], None] = lambda: None) -> None:
    """End a run: take the process group down, all processes together, and let the main one tell; does not return where there was a group.

    A process that goes while another still talks to it may take that one down with it. And gloo's threads outlive the group where a mesh
    still knows it: one that is late with freeing its last tensor asks for the interpreter while that is taken down, which aborts a
    process whose work is done (pytorch issue 190489). So a process of a group ends without taking the interpreter down.

    Args:
        tell: the main process's last words.
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        tell()
        return
    main = dist.get_rank() == 0
    dist.barrier()
    dist.destroy_process_group()
    if main:
        tell()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


_DEEPSPEED = "ACCELERATE_USE_DEEPSPEED"


def _on(switch: str) -> bool:
    return os.environ.get(switch, "false").lower() == "true"
