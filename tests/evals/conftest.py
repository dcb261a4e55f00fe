"""A toy suite in a fresh folder, and the command line called in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

DATA = Path(__file__).parent.parent / "data" / "harness"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy suite's file; the working directory is its folder."""
    for name in ("toy.yaml", "toy_plugins.py"):
        shutil.copy(DATA / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "toy.yaml"


@pytest.fixture
def cli() -> Callable[..., Result]:
    """Call `uniar-eval ARGS...`; anything but a clean exit keeps its exception."""
    from evals.cli.main import main

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(main, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call
