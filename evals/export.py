"""A finished run -> the files that a benchmark's official tools read. Leaves names to `evals.layouts`.

Pictures are copied byte for byte where the layout has one a file in PNG; grids are composed, WebP as UniAR writes it (quality 95)
unless a cell is missing.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evals.errors import DataError, StoreError
from evals.layouts import LAYOUTS, Layout, Part, Picture
from evals.registry import suggest
from evals.store import atomic
from evals.store.pictures import open_image
from evals.store.reader import RunReader
from evals.types import Outcome

if TYPE_CHECKING:
    from PIL import Image

WEBP_QUALITY = 95


class Exported(NamedTuple):
    """What was written."""

    folder: Path
    files: int
    pictures: int
    """Outputs of the run that are in them."""
    absent: tuple[str, ...]
    """`sample_id/repeat` of the outputs that the run does not have."""
    notes: tuple[str, ...]
    """Sentences about what the layout cannot hold."""


def export_run(run: str | Path, out: str | Path, *, layout: str, model: str | None = None, repeat: int | None = None) -> Exported:
    """Write a run's pictures in an official layout.

    Args:
        run: a run folder.
        out: new or empty folder.
        layout: a name of `evals.layouts.LAYOUTS`.
        model: name of the model's folder, where the layout has one (OneIG); by default the run's model.
        repeat: which output of each prompt, in layouts that hold one; by default the first.

    Raises:
        DataError: the run is of another benchmark, or its pictures do not fit the layout.
        StoreError: no run folder, a picture that differs from the journal, or `out` holds files.
    """
    if layout not in LAYOUTS:
        raise DataError(f'--layout: got "{layout}"; expected one of {", ".join(LAYOUTS)}.{suggest(layout, LAYOUTS)}')
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"{target}: got something that is there already; expected a new or empty folder. Give another OUT.")
    reader = RunReader(run)
    form = LAYOUTS[layout](target)
    pictures, absent = _pictures(reader)
    pictures, notes = _fitted(pictures, form, repeat)
    name = model or re.sub(r"[^A-Za-z0-9._-]+", "-", str(reader.manifest.get("model", {}).get("id") or "model")).strip("-.") or "model"
    # All names first: a run of another benchmark is refused before a file is written.
    parts = list(form.parts(pictures, model=name))
    twice = _twice([part.name for part in parts])
    if twice:
        raise DataError(f"layout {layout}: got two samples for {twice}; expected one. This run is of another benchmark.")
    written, shown, usual = 0, 0, _first_size(parts, form)
    for part in parts:
        data = _content(part, form, usual)
        if data is not None:
            atomic.write_bytes(target / part.name, data)
            written += 1
            shown += sum(path is not None for path in part.images if not part.name.endswith("_SRCIMG.png"))
    if form.square and usual is not None:
        notes.append(f"Run the official script with --resolution {usual[0]}.")
    return Exported(target, written, shown, tuple(absent), tuple(notes))


def _pictures(reader: RunReader) -> tuple[list[Picture], list[str]]:
    repeats = int(reader.manifest["resolved_suite"]["generate"]["repeats"])
    made = {(output.sample_id, output.repeat): output for output in reader.outputs()}
    pictures, absent = [], []
    for sample in reader.samples():
        images: list[Path | None] = []
        for repeat in range(repeats):
            output = made.get((sample.sample_id, repeat))
            path = reader.image_path(output) if output is not None and output.outcome is Outcome.OK else None
            if path is not None and output is not None:
                _unchanged(path, output.image_sha256)
            else:
                absent.append(f"{sample.sample_id}/{repeat:05d}")
            images.append(path)
        pictures.append(Picture(sample=sample, images=tuple(images), source=reader.layout.find_source(sample.sample_id)))
    if all(path is None for picture in pictures for path in picture.images):
        raise StoreError(f"{reader.path}: got a run without a single picture; expected a finished run that makes pictures.")
    return pictures, absent


def _unchanged(path: Path, digest: str | None) -> None:
    try:
        same = hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        same = False
    if not same:
        raise StoreError(f"{path}: got a missing or changed picture; expected that of the journal. Run the same command again first.")


def _fitted(pictures: list[Picture], form: Layout, repeat: int | None) -> tuple[list[Picture], list[str]]:
    most = max(len(picture.images) for picture in pictures)
    if form.per_prompt == 1:
        chosen = repeat or 0
        if chosen >= most:
            raise DataError(f"--repeat: got {chosen}; this run has {most} outputs a prompt, counted from 0.")
        notes = [f"The layout {form.name} holds one picture a prompt: output {chosen} of {most} was written."] if most > 1 else []
        cut = [Picture(sample=p.sample, images=p.images[chosen : chosen + 1], source=p.source) for p in pictures]
        return cut, notes
    if repeat is not None:
        raise DataError(f"--repeat: got {repeat}; the layout {form.name} holds all outputs of a prompt. Leave it out.")
    if form.per_prompt is not None and most > form.per_prompt:
        raise DataError(f"layout {form.name}: got {most} outputs a prompt; expected at most {form.per_prompt}, the cells of its grid.")
    if form.per_prompt is not None and most < form.per_prompt:
        return pictures, [f"This run has {most} outputs a prompt; the other cells of the grid are black."]
    return pictures, []


def _twice(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _first_size(parts: Sequence[Part], form: Layout) -> tuple[int, int] | None:
    if form.grid is None:
        return None
    first = next(path for part in parts for path in part.images if path is not None)
    return open_image(first).size


def _content(part: Part, form: Layout, usual: tuple[int, int] | None) -> bytes | None:
    if part.text is not None:
        return part.text.encode()
    if usual is not None and form.grid is not None:
        return _grid(part, form, usual)
    path = part.images[0]
    if path is None:
        return None
    if path.suffix == ".png":
        return path.read_bytes()
    return _encoded(open_image(path), "png")


def _grid(part: Part, form: Layout, usual: tuple[int, int]) -> bytes:
    from PIL import Image

    assert form.grid is not None
    columns, rows = form.grid
    cells = [None if path is None else open_image(path) for path in part.images]
    # A prompt without any picture gets black cells of the run's usual size.
    size = next((cell.size for cell in cells if cell is not None), usual)
    odd = next((cell.size for cell in cells if cell is not None and cell.size != size), None)
    if odd is not None:
        raise DataError(f"layout {form.name}: {part.name}: got pictures of {size} and {odd} pixels; expected one size in a grid.")
    if form.square and size[0] != size[1]:
        raise DataError(f"layout {form.name}: {part.name}: got pictures of {size[0]} x {size[1]} pixels; expected squares.")
    sheet = Image.new("RGB", (size[0] * columns, size[1] * rows))
    for index, cell in enumerate(cells):
        if cell is not None:
            sheet.paste(cell, (index % columns * size[0], index // columns * size[1]))
    # A lossy codec bleeds into a black cell, and only a cell that is black throughout is taken as missing.
    return _encoded(sheet, form.format, lossless=None in part.images or len(part.images) < columns * rows)


def _encoded(image: Image.Image, form: str, *, lossless: bool = False) -> bytes:
    stream = io.BytesIO()
    if form == "webp":
        image.save(stream, "WEBP", quality=WEBP_QUALITY, lossless=lossless)
    else:
        image.save(stream, "PNG")
    return stream.getvalue()
