"""`uniar train RECIPE`: train the stages of a recipe, resumable, and export the checkpoint."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("recipe")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder of all state; default train-runs/RECIPE.")
@click.option("--stage", "stages", multiple=True, help="Only this stage (repeatable): tokenizer, vae, decoder, autoregressive.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe value, e.g. decoder.steps=100.")
@click.option("--max-minutes", type=float, default=None, help="Stop cleanly after that long; the same command goes on.")
@click.option("--export", type=click.Path(path_type=Path), default=None, help="Where the checkpoint is written; default OUT/checkpoint.")
@click.option("--export-only", is_flag=True, help="Write the checkpoint from the saved state and stop.")
@click.option("--threads", type=int, default=None, help="CPU threads.")
def train(
    recipe: str,
    out: Path | None,
    stages: tuple[str, ...],
    overrides: tuple[str, ...],
    max_minutes: float | None,
    export: Path | None,
    export_only: bool,
    threads: int | None,
) -> None:
    """Train RECIPE: a file, or one of ours (mini, mini-smoke). Running it again resumes from the last saved state."""
    from importlib import resources

    import torch

    from uniar.errors import InputError
    from uniar.training.mini.recipe import read_recipe
    from uniar.training.mini.run import STAGES, train_mini

    if threads:
        torch.set_num_threads(threads)
    unknown = [s for s in stages if s not in STAGES]
    if unknown:
        raise InputError(f"--stage: got {unknown[0]!r}; expected one of {', '.join(STAGES)}.")
    path = Path(recipe)
    if not path.suffix:
        path = Path(str(resources.files("uniar"))) / "recipes" / f"{recipe}.yaml"
    plan = read_recipe(path, overrides)
    out = out or Path("train-runs") / path.stem
    finished = True
    if not export_only:
        finished = train_mini(plan, out, say=click.echo, stages=stages or STAGES, max_minutes=max_minutes)
    if export_only or (finished and not stages):
        from uniar.training.mini.export import export_checkpoint

        target = export_checkpoint(plan, out, export or out / "checkpoint")
        click.echo(f"checkpoint: {target}")
