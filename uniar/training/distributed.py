"""Processes: who am I, sums over all of us, DDP, FSDP2 and DeepSpeed. The only file that knows of ranks.

Started alone, by `torchrun` or by `accelerate launch`, on one machine or several; accelerate makes the process group and runs
DDP and DeepSpeed. FSDP2 is PyTorch's `fully_shard`, called here, because accelerate quietly falls back to DDP where there is no
GPU; it is chosen by the recipe (`sharding: fsdp2`) or by a launcher's FSDP setting.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Processes:
    """This process among its siblings."""

    def __init__(self, *, cpu: bool | None = None):
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs

        # Frozen parts and stages that alternate leave parameters without gradients in some steps.
        handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]
        # Without a GPU accelerate makes a process group only when it is told that the CPU is meant.
        cpu = not torch.cuda.is_available() if cpu is None else cpu
        self._accelerator = Accelerator(cpu=cpu, kwargs_handlers=handlers)

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

    def shards(self, sharding: str) -> bool:
        """Whether parameters are split over the processes."""
        asked = sharding == "fsdp2" or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
        return self.world > 1 and (asked or self._deepspeed)

    @property
    def _deepspeed(self) -> bool:
        return self._accelerator.distributed_type.value == "DEEPSPEED"

    def wrap(
        self, stage: Any, make: Callable[[Any], Sequence[torch.optim.Optimizer]], *, sharding: str
    ) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        """Stage and optimisers as this kind of run needs them.

        Args:
            stage: see `training.stage.Stage`.
            make: stage -> optimisers; called once its parameters have their final form.
            sharding: `none` or `fsdp2`.
        """
        stage.to(self.device)
        if self.shards(sharding) and not self._deepspeed:
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
        return wrapped, list(inner) if self._deepspeed else [getattr(o, "optimizer", o) for o in inner]

    @contextmanager
    def local(self, wrapped: nn.Module, *, last: bool) -> Iterator[None]:
        """Inside, gradients stay local until the last micro-batch."""
        if hasattr(wrapped, "set_requires_gradient_sync"):
            wrapped.set_requires_gradient_sync(last)
            yield
        elif last:
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

    def backward(self, loss: Tensor) -> None:
        """Backward as the engine in use needs it."""
        self._accelerator.backward(loss)

    def clip(self, parameters: Sequence[Tensor], limit: float) -> float:
        """Clip the global gradient norm; returns the norm before."""
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        # A sharded norm is a DTensor; its full value is the sum over the shards.
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        return float(norm)

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
        return self._accelerator.unwrap_model(wrapped)
