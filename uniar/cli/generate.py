"""`uniar generate PROMPT...`: images from prompts, one file each."""

from __future__ import annotations

from pathlib import Path

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
    height: int,
    width: int,
    guidance_scale: float,
    temperature: float,
    upscale: float,
    decoder_steps: int,
    decoder_guidance_scale: float,
) -> None:
    """Make one image a PROMPT. The second prompt draws with seed + 1, and so on."""
    from uniar.cli.options import check_target, numbered, open_checkpoint, save

    check_target(out)
    model = open_checkpoint(checkpoint, device)
    made = model.generate(
        list(prompts),
        height=height,
        width=width,
        seeds=[seed + i for i in range(len(prompts))],
        guidance_scale=guidance_scale,
        temperature=temperature,
        upscale=upscale,
        decoder_steps=decoder_steps,
        decoder_guidance_scale=decoder_guidance_scale,
    )
    for path, result in zip(numbered(out, len(prompts)), made, strict=True):
        save(result.image, path)
        click.echo(path)
