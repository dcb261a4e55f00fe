"""`RunReader`: the only way to read a run folder. Pages, comparisons and gates use it and know no file name.

Works on a finished run, an interrupted one and one that is being written; every path is confined to the folder.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import StoreError
from evals.store import codes as codes_file
from evals.store import manifest as manifest_file
from evals.store.journal import read_outputs, read_rows
from evals.store.layout import Layout
from evals.types import Output, Sample, Score

if TYPE_CHECKING:
    import numpy as np


class RunReader:
    """One run folder, read only.

    Args:
        path: the folder.

    Raises:
        StoreError: no run folder, or a damaged manifest.
    """

    def __init__(self, path: str | Path) -> None:
        self.layout = Layout(Path(path))
        self.path = self.layout.root
        self.manifest: dict[str, Any] = manifest_file.read(self.layout)

    @cached_property
    def results(self) -> dict[str, Any]:
        """`results.json`; empty while the run has none.

        Raises:
            StoreError: the file is damaged.
        """
        if not self.layout.results.exists():
            return {}
        try:
            data: dict[str, Any] = json.loads(self.layout.results.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.layout.results}: got a damaged file ({error}); expected JSON.") from error
        return data

    def samples(self) -> list[Sample]:
        """Return the samples in plan order.

        Raises:
            StoreError: a damaged line.
        """
        return [self._record(Sample, self.layout.samples, number, row) for number, row in self._rows("samples")]

    def outputs(self) -> list[Output]:
        """Return the last output of every item the journal has, in plan order; items not made yet are absent.

        Raises:
            StoreError: a damaged line.
        """
        order = {sample.sample_id: index for index, sample in enumerate(self.samples())}
        found = read_outputs(self.layout.journal).values()
        return sorted(found, key=lambda output: (order.get(output.sample_id, len(order)), output.repeat))

    def scores(self, name: str | None = None) -> list[Score]:
        """Return one scorer's scores in plan order, or those of all scorers, the suite's order; empty before scoring.

        Raises:
            StoreError: a damaged line.
        """
        names = [name] if name is not None else self.scorers
        return [
            self._record(Score, path, number, row)
            for path in map(self.layout.scores, names)
            for number, row in read_rows(path)
        ]

    @property
    def scorers(self) -> list[str]:
        """Names of all scorers: the suite's in its order, then those that were added to the run."""
        return self.suite_scorers + [str(row["name"]) for row in self.results.get("added", [])]

    @property
    def suite_scorers(self) -> list[str]:
        """Names of the suite's scorers, in its order."""
        return [str(use["scorer"]) for use in self.manifest.get("resolved_suite", {}).get("score", [])]

    def resolve(self, relative: str) -> Path:
        """Return the absolute path of a name inside the folder.

        Raises:
            StoreError: the name leaves the folder.
        """
        return self.layout.resolve(relative)

    def image_path(self, output: Output) -> Path | None:
        """Return the path of an output's image, None when it has none.

        Raises:
            StoreError: the journal names a path outside the folder.
        """
        return None if output.image is None else self.resolve(output.image)

    def source_path(self, sample: Sample) -> Path | None:
        """Return the path of a sample's input image as the run keeps it, None when it has none."""
        return self.layout.find_source(sample.sample_id)

    def codes(self, output: Output) -> np.ndarray | None:
        """Return an output's codes, uint8 (N, L, G, D) in {0, 1}; None when it has none.

        Raises:
            StoreError: the file is missing or damaged.
        """
        return None if output.codes is None else codes_file.unpack(self.resolve(output.codes))

    def _rows(self, which: str) -> Any:
        return read_rows(getattr(self.layout, which))

    @staticmethod
    def _record(cls: Any, path: Path, number: int, row: dict[str, Any]) -> Any:
        try:
            return cls.from_json(row)
        except (TypeError, ValueError) as error:
            raise StoreError(f"{path}:{number}: got {error}; expected a {cls.__name__}.") from error


def load_run(path: str | Path) -> RunReader:
    """Open a run folder for reading.

    Raises:
        StoreError: no run folder, or a damaged manifest.
    """
    return RunReader(path)
