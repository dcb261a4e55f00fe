"""Where benchmark data lie on this machine: one folder a benchmark, filled by `uniar-eval data fetch` or by hand.

`UNIAR_EVAL_DATA` names the root; else `~/.cache/uniar-eval/data`. Nothing is fetched from here.
"""

from __future__ import annotations

import os
from pathlib import Path

from evals.errors import DataError

VARIABLE = "UNIAR_EVAL_DATA"


def data_root() -> Path:
    """Return the root of all benchmark data; it need not exist."""
    return Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "uniar-eval" / "data")


def data_file(benchmark: str, name: str, *, folder: str | None = None) -> Path:
    """Return a benchmark's file in its official name.

    Args:
        benchmark: of `uniar-eval data list`.
        name: relative path as the benchmark publishes it.
        folder: a copy elsewhere that the suite names (`data.folder`); None looks under the data root.

    Raises:
        DataError: it is not there; the sentence tells how to get it.
    """
    root = Path(folder) if folder is not None else data_root() / benchmark
    path = root / name
    if not path.exists():
        raise DataError(
            f"{benchmark}: got no {name} in {root}; expected the benchmark's published file. Run "
            f"`uniar-eval data fetch {benchmark}`, or `uniar-eval data fetch {benchmark} --from PATH` with a copy of it."
        )
    return path
