"""Verdicts made by hand, and runs of painters of known skill made by the real harness."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.analysis.verdicts import Verdicts
from evals.metrics.aggregate import Row
from evals.types import Outcome

DATA = Path(__file__).parents[2] / "data" / "harness"


def _verdicts(values: dict[str, Any], **changes: Any) -> Verdicts:
    """Make verdicts.

    Args:
        values: task -> rows of a prompt's values; None, or an outcome's name, is an output without a value.
        changes: other fields.
    """
    table = {}
    for task, prompts in values.items():
        for number, own in enumerate(prompts):
            for repeat, value in enumerate(own):
                outcome = Outcome.OK if isinstance(value, int | float) else Outcome(value or "missing")
                number_or_none = float(value) if outcome is Outcome.OK else None
                name = f"{task}-{number:04d}"
                named = {} if number_or_none is None else {"correct": number_or_none}
                table[name, repeat] = Row(name, task, (), outcome, number_or_none, "", named, {}, name)
    made = Verdicts(
        path=Path(changes.get("model", "made")), model="made", weights="", suite="toy", title="Toy", profile="official", protocol="toy",
        seed=0, measurement={"suite": "toy", "protocol.name": "toy", "limit": None}, sampling={"temperature": 1.0}, value="correct",
        headline="macro_over_tasks", known=0.0, low=None, high=None, scale=(0.0, 1.0), status="complete", table=table,
    )  # fmt: skip
    means = []
    for task in made.tasks:
        scored = [row.value for row in table.values() if row.task == task and row.value is not None]
        means.append(sum(scored) / len(scored) if scored else float("nan"))
    known = sum(means) / len(means)
    return replace(made, **{"known": known if known == known else None, **changes})


@pytest.fixture(scope="session")
def verdicts() -> Callable[..., Verdicts]:
    """`verdicts({task: [[value, ...], ...]}, **fields)`."""
    return _verdicts


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`painted(name, skill, profile=..., **options of run_suite)` measures a painter once and gives its run folder."""
    from evals.run import run_suite

    where = tmp_path_factory.mktemp("painted")
    for name in ("ranked.yaml", "ranked_plugins.py"):
        shutil.copy(DATA / name, where / name)
    made: dict[str, Path] = {}

    def paint(name: str, skill: float, *, fail: str = "", **options: Any) -> Path:
        key = repr((name, skill, fail, sorted(options.items())))
        if key not in made:
            made[key] = where / f"run-{len(made)}"
            model = f"painter:skill={skill};name={name}" + (f";fail={fail}" if fail else "")
            run_suite(str(where / "ranked.yaml"), model=model, out=made[key], report=False, **options)
        return made[key]

    return paint
