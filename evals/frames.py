"""`evals.load_run(path)`: a run folder as pandas frames, for notebooks.

Reads through `evals.store.reader`, so an unfinished run can be looked at while it goes on: `load_run` again for the newest
state. pandas is imported when the first frame is asked for.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.store.reader import RunReader

if TYPE_CHECKING:
    import pandas as pd

_SAMPLE = ("sample_id", "task", "prompt", "image", "target", "tags", "metadata")
_OUTPUT = (
    "sample_id", "task", "repeat", "seed", "outcome", "image", "image_sha256", "codes", "codes_sha256", "text", "seconds", "error",
)  # fmt: skip
_SCORE = ("sample_id", "task", "repeat", "scorer", "outcome", "reason")
_METRIC = (
    "name", "task", "kind", "scorer", "value", "low", "high", "n", "n_samples", "n_expected", "coverage", "unit", "outcomes",
)  # fmt: skip


class RunFrames:
    """One run folder as frames; each is made when it is first asked for and then kept.

    Args:
        path: the run folder.

    Raises:
        StoreError: no run folder, or a damaged file.
    """

    def __init__(self, path: str | Path) -> None:
        self.reader = RunReader(path)
        """For images, codes and whatever else the folder holds."""

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.reader.path

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run is: suite, protocol, model, seed, versions."""
        return self.reader.manifest

    @property
    def results(self) -> dict[str, Any]:
        """`results.json`; empty while the run has none."""
        return self.reader.results

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row a sample, plan order: `sample_id`, `task`, `prompt`, `image`, `target`, `tags`, `metadata`."""
        return _frame([sample.to_json() for sample in self.reader.samples()], _SAMPLE)

    @cached_property
    def outputs(self) -> pd.DataFrame:
        """One row an output that was made, plan order; `image` and `codes` are paths inside the folder."""
        return _frame([output.to_json() for output in self.reader.outputs()], _OUTPUT)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a score: `sample_id`, `task`, `repeat`, `scorer`, `outcome`, `reason`, one column a value, `evidence`.

        A score without a value (its outcome says why) has NaN there, never 0. A value whose name is taken by another column
        stands under `value_NAME`.
        """
        taken = {*_SCORE, "evidence"}
        rows = []
        values: dict[str, None] = {}
        for score in self.reader.scores():
            row = score.to_json()
            own = {f"value_{name}" if name in taken else name: number for name, number in score.values.items()}
            values |= dict.fromkeys(own)
            rows.append({name: row[name] for name in _SCORE} | own | {"evidence": row["evidence"]})
        frame = _frame(rows, (*_SCORE, *values, "evidence"))
        return frame.astype({name: "float64" for name in values})

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row a metric, the headline first; `scorer` is empty but for scores that were added to the run.

        A metric without a value has NaN there; `low` and `high` are the ends of its 95% interval.
        """
        own = [self.results["headline"], *self.results["metrics"]] if self.results else []
        rows = [{**metric, "scorer": ""} for metric in own]
        rows += [{**metric, "scorer": added["name"]} for added in self.results.get("added", []) for metric in added["metrics"]]
        return _frame(rows, _METRIC).astype({name: "float64" for name in ("value", "low", "high", "coverage")})

    def __repr__(self) -> str:
        status = self.results.get("status", "unfinished")
        return f"<run {self.path.name}: {self.manifest.get('title', self.manifest.get('suite'))}, {status}>"


def load_run(path: str | Path) -> RunFrames:
    """Open a run folder for a notebook.

    Raises:
        StoreError: no run folder, or a damaged manifest.
    """
    return RunFrames(path)


def _frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([[row.get(name) for name in columns] for row in rows], columns=list(columns))
