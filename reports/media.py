"""Pictures for the pages: small ones go in as they are, large ones as WebP thumbnails.

A thumbnail is named by the hash of its original, so writing a report again encodes only what is new.
Originals are never enlarged and never copied when large: the page asks for them in the run folder.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from evals.types import Outcome, Output, Sample

SMALL_SIDE = 96
"""Longest side, pixels, up to which the PNG itself is shown, scaled without smoothing."""
THUMBNAIL_SIDE = 256
"""Longest side of a thumbnail, pixels: sharp on a 2x screen at the gallery's size."""
THUMBNAIL_BYTES = 16_000
"""A thumbnail that is larger is encoded again, coarser: 2,212 of them stay under 40 MB whatever they show."""
_STEPS = ((THUMBNAIL_SIDE, 78), (THUMBNAIL_SIDE, 60), (THUMBNAIL_SIDE, 40), (192, 40), (128, 30))
"""(side, WebP quality), tried in this order."""
MAX_PIXELS = 64_000_000
"""Pictures above this are not opened."""
INLINE_LIMIT = 400
"""Up to this many pictures the page holds them itself and can be sent as one file."""
THUMBNAIL_DIR = f"thumbs-{THUMBNAIL_SIDE}"
SOURCE_DIR = f"sources-{THUMBNAIL_SIDE}"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """How the page shows one output's image."""

    source: str = ""
    """`data:` address, or file name inside `THUMBNAIL_DIR`; empty when there is nothing to show."""
    width: int = 0
    """Of the original, pixels: the frame of the detections."""
    height: int = 0
    original: bool = False
    """True when `source` is the image itself, not a reduced copy."""
    problem: str = ""
    """One sentence, when the file cannot be shown."""


def pictures(
    outputs: Iterable[Output], *, resolve: Callable[[str], Path], report_dir: Path, folder_name: str | None = None
) -> dict[str, Picture]:
    """Prepare the picture of every output that has an image.

    Args:
        outputs: any order; those without an image are left out of the result.
        resolve: path inside the run folder -> confined absolute path; may raise for a path that escapes.
        report_dir: thumbnails go to a folder under it, unless the page holds them; stale ones are removed.
        folder_name: of that folder; None is `THUMBNAIL_DIR`.

    Returns:
        `sample_id/repeat` -> `Picture`. A missing or damaged file has its `problem`, never an exception.
    """
    wanted = [output for output in outputs if output.image]
    inline = len(wanted) <= INLINE_LIMIT
    folder = report_dir / (folder_name or THUMBNAIL_DIR)
    if not inline:
        folder.mkdir(parents=True, exist_ok=True)

    def prepare(output: Output) -> Picture:
        return _picture(output, resolve=resolve, folder=None if inline else folder)

    # Pillow lets go of the interpreter lock while it decodes and encodes, so threads use every core.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        found = dict(zip((f"{o.sample_id}/{o.repeat}" for o in wanted), pool.map(prepare, wanted), strict=True))
    _sweep(folder, keep=set() if inline else {picture.source for picture in found.values()})
    return found


def source_pictures(run: object, samples: Iterable[Sample], *, report_dir: Path) -> dict[str, Picture]:
    """Prepare the input image of every sample that has one, as `pictures` does for outputs.

    Args:
        run: a `RunReader`; only its `source_path(sample)` is asked.
        samples: any order.
        report_dir: as for `pictures`.

    Returns:
        Sample id -> `Picture`.
    """
    find = getattr(run, "source_path", lambda sample: None)
    found = {sample.sample_id: find(sample) for sample in samples if sample.image is not None}
    outputs = [
        Output(sample_id=name, task="", repeat=0, seed=0, outcome=Outcome.OK, image=path.name)
        for name, path in found.items()
        if path is not None
    ]
    by_name = {path.name: path for path in found.values() if path is not None}
    made = pictures(outputs, resolve=by_name.__getitem__, report_dir=report_dir, folder_name=SOURCE_DIR)
    return {key.rpartition("/")[0]: picture for key, picture in made.items()}


def _picture(output: Output, *, resolve: Callable[[str], Path], folder: Path | None) -> Picture:
    from PIL import Image, UnidentifiedImageError

    from evals.errors import UserError

    try:
        path = resolve(str(output.image))
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                problem = f"The image is {width} x {height} pixels: too large to show."
                return Picture(width=width, height=height, problem=problem)
            if max(width, height) <= SMALL_SIDE and image.format == "PNG":
                return _place(
                    path.read_bytes(), "png", folder=folder, width=width, height=height, original=True
                )
            name = _name(output, path)
            if folder is not None and (folder / name).is_file():
                return Picture(source=name, width=width, height=height)
            data = _thumbnail(image)
        return _place(data, "webp", folder=folder, width=width, height=height, original=False, name=name)
    except FileNotFoundError:
        return Picture(problem=f"The image file {output.image} is not in the run folder.")
    except UnidentifiedImageError:
        return Picture(problem=f"The image file {output.image} is damaged, or no image.")
    except (UserError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Picture(problem=f"The image file cannot be shown: {error}")


def _thumbnail(image: object) -> bytes:
    from PIL import Image

    assert isinstance(image, Image.Image)
    small = image.convert("RGB")
    data = b""
    for side, quality in _STEPS:
        small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        buffer = BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=2)
        data = buffer.getvalue()
        if len(data) <= THUMBNAIL_BYTES:
            break
    return data


def _name(output: Output, path: Path) -> str:
    digest = output.image_sha256 or ""
    if not _SHA256.fullmatch(digest):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{digest[:24]}.webp"


def _place(
    data: bytes, suffix: str, *, folder: Path | None, width: int, height: int, original: bool, name: str = ""
) -> Picture:
    if folder is None:
        source = f"data:image/{suffix};base64,{base64.b64encode(data).decode('ascii')}"
        return Picture(source=source, width=width, height=height, original=original)
    name = name or f"{hashlib.sha256(data).hexdigest()[:24]}.{suffix}"
    target = folder / name
    if not target.is_file():
        # Two equal images may be prepared at once: each thread writes its own file, the rename is atomic.
        fresh = folder / f".{name}-{threading.get_ident()}.part"
        fresh.write_bytes(data)
        fresh.replace(target)
    return Picture(source=name, width=width, height=height, original=original)


def _sweep(folder: Path, *, keep: set[str]) -> None:
    """Remove thumbnails of an earlier report that this one does not name."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.suffix in {".webp", ".png", ".part"} and path.name not in keep:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
