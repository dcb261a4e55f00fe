"""`uniar understand IMAGE QUESTION`: the answer on stdout."""

from __future__ import annotations

from pathlib import Path

import click

from uniar.cli.options import CHECKPOINT, DEVICE


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("question")
@CHECKPOINT
@DEVICE
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Fixes every draw, when sampling.")
@click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True, help="0 is greedy.")
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=64, show_default=True, help="Longest answer.")
def understand(
    image: Path, question: str, checkpoint: str, device: str, seed: int, temperature: float, max_new_tokens: int
) -> None:
    """Answer QUESTION about the file IMAGE."""
    from uniar.cli.options import open_checkpoint, open_image

    source = open_image(image)
    model = open_checkpoint(checkpoint, device)
    answers = model.understand([question], [source], max_new_tokens=max_new_tokens, temperature=temperature, seeds=[seed])
    click.echo(answers[0])
