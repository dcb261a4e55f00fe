"""Images made elsewhere as a thing under test: `--model images:DIR`.

Two layouts are read: GenEval's (`00007/samples/0000.png`, folders and files in order, official repository) and ours
(`images/<sample_id>/00000.png`, so a run folder can be scored again). An absent image is `missing`, never an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.errors import ModelError
from evals.protocols import Generation
from evals.types import Outcome, WorkItem

_NUMBER = re.compile(r"\d{1,5}")


class ImageFolderModel:
    """Reader of a folder of images.

    Args:
        source: the folder.

    Raises:
        ModelError: no such folder, or no image in either layout.
    """

    verbs = frozenset({"generate", "edit"})

    def __init__(self, *, source: str) -> None:
        self._root = Path(source)
        if not self._root.is_dir():
            raise ModelError(f"--model: images:{source}: got no such folder; expected one with images.")
        self._ours = (self._root / "images").is_dir()
        self._files = sorted(self._root.glob("images/*/*.png" if self._ours else "*/samples/*.png"))
        if not self._files:
            raise ModelError(
                f"--model: images:{source}: got no image; expected 00000/samples/*.png or images/<sample_id>/00000.png."
            )
        self.name = f"images-{self._root.resolve().name}"

    def fingerprint(self) -> dict[str, Any]:
        """Return the folder's name and the sha256 over all image names and contents."""
        total = hashlib.sha256()
        for path in self._files:
            total.update(path.relative_to(self._root).as_posix().encode("utf-8", "surrogateescape") + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return {"id": self.name, "sha256": total.hexdigest(), "num_images": len(self._files), "bundled": False}

    def run(self, items: Sequence[WorkItem]) -> list[Generation]:
        """Return each item's image, or `missing` with the path that was looked for."""
        return [self._read(item) for item in items]

    def _read(self, item: WorkItem) -> Generation:
        from PIL import Image

        path, wanted = self._find(item)
        if path is None:
            return Generation(error=f"No image {wanted} in {self._root.name}.", outcome=Outcome.MISSING)
        try:
            with Image.open(path) as image:
                return Generation(image=image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            return Generation(error=f"The image {wanted} cannot be read: {error}")

    def _find(self, item: WorkItem) -> tuple[Path | None, str]:
        sample_id, repeat = item.sample.sample_id, item.repeat
        if self._ours:
            wanted = f"images/{sample_id}/{repeat:05d}.png"
            path = self._root / wanted
            return (path if path.is_file() else None), wanted
        # GenEval numbers prompts from 0 with five digits; its file names are only ordered, their width varies.
        number = sample_id.rpartition("-")[2]
        folder = f"{int(number):05d}" if _NUMBER.fullmatch(number) else sample_id
        files = sorted((self._root / folder / "samples").glob("*.png"))
        named = [path for path in files if path.stem.isdigit() and int(path.stem) == repeat]
        return (named[0] if named else None), f"{folder}/samples/{repeat:05d}.png"
