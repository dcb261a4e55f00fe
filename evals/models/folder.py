"""Images made elsewhere as a thing under test: `--model images:DIR` or `images:LAYOUT[,option=value]:DIR`.

Read are a run folder of ours (`images/<sample_id>/00000.png`, so a run can be scored again) and the official layouts
of `evals.layouts`. An absent image is `missing`, one that cannot be read a `generation_error`; neither stops the run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import DataError, ModelError
from evals.layouts import LAYOUTS, Found, Layout
from evals.layouts.grids import CLASSES
from evals.protocols import Generation
from evals.registry import suggest
from evals.store import atomic
from evals.store.pictures import open_image
from evals.types import Outcome, Sample, WorkItem

if TYPE_CHECKING:
    from PIL import Image

OURS = "run"
"""Name of a run folder's own layout."""
_NAMED = re.compile(r"([a-z]+)((?:,[a-z]+=[^:,]*)*):(.+)", re.DOTALL)
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
_COUNTED = re.compile(r".*_\d{6}\.png", re.DOTALL)


class _RunLayout(Layout):
    """A run folder: `images/<sample_id>/00000.png`."""

    name = OURS

    def find(self, sample: Sample, repeat: int) -> Found:
        """Look in the folder of the sample's id."""
        return self._at(f"images/{sample.sample_id}/{repeat:05d}.png")


class ImageFolderModel:
    """Reader of a folder of images.

    Args:
        source: `DIR`, whose layout is told from what lies in it and from the suite's rows, or `LAYOUT:DIR` with `run` or
            a name of `evals.layouts.LAYOUTS`; `oneig,model=NAME:DIR` and `dpg,grid=1x1:DIR` say more about the folder.

    Raises:
        ModelError: no such folder or layout, or no image.
    """

    verbs = frozenset({"generate", "edit", "reconstruct"})

    def __init__(self, *, source: str) -> None:
        name, options, self._root = _parse(source)
        if not self._root.is_dir():
            raise ModelError(f"--model: images:{source}: got no such folder; expected one with images.")
        named = name is not None
        name = name or _told_by_folder(self._root)
        # None: a flat folder; which benchmark's it is only the rows can tell.
        self._layout = None if name is None else _build(name, self._root, options, source)
        self._files = _files(self._root, name)
        if not self._files:
            raise ModelError(
                f"--model: images:{source}: got no image; expected 00000/samples/*.png, images/<sample_id>/00000.png, or one of the "
                f"layouts {', '.join(LAYOUTS)} (images:LAYOUT:DIR)."
            )
        self._described = {"layout": name, **options} if named else {}
        self.name = f"images-{self._root.resolve().name}"
        self._sheet: tuple[Path, Image.Image] | None = None

    def fingerprint(self) -> dict[str, Any]:
        """Return the folder's name, the sha256 over all image names and contents, and the layout where one was named."""
        total = hashlib.sha256()
        for path in self._files:
            total.update(path.relative_to(self._root).as_posix().encode("utf-8", "surrogateescape") + b"\0")
            total.update(bytes.fromhex(atomic.sha256(path)))
        return {"id": self.name, "sha256": total.hexdigest(), "num_images": len(self._files), "bundled": False, **self._described}

    def run(self, items: Sequence[WorkItem]) -> list[Generation]:
        """Return each item's image, or `missing` with the path that was looked for."""
        return [self._read(item) for item in items]

    def _read(self, item: WorkItem) -> Generation:
        try:
            found = self._for(item.sample).find(item.sample, item.repeat)
            if found.problem is not None:
                return Generation(error=found.problem)
            if found.path is None:
                return Generation(error=f"No image {found.wanted} in {self._root.name}.", outcome=Outcome.MISSING)
            if found.cell is None:
                return Generation(image=open_image(found.path, shown=found.wanted))
            tile = self._tile(found.path, found.cell, found.wanted, self._for(item.sample))
        except DataError as error:
            return Generation(error=str(error))
        if not any(high for _, high in tile.getextrema()):
            # The official generators fill in black for a picture that there is none of.
            return Generation(error=f"Cell {found.cell} of {found.wanted} is black: no image.", outcome=Outcome.MISSING)
        return Generation(image=tile)

    def _for(self, sample: Sample) -> Layout:
        if self._layout is None:
            name = next((name for name, layout in LAYOUTS.items() if layout.fits(sample.metadata)), None)
            if name is None and any(_COUNTED.fullmatch(path.name) for path in self._files):
                name = "compbench"
            if name is None:
                raise DataError(
                    f"images:{self._root}: got a folder whose layout this suite's rows do not tell; expected one that is named. "
                    f"Write images:LAYOUT:DIR with LAYOUT one of {OURS}, {', '.join(LAYOUTS)}."
                )
            self._layout = _build(name, self._root, {}, str(self._root))
        return self._layout

    def _tile(self, path: Path, cell: int, shown: str, layout: Layout) -> Image.Image:
        # The cells of a prompt are asked for one after the other: its grid is decoded once.
        if self._sheet is None or self._sheet[0] != path:
            self._sheet = (path, open_image(path, shown=shown))
        sheet = self._sheet[1]
        columns, rows = layout.grid or (1, 1)
        width, height = sheet.width // columns, sheet.height // rows
        if not width or not height:
            raise DataError(f"{shown}: got {sheet.width} x {sheet.height} pixels; expected a grid of {columns} x {rows} pictures.")
        left, top = cell % columns * width, cell // columns * height
        return sheet.crop((left, top, left + width, top + height))


def _parse(source: str) -> tuple[str | None, dict[str, str], Path]:
    named = _NAMED.fullmatch(source)
    # A folder that is there wins over a layout's name, as a checkpoint's path wins over a plugin's.
    if Path(source).exists() or named is None:
        return None, {}, Path(source)
    name, options, folder = named.groups()
    known = (OURS, *LAYOUTS)
    if name not in known:
        near = suggest(name, known)
        raise ModelError(f'--model: images:{source}: got no such folder and no layout "{name}"; expected one of {", ".join(known)}.{near}')
    given = dict(option.split("=", 1) for option in options.split(",")[1:])
    return name, given, Path(folder)


def _build(name: str, root: Path, options: dict[str, str], source: str) -> Layout:
    try:
        return _RunLayout(root, **options) if name == OURS else LAYOUTS[name](root, **options)
    except DataError as error:
        raise ModelError(f"--model: images:{source}: {error}") from error


def _told_by_folder(root: Path) -> str | None:
    if (root / "images").is_dir():
        return OURS
    if next(root.glob("*/samples/*.png"), None) is not None and not any(_COUNTED.fullmatch(p.name) for p in root.glob("*/samples/*.png")):
        return "geneval"
    if (root / "fullset").is_dir():
        return "gedit"
    return "oneig" if any(next(root.glob(f"{folder}/*/*.webp"), None) for folder in CLASSES.values()) else None


def _files(root: Path, name: str | None) -> list[Path]:
    if name in (OURS, "geneval"):
        found = root.glob("images/*/*.png" if name == OURS else "*/samples/*.png")
    else:
        found = (path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES)
    return sorted(path for path in found if path.is_file())
