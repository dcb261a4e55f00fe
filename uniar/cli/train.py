"""`uniar train RECIPE`: train a stage or a whole chain, resumable, and export the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from uniar.training.mini.recipe import MiniRecipe


@click.command()
@click.argument("recipe")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder of all state; default train-runs/RECIPE.")
@click.option("--stage", "stages", multiple=True, help="Of the chain mini, only this stage (repeatable): tokenizer, vae, decoder, autoregressive.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe value, e.g. train.steps=100.")
@click.option("--resume/--fresh", default=True, help="Go on from what --out holds (the default), or refuse a folder that holds something.")
@click.option("--max-minutes", type=float, default=None, help="Stop cleanly after that long; the same command goes on.")
@click.option("--export", type=click.Path(path_type=Path), default=None, help="Where the checkpoint is written; default OUT/checkpoint.")
@click.option("--export-only", is_flag=True, help="Of the chain mini: write the checkpoint from the saved state and stop.")
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
    threads: int | None,
) -> None:
    """Train RECIPE: a file, or one of ours (mini, mini-smoke, pretrain, sft). Running it again goes on from the last saved state.

    Several processes: `torchrun --nproc-per-node N -m uniar train RECIPE`, or `accelerate launch -m uniar train RECIPE`.
    """
    import torch

    from uniar.errors import InputError
    from uniar.training.mini.recipe import MiniRecipe
    from uniar.training.recipes import locate, read

    if threads:
        torch.set_num_threads(threads)
    path = locate(recipe)
    plan = read(path, overrides)
    out = out or Path("train-runs") / path.stem
    if not resume and out.is_dir() and any(out.iterdir()):
        raise InputError(f"--fresh: {out}: not empty. Leave --fresh out to go on, or give another --out.")
    if isinstance(plan, MiniRecipe):
        _mini(plan, out, stages=stages, max_minutes=max_minutes, export=export, export_only=export_only)
        return
    if stages or export_only:
        raise InputError(f"--stage, --export-only: got one with the stage {plan.stage!r}; they belong to the chain mini. Leave them out.")
    from uniar.training.run_language import train_language

    target = train_language(plan, out, say=click.echo, max_minutes=max_minutes, export=export)
    if target is not None:
        click.echo(f"checkpoint: {target}")


def _mini(
    plan: MiniRecipe, out: Path, *, stages: tuple[str, ...], max_minutes: float | None, export: Path | None, export_only: bool
) -> None:
    from uniar.errors import InputError
    from uniar.training.mini.run import STAGES, train_mini

    unknown = [s for s in stages if s not in STAGES]
    if unknown:
        raise InputError(f"--stage: got {unknown[0]!r}; expected one of {', '.join(STAGES)}.")
    finished = True
    if not export_only:
        finished = train_mini(plan, out, say=click.echo, stages=stages or STAGES, max_minutes=max_minutes)
    if export_only or (finished and not stages):
        from uniar.training.mini.export import export_checkpoint

        click.echo(f"checkpoint: {export_checkpoint(plan, out, export or out / 'checkpoint')}")
