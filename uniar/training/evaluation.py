"""Evaluation while a stage learns: a checkpoint of this moment is written and handed to whoever was asked.

The evaluator comes from outside, by an entry point of the group `uniar.evaluators`: name -> callable(**settings) -> `Evaluator`.
This package knows no suites; the evaluation framework offers one (`suite`). Leaves writing checkpoints to the stages.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from uniar.errors import ConfigError
from uniar.training.distributed import Processes
from uniar.training.entry_points import load_entry_point, one_line

GROUP = "uniar.evaluators"


class Evaluator(Protocol):
    """Scores a checkpoint."""

    def __call__(self, checkpoint: Path, *, step: int, folder: Path) -> Mapping[str, float]:
        """Metrics by name.

        Args:
            checkpoint: folder in the released layout; it is removed afterwards.
            step: optimiser steps done.
            folder: where reports may be left.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One entry of a recipe's `evaluations`."""

    name: str
    """Entry point in the group `uniar.evaluators`."""
    every: int
    """Steps between two."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the entry point."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"evaluations.{self.name}.every: got {self.every}; expected 1 or more steps.")


def event(
    evaluation: Evaluation,
    *,
    folder: Path,
    processes: Processes,
    export: Callable[[Path], Path],
    say: Callable[[str], None],
) -> Callable[[int, nn.Module], None]:
    """The engine's event of an evaluation: its figures, or why there are none, go to `evaluations.jsonl`, one line each time.

    Args:
        evaluation: which and with what.
        folder: of the run; reports go to `evaluations/step-N-NAME`.
        processes: all of them export, the main one scores.
        export: writes a checkpoint of this moment to a folder; every process calls it.
        say: prints one line.

    Raises:
        ConfigError: no such evaluator.
    """
    evaluator: Evaluator = load_entry_point(GROUP, evaluation.name, evaluation.settings, key="evaluations")

    def evaluate(step: int, _: nn.Module) -> None:
        here = folder / "evaluations" / f"step-{step:08d}-{evaluation.name}"
        here.mkdir(parents=True, exist_ok=True)
        checkpoint = export(here / "checkpoint")
        if processes.main:
            record: dict[str, Any] = {"step": step, "name": evaluation.name}
            try:
                record |= {key: float(v) for key, v in evaluator(checkpoint, step=step, folder=here).items()}
                told = f": {', '.join(f'{k} {v:.4f}' for k, v in record.items() if k not in ('step', 'name'))}"
                shutil.rmtree(checkpoint)
            # It is foreign code, and hours of training must not end with it; there is then a reason and no figure.
            except Exception as error:
                record["error"] = one_line(error)
                told = f" failed, training goes on and {checkpoint} stays: {record['error']}"
            with (folder / "evaluations.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            say(f"{evaluation.name} after {step} steps{told}")
        processes.wait()

    return evaluate
