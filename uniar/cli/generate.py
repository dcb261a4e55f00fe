"""`uniar generate PROMPT...`: images from prompts, one file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uniar.cli.options import image_options


@click.command()
@click.argument("prompts", nargs=-1, required=True)
@click.option("--out", "-o", type=click.Path(path_type=Path), default=Path("image.png"), show_default=True,
              help="Image file; several prompts are numbered (image-0.png, image-1.png).")
@image_options
def generate(
    prompts: tuple[str, ...],
    out: Path,
    checkpoint: str,
    device: str,
    seed: int,
    **settings: Any,
) -> None:
    """Make one image a PROMPT. The second prompt draws with seed + 1, and so on."""
    from uniar.cli.options import check_target, numbered, open_checkpoint, save

    check_target(out)
    model = open_checkpoint(checkpoint, device)
    made = model.generate(list(prompts), seeds=[seed + i for i in range(len(prompts))], **settings)
    for path, result in zip(numbered(out, len(prompts)), made, strict=True):
        save(result.image, path)
        click.echo(path)
