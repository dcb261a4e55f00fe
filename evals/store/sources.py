"""Input images of a run (editing, reconstruction), kept with it, so that a run can be scored again on another machine."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from evals.errors import DataError
from evals.store import atomic
from evals.store.layout import SOURCE_SUFFIXES, Layout
from evals.store.pictures import open_image
from evals.types import Sample


def keep_sources(layout: Layout, samples: Sequence[Sample], data_root: str | None) -> None:
    """Copy the samples' input images into the run folder, those that are not there yet.

    An image that is absent or unreadable is left out: the model meets the same file and its output tells why.

    Args:
        layout: of the run folder, locked by the caller.
        samples: the plan's.
        data_root: folder that `Sample.image` is relative to.
    """
    for sample in samples:
        if sample.image is None or layout.find_source(sample.sample_id) is not None:
            continue
        path = Path(data_root or ".") / sample.image
        suffix = path.suffix.lower()
        try:
            data = path.read_bytes() if suffix in SOURCE_SUFFIXES else _png(path)
        except (OSError, DataError):
            continue
        atomic.write_bytes(layout.root / layout.source(sample.sample_id, suffix if suffix in SOURCE_SUFFIXES else ".png"), data)


def _png(path: Path) -> bytes:
    stream = io.BytesIO()
    open_image(path).save(stream, "PNG")
    return stream.getvalue()
