"""Training states that hold what a stage changes and nothing else, and that know which weights they belong to."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def keep_partial(stage: nn.Module, prefix: str, start: list[float]) -> None:
    """Keep the frozen weights of a model out of its stage's state; two sums of them go in instead.

    A state is then taken only by a stage that started from the same weights: `load_state_dict` raises RuntimeError otherwise.

    Args:
        stage: it gets a buffer `start`; parameters without gradients and the buffers below `prefix` are not saved.
        prefix: name of the model in the stage.
        start: `fingerprint` of the model as it was found, before anything was added to it.
    """
    stage.register_buffer("start", torch.tensor(start, dtype=torch.float64))
    unsaved = {n for n, p in stage.named_parameters() if not p.requires_grad}
    unsaved |= {n for n, _ in stage.named_buffers() if n.startswith(f"{prefix}.")}

    def drop(_: nn.Module, state: dict[str, Any], below: str, __: Any) -> None:
        for name in unsaved:
            state.pop(below + name, None)

    def allow(module: nn.Module, keys: Any) -> None:
        keys.missing_keys[:] = [key for key in keys.missing_keys if key not in unsaved]
        found = module.start.tolist()
        # Sums in float64 agree to about 1e-13 of the total, however they are ordered.
        if any(abs(a - b) > 1e-11 * start[1] for a, b in zip(found, start, strict=True)):
            # The error that `load_state_dict` promises; `state.restore` tells it with the state's file.
            raise RuntimeError(f"the run started from other weights: sums {found}, here {start}")

    stage.register_state_dict_post_hook(drop)
    stage.register_load_state_dict_post_hook(allow)


@torch.no_grad()
def fingerprint(model: nn.Module) -> list[float]:
    """Sum and absolute sum of all parameters: enough to tell the checkpoints of one architecture apart."""
    sums = [[p.sum(dtype=torch.float64), p.abs().sum(dtype=torch.float64)] for p in model.parameters()]
    return torch.tensor(sums, dtype=torch.float64).sum(0).tolist()
