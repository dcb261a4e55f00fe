"""`uniar edit IMAGE PROMPT`: the image changed as told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uniar.cli.options import image_options


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("prompt")
@click.option("--out", "-o", type=click.Path(path_type=Path), default=Path("edited.png"), show_default=True, help="Image file.")
@image_options
def edit(
    image: Path,
    prompt: str,
    out: Path,
    checkpoint: str,
    device: str,
    seed: int,
    **settings: Any,
) -> None:
    """Change the file IMAGE as PROMPT says. It is resized to --height x --width first."""
    from uniar.cli.options import check_target, open_checkpoint, open_image, save

    check_target(out)
    source = open_image(image)
    model = open_checkpoint(checkpoint, device)
    made = model.edit([prompt], [source], seeds=[seed], **settings)
    save(made[0].image, out)
    click.echo(out)
