"""What the verbs that make images share: their options, reading images, writing images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from PIL import Image

    from uniar.pipeline import UniAR

CHECKPOINT = click.option(
    "--checkpoint", default="uniar-mini", show_default=True, metavar="DIR|ID", help="Folder in the released layout, hub id, or the bundled one."
)
DEVICE = click.option("--device", default="cpu", show_default=True, help="Torch device, for example cuda.")

_IMAGE_OPTIONS = (
    CHECKPOINT,
    DEVICE,
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Fixes every draw."),
    click.option("--height", type=click.IntRange(min=1), default=64, show_default=True, help="Pixels of the rollout (released checkpoints: 512)."),
    click.option("--width", type=click.IntRange(min=1), default=64, show_default=True, help="Pixels of the rollout (released checkpoints: 512)."),
    click.option("--guidance-scale", type=float, default=2.5, show_default=True, help="On the bits; 1 is off."),
    click.option("--temperature", type=click.FloatRange(min=0), default=0.1, show_default=True, help="Of the bits; 0 takes the likelier one."),
    click.option("--upscale", type=float, default=1.0, show_default=True, help="Output size / rollout size, 1 to 2."),
    click.option("--decoder-steps", type=click.IntRange(min=1), default=28, show_default=True, help="Steps of the pixel decoder."),
    click.option("--decoder-guidance-scale", type=float, default=1.5, show_default=True, help="Guidance of the pixel decoder."),
)


def image_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `generate` and `edit`, in the order of the list above."""
    for option in reversed(_IMAGE_OPTIONS):
        function = option(function)
    return function


def open_checkpoint(checkpoint: str, device: str) -> UniAR:
    """Load a checkpoint on a device.

    Raises:
        InputError: no such device here.
        CheckpointError: no such checkpoint, or one that does not fit.
    """
    import torch

    import uniar
    from uniar.errors import InputError

    try:
        # A tensor on the device is the only test that also finds a driver that does not answer.
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device: got {device!r} ({str(error).splitlines()[0]}); expected a device of this machine, such as cpu.") from None
    return uniar.load(checkpoint, device=device)


def numbered(out: Path, count: int) -> list[Path]:
    """One path a result: `out` itself for one, else `stem-0.suffix`, `stem-1.suffix`, ..."""
    return [out] if count == 1 else [out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(count)]


def check_target(path: Path) -> None:
    """Refuse a file name that no image format has, before the long part rather than after it.

    Raises:
        InputError: such a name.
    """
    from PIL import Image

    from uniar.errors import InputError

    if path.suffix.lower() not in Image.registered_extensions():
        raise InputError(f"--out: got {path}; expected a file that ends in .png or .jpg.")


def open_image(path: Path) -> Image.Image:
    """Read an image file as RGB, upright as its orientation tag says: as the training's data are read.

    Raises:
        InputError: not there, or not an image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    from uniar.errors import InputError

    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: cannot be read as an image ({type(error).__name__}). Give a PNG or JPEG file.") from None


def save(image: Image.Image, path: Path) -> None:
    """Write an image; the suffix decides the format, missing folders are made.

    Raises:
        InputError: a suffix that is no image format, or a place that cannot be written.
    """
    from uniar.errors import InputError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written ({error}). Give a file that ends in .png or .jpg.") from None
