"""`uniar train RECIPE --dry-run`: what a recipe would train, for how long, and what it would hold on each GPU.

No weights and no data are read, nothing is fetched and nothing is written: the modules are made without storage from the
checkpoint's configuration. Counts are exact; the activations are an estimate (`uniar.training.activations`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniar.errors import InputError
from uniar.training.dry_stages import Blank, DryStage, Figure, dry_stage
from uniar.training.footprint import Part, total
from uniar.training.mini.recipe import MiniRecipe
from uniar.training.recipe_file import read_yaml
from uniar.training.recipes import StageRecipe, read

SHARDINGS = ("none", "fsdp2")


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """All stages of a recipe."""

    recipe: str
    """Its file's name."""
    checkpoint: str
    """Where it starts."""
    processes: int
    """GPUs."""
    stages: tuple[DryStage, ...]


def dry_run(path: Path, overrides: tuple[str, ...] = (), *, processes: int = 1) -> DryRun:
    """Measure a recipe without running it.

    Args:
        path: its file.
        overrides: `a.b=value` strings.
        processes: over how many GPUs it would run.

    Raises:
        ConfigError: the recipe cannot be read, or the run would refuse it.
        CheckpointError: nothing is known of its checkpoint.
        InputError: several processes for the chain mini.
    """
    recipe = read(path, (*_placeholder(path, overrides), *overrides))
    if isinstance(recipe, StageRecipe):
        stages = [dry_stage(recipe, Blank.of(recipe.checkpoint), processes)]
        return DryRun(recipe=path.stem, checkpoint=recipe.checkpoint, processes=processes, stages=tuple(stages))
    if processes > 1:
        raise InputError(f"--processes: got {processes}; the chain {path.stem} begins with stages of one process. Leave it out.")
    return DryRun(recipe=path.stem, checkpoint="nothing", processes=1, stages=tuple(_chain(recipe)))


def _placeholder(path: Path, overrides: tuple[str, ...]) -> tuple[str, ...]:
    # Training needs data and says so; here none is read.
    data = read_yaml(path, overrides)
    missing = isinstance(data, dict) and "stage" in data and not data.get("data")
    return ("data=mix.yaml",) if missing else ()


def _chain(recipe: MiniRecipe) -> Iterable[DryStage]:
    from uniar.training.dry_mini import blank_of_mini, dry_mini

    blank = blank_of_mini(recipe)
    yield from dry_mini(recipe, blank)
    for following in recipe.then:
        yield dry_stage(following, blank, 1)


def as_data(run: DryRun) -> dict[str, Any]:
    """JSON data; memory in bytes."""
    return {
        "recipe": run.recipe,
        "checkpoint": run.checkpoint,
        "processes": run.processes,
        "stages": [_stage_data(stage, run.processes) for stage in run.stages],
    }


def _stage_data(stage: DryStage, processes: int) -> dict[str, Any]:
    parts = stage.footprint.parts(processes)
    memory: dict[str, Any] = {}
    for sharding in _shardings(stage):
        memory[sharding] = {p.name: round(getattr(p, sharding)) for p in parts} | {"total": round(total(parts, sharding))}
    return {
        "stage": stage.name,
        "parameters": {f.name: f.value for f in stage.parameters},
        "length": {f.name: f.value for f in stage.length},
        "memory": memory,
        "formulas": {p.name: {"none": p.formula, "fsdp2": p.split} for p in parts},
        "activations": {
            f"gradient checkpointing {name}": round(stage.footprint.activations(checkpointing=on))
            for name, on in (("off", False), ("on", True))
        },
    }


def _shardings(stage: DryStage) -> tuple[str, ...]:
    return SHARDINGS[:1] if stage.unsplit else SHARDINGS


def lines(run: DryRun) -> Iterable[str]:
    """The same for a terminal."""
    for stage in run.stages:
        c = stage.footprint.config
        shared = ", ".join((_counted(run.processes, "process", "es"), _counted(getattr(c, "accumulate", 1), "micro-batch", "es")))
        split = f", sharding {c.sharding}" if run.processes > 1 else ""
        yield f"{run.recipe}: stage {stage.name}, from {run.checkpoint}, {shared}{split}"
        yield from _figures("parameters", stage.parameters)
        yield from _figures("length", stage.length)
        yield from _memory(stage, run.processes)
        yield ""


def _counted(number: int, what: str, plural: str) -> str:
    return f"{number:,} {what}{plural if number != 1 else ''}"


def _figures(title: str, figures: Sequence[Figure]) -> Iterable[str]:
    yield ""
    yield title
    for figure in figures:
        yield f"  {figure.name:<26}{figure.value:>24,}  {figure.note}".rstrip()


def _memory(stage: DryStage, processes: int) -> Iterable[str]:
    parts = stage.footprint.parts(processes)
    shardings = _shardings(stage)
    unit, scale = ("GB", 1e9) if parts[0].none >= 1e9 else ("MB", 1e6)

    def row(name: str, values: Iterable[float], told: str) -> str:
        return f"  {name:<26}{''.join(f'{v / scale:>12,.2f}' for v in values)}  {told}".rstrip()

    yield ""
    yield f"{f'memory on each GPU, {unit}':<28}{''.join(f'{s:>12}' for s in shardings)}  N = {_counted(processes, 'process', 'es')}"
    for part in parts:
        if not any(getattr(part, s) for s in shardings):
            continue
        told = part.formula if stage.unsplit or not part.split else f"{part.formula}; fsdp2: {part.split}"
        yield row(part.name, [getattr(part, s) for s in shardings], told)
    yield row("total", [total(parts, s) for s in shardings], _moment(parts))
    other = not getattr(stage.footprint.config, "gradient_checkpointing", False)
    kept = stage.footprint.activations(checkpointing=other)
    yield row("(activations otherwise)", [kept for _ in shardings], f"gradient checkpointing {'on' if other else 'off'}")
    if str(getattr(stage.footprint.config, "sharding", "")).startswith("zero"):
        yield "  zero3 holds about what fsdp2 does; zero1 splits the optimiser alone, zero2 the gradients too"
    if stage.unsplit:
        yield f"  not sharded: {stage.unsplit} needs whole weights"


def _moment(parts: Sequence[Part]) -> str:
    return "the fuller of learning and rollout" if any(p.name == "rollout" for p in parts) else ""
