"""A GRPO run on the toy task for the tests of several processes; started alone or by torchrun.

python grpo_run.py OUT STEPS [accumulate=N] [sharding=fsdp2] [inner_epochs=N] [lora=RANK] ...
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from uniar.training.adapters import LoraSettings
from uniar.training.distributed import leave

HERE = Path(__file__).parent
KINDS = {"accumulate": int, "inner_epochs": int, "micro_batch": int, "save_every": int, "precision": str}
ENGINE = ("accumulate", "sharding", "save_every", "precision")


def loaded(path: Path) -> ModuleType:
    """A file of the tests as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(out: Path, steps: int, options: dict[str, str]) -> bool:
    """Train, resuming what is there; True when it is finished."""
    settings = {key: KINDS.get(key, str)(value) for key, value in options.items()}
    engine = {key: settings.pop(key) for key in ENGINE if key in settings}
    if "lora" in settings:
        rank = int(settings["lora"])
        settings["lora"] = LoraSettings(rank=rank, alpha=2.0 * rank)
    toy = loaded(HERE / "conftest.py")
    model = loaded(HERE.parents[1] / "conftest.py").build_tiny_model()

    class Odd(toy.WhiteShare):
        """White, asked of odd numbers only: of two processes the first has none of them."""

        def rewards(self, images: Any, records: Any) -> Any:
            """See `Reward`."""
            return super().rewards(images, [{**r, "task": "toy" if r["number"] % 2 else "none"} for r in records])

    def decode(codes: torch.Tensor, seeds: Sequence[int]) -> list[Any]:
        # Some images are missing, not equally many in each process; which ones is the image's own affair.
        return [None if seed % 9 == 0 else image for seed, image in zip(seeds, toy.pixels(codes, seeds), strict=True)]

    # One at a time: codes that depended on the images beside them would depend on the number of processes.
    given = {"rewards": {"white": toy.WhiteShare(), "odd": Odd()}, "parts": {"decode": decode}, "exact": True}
    return toy.train(toy.toy_stage(model, **given, **settings), out, steps=steps, **engine)


def main(out: Path, steps: int, options: dict[str, str]) -> None:
    """One run."""
    torch.set_num_threads(1)
    train(out, steps, options)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), dict(a.split("=", 1) for a in sys.argv[3:]))
