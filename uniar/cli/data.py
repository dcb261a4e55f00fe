"""`uniar data check|encode`: look at a mix before training on it, and make its codes once."""

from __future__ import annotations

from pathlib import Path

import click

from uniar.cli.options import CHECKPOINT, DEVICE


@click.group()
def data() -> None:
    """Check a training mix, or encode its images once."""


@data.command()
@click.argument("mix", type=click.Path(path_type=Path))
@CHECKPOINT
@click.option("--draws", type=click.IntRange(min=1), default=1000, show_default=True, help="Samples to draw from an endless source.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draws.")
def check(mix: Path, checkpoint: str, draws: int, seed: int) -> None:
    """Read every record of MIX as training would, and tell counts, lengths and each broken one. Exit 1 when any is broken."""
    import uniar
    from uniar.data.check import check_mix
    from uniar.data.mix import Mix
    from uniar.data.sizing import Sizing

    processor = uniar.load(checkpoint).processor
    opened = Mix.open(mix, sizing=Sizing.from_processor(processor.image_processor), seed=seed)
    reports = check_mix(opened, tokenizer=processor.tokenizer, draws=draws, report=lambda line: click.echo(f"broken record: {line}", err=True))
    for report in reports:
        click.echo(report.line())
    if any(report.broken for report in reports):
        raise SystemExit(1)


@data.command()
@click.argument("mix", type=click.Path(path_type=Path))
@CHECKPOINT
@DEVICE
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="Folder of the codes; more can be added later.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Images encoded together.")
def encode(mix: Path, checkpoint: str, device: str, cache: Path, batch_size: int) -> None:
    """Encode all images of MIX with the checkpoint's tokenizer, so that training reads bits instead of pixels."""
    from uniar.cli.options import open_checkpoint
    from uniar.data.code_cache import build_cache
    from uniar.data.mix import Mix
    from uniar.data.sizing import Sizing

    model = open_checkpoint(checkpoint, device)
    processor = model.processor.image_processor
    opened = Mix.open(mix, sizing=Sizing.from_processor(processor), seed=0)
    made = build_cache(
        opened,
        model.model.visual,
        processor,
        cache,
        batch_size=batch_size,
        report=lambda line: click.echo(f"broken record: {line}", err=True),
    )
    click.echo(f"{cache}: {made.images} images, {made.encoded} encoded now, {made.broken} broken records")
