"""Which file of a run lies where; every path is confined to the run's root.

The layout is the contract between `evals` (writes) and `reports` (reads); it is described in `docs/suites.md`.
"""

from __future__ import annotations

import re
from pathlib import Path

from evals.errors import StoreError

_SAFE = re.compile(r"[A-Za-z0-9._-]+")
SOURCE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""Formats in which an input image is kept as it came; any other is kept as PNG."""


class Layout:
    """Paths of one run folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.manifest = self.root / "manifest.json"
        self.samples = self.root / "samples.jsonl"
        self.journal = self.root / "journal.jsonl"
        self.results = self.root / "results.json"
        self.lock = self.root / "run.lock"
        self.report = self.root / "report" / "index.html"

    def image(self, sample_id: str, repeat: int) -> str:
        """Relative path of an output's image."""
        return f"images/{safe(sample_id)}/{repeat:05d}.png"

    def codes(self, sample_id: str, repeat: int) -> str:
        """Relative path of an output's codes."""
        return f"codes/{safe(sample_id)}/{repeat:05d}.safetensors"

    @property
    def ledger(self) -> Path:
        """Every reply of a judge, append-only; shipped with the run."""
        return self.root / "judge" / "ledger.jsonl"

    def source(self, sample_id: str, suffix: str) -> str:
        """Relative path of a sample's input image, in the format it came in."""
        return f"sources/{safe(sample_id)}{suffix}"

    def find_source(self, sample_id: str) -> Path | None:
        """Return a sample's input image as the run keeps it, None when it has none."""
        paths = (self.root / self.source(sample_id, suffix) for suffix in SOURCE_SUFFIXES)
        return next((path for path in paths if path.is_file()), None)

    def scores(self, scorer: str) -> Path:
        """Scores of one scorer, plan order."""
        return self.root / "scores" / f"{safe(scorer)}.jsonl"

    def score_cache(self, scorer: str) -> Path:
        """Verdicts already made, with the key they were made under; append-only."""
        return self.root / "scores" / "cache" / f"{safe(scorer)}.jsonl"

    @property
    def added(self) -> Path:
        """Scorers that were added to the run after it was made, and with what."""
        return self.root / "scores" / "added.json"

    def resolve(self, relative: str) -> Path:
        """Return the absolute path of a name inside the run folder.

        Raises:
            StoreError: the name leaves the folder, by `..`, an absolute path or a link.
        """
        root = self.root.resolve()
        path = (root / relative).resolve()
        if Path(relative).is_absolute() or not path.is_relative_to(root):
            raise StoreError(f'{self.root}: got the path "{relative}"; expected one inside the run folder.')
        return path


def safe(name: str) -> str:
    """Return a file-name part unchanged when it is one.

    Raises:
        StoreError: it could leave the folder or is not portable.
    """
    if not _SAFE.fullmatch(name) or set(name) == {"."}:
        raise StoreError(f'got "{name}" as a file name; expected only letters, digits, dots, dashes and underscores.')
    return name
