"""Where an ablation file lies: a path, or the name of one that ships in `suites/ablations/`."""

from __future__ import annotations

from pathlib import Path

from evals.suite import load

FOLDER = "ablations"


def packaged() -> dict[str, Path]:
    """Return the files that ship with the package: name -> file."""
    return load.packaged(FOLDER)


def find(ablation: str) -> tuple[Path, str]:
    """Return the file and the name to show in messages.

    Raises:
        SuiteError: no such file and no packaged one of that name.
    """
    return load.find(ablation, kind="ablation", folder=FOLDER, remedy=f"Ours: {', '.join(packaged())}.")
