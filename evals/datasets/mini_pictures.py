"""Pictures of the mini world on disk: samples name their input by path, so what code draws is written once and checked each time."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from evals.datasets.local import data_root
from evals.errors import DataError
from evals.store import atomic

if TYPE_CHECKING:
    import numpy as np

_DRAWING = 1
"""Raised when the same seed gives other pictures: it is part of a folder's name."""


def folder_of(dataset: str, *settings: object) -> Path:
    """Return the folder of a dataset's pictures under these settings, beside the data root; it need not exist."""
    made_of = hashlib.sha256(repr((_DRAWING, *settings)).encode()).hexdigest()[:16]
    return data_root().parent / "mini" / f"{dataset}-{made_of}"


def keep(path: Path, pixels: np.ndarray) -> None:
    """Write pixels, uint8 (h, w, 3), as PNG unless the file is just that: one that somebody changed must not become the truth.

    Raises:
        DataError: the folder cannot be written.
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    if path.is_file() and path.read_bytes() == stream.getvalue():
        return
    try:
        atomic.write_bytes(path, stream.getvalue())
    except OSError as error:
        raise DataError(
            f"{path}: got {error.strerror}; expected a folder that can be written, for the source images. Set UNIAR_EVAL_DATA to one."
        ) from error
