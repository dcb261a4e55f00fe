"""`uniar train RECIPE`: train a stage or a whole chain, resumable, and export the checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from uniar.training.mini.recipe import MiniRecipe


@click.command()
@click.argument("recipe")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder of all state; default train-runs/RECIPE.")
@click.option(
    "--stage", "stages", multiple=True, help="Of the chain mini, only this stage (repeatable): tokenizer, vae, decoder, autoregressive."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe value, e.g. train.steps=100.")
@click.option("--resume/--fresh", default=True, help="Go on from what --out holds (the default), or refuse a folder that holds something.")
@click.option("--max-minutes", type=float, default=None, help="Stop cleanly after that long; the same command goes on.")
@click.option("--export", type=click.Path(path_type=Path), default=None, help="Where the checkpoint is written; default OUT/checkpoint.")
@click.option("--export-only", is_flag=True, help="Of the chain mini: write the checkpoint from the saved state and stop.")
@click.option("--smoke", is_flag=True, help="A few steps of everything: the recipe RECIPE-smoke.")
@click.option("--dry-run", is_flag=True, help="Tell parameters, memory on each GPU and length, and stop; loads and writes nothing.")
@click.option("--processes", type=click.IntRange(min=1), default=None, help="Of --dry-run: over how many GPUs; default 1.")
@click.option("--json", "as_json", is_flag=True, help="Of --dry-run: print one JSON object.")
@click.option("--threads", type=int, default=None, help="CPU threads.")
def train(
    recipe: str,
    out: Path | None,
    stages: tuple[str, ...],
    overrides: tuple[str, ...],
    resume: bool,
    max_minutes: float | None,
    export: Path | None,
    export_only: bool,
    smoke: bool,
    dry_run: bool,
    processes: int | None,
    as_json: bool,
    threads: int | None,
) -> None:
    """Train RECIPE: a file, or one of ours (mini, tokenizer, decoder, pretrain, sft, grpo, ...).

    Running it again goes on from the last saved state.

    Several processes: `torchrun --nproc-per-node N -m uniar train RECIPE`, or `accelerate launch -m uniar train RECIPE`.
    """
    import torch

    from uniar.errors import InputError
    from uniar.training.mini.recipe import MiniRecipe
    from uniar.training.recipes import locate, read

    if threads:
        torch.set_num_threads(threads)
    path = locate(f"{recipe}-smoke" if smoke else recipe)
    if dry_run:
        _tell(path, overrides, processes=processes or 1, as_json=as_json)
        return
    if processes is not None or as_json:
        raise InputError("--processes, --json: got one without --dry-run; they belong to it. Start several processes with torchrun.")
    plan = read(path, overrides)
    out = out or Path("train-runs") / path.stem
    if not resume and out.is_dir() and any(out.iterdir()):
        raise InputError(f"--fresh: {out}: not empty. Leave --fresh out to go on, or give another --out.")
    if isinstance(plan, MiniRecipe):
        _mini(plan, out, stages=stages, max_minutes=max_minutes, export=export, export_only=export_only)
        return
    if stages or export_only:
        raise InputError(f"--stage, --export-only: got one with the stage {plan.stage!r}; they belong to the chain mini. Leave them out.")
    from uniar.training.distributed import leave
    from uniar.training.running import train_stage

    target = train_stage(plan, out, say=click.echo, max_minutes=max_minutes, export=export)
    leave(lambda: None if target is None else click.echo(f"checkpoint: {target}"))


def _mini(
    plan: MiniRecipe, out: Path, *, stages: tuple[str, ...], max_minutes: float | None, export: Path | None, export_only: bool
) -> None:
    from uniar.errors import InputError
    from uniar.training.mini.run import STAGES, train_mini

    unknown = [s for s in stages if s not in STAGES]
    if unknown:
        raise InputError(f"--stage: got {unknown[0]!r}; expected one of {', '.join(STAGES)}.")
    end = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    finished = export_only or train_mini(plan, out, say=click.echo, stages=stages or STAGES, max_minutes=max_minutes)
    if not finished or (stages and not export_only):
        return
    from uniar.training.chain import train_chain
    from uniar.training.mini.export import export_checkpoint

    target = export or out / "checkpoint"
    base = export_checkpoint(plan, out, out / "base" if plan.then else target)
    if plan.then:
        left = (lambda: 0.0) if export_only else (lambda: None if end is None else (end - time.monotonic()) / 60)
        if train_chain(plan.then, out, start=base, say=click.echo, minutes_left=left, export=target) is None:
            if export_only:
                raise InputError(f"--export-only: {out}: the stages after the base are not finished. Run the command without it.")
            return
    click.echo(f"checkpoint: {target}")


def _tell(path: Path, overrides: tuple[str, ...], *, processes: int, as_json: bool) -> None:
    import json

    from uniar.training import dry_run

    run = dry_run.dry_run(path, overrides, processes=processes)
    if as_json:
        click.echo(json.dumps(dry_run.as_data(run), indent=2))
        return
    for line in dry_run.lines(run):
        click.echo(line)
