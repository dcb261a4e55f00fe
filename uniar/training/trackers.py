"""Further receivers of the training log, when their libraries are installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from uniar.errors import ConfigError

Tracker = Callable[[int, Mapping[str, float]], None]


def open_trackers(names: Sequence[str], folder: Path) -> tuple[Tracker, ...]:
    """Open trackers by name.

    Args:
        names: `tensorboard` (files under `folder/tensorboard`) or `wandb` (project `uniar`, run named after the folder).
        folder: of the run.

    Raises:
        ConfigError: unknown, or not installed.
    """
    out = []
    for name in names:
        if name not in _OPENERS:
            raise ConfigError(f"trackers: got {name!r}; expected one of {', '.join(_OPENERS)}.")
        try:
            out.append(_OPENERS[name](folder))
        except ImportError:
            raise ConfigError(f"trackers: got {name!r}, which is not installed. Run `pip install {name}` or leave it out.") from None
    return tuple(out)


def _tensorboard(folder: Path) -> Tracker:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            writer.add_scalar(key, value, step)
        writer.flush()

    return write


def _wandb(folder: Path) -> Tracker:
    import wandb

    run = wandb.init(project="uniar", name=folder.name, dir=str(folder))

    def write(step: int, values: Mapping[str, float]) -> None:
        run.log(dict(values), step=step)

    return write


_OPENERS: dict[str, Callable[[Path], Tracker]] = {"tensorboard": _tensorboard, "wandb": _wandb}
