"""Where benchmark data lie on this machine: one folder a benchmark, filled by `uniar-eval data fetch` or by hand.

`UNIAR_EVAL_DATA` names the root; else `~/.cache/uniar-eval/data`. Nothing is fetched from here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from evals.errors import DataError

VARIABLE = "UNIAR_EVAL_DATA"


def data_root() -> Path:
    """Return the root of all benchmark data; it need not exist."""
    return Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "uniar-eval" / "data")


def benchmark_folder(benchmark: str, folder: str | None = None) -> Path:
    """Return where a benchmark's files are: a copy elsewhere that the suite names, else its folder under the data root."""
    return Path(folder) if folder is not None else data_root() / benchmark


def data_file(benchmark: str, name: str, *others: str, folder: str | None = None) -> Path:
    """Return a benchmark's file in its official name.

    Args:
        benchmark: of `uniar-eval data list`.
        name: relative path as the benchmark publishes it.
        others: further places where copies have it; the first that is there counts.
        folder: a copy elsewhere that the suite names (`data.folder`); None looks under the data root.

    Raises:
        DataError: it is not there; the sentence names the first place and tells how to get it.
    """
    root = benchmark_folder(benchmark, folder)
    found = next((root / place for place in (name, *others) if (root / place).exists()), None)
    if found is None:
        raise DataError(
            f"{benchmark}: got no {name} in {root}; expected the benchmark's published file. Run "
            f"`uniar-eval data fetch {benchmark}`, or `uniar-eval data fetch {benchmark} --from PATH` with a copy of it."
        )
    return found


def read_json(path: Path, kind: type, expected: str) -> Any:
    """Return a benchmark's JSON file.

    Args:
        path: of `data_file`.
        kind: `dict` or `list`: what it holds.
        expected: the same in words, for the message.

    Raises:
        DataError: unreadable, no JSON, or of another kind.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: got no readable JSON ({error}); expected {expected}. Fetch the file again.") from error
    if not isinstance(data, kind):
        raise DataError(f"{path}: got a {type(data).__name__}; expected {expected}. Fetch the file again.")
    return data
