"""Trainings of a grid in this process: what a grid does with them is tested, not that a process can be started."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner


@pytest.fixture
def trained_here(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Run `python -m uniar ARGS...` by the same command line without a new interpreter, which takes longer to start than they train.

    Returns:
        The folders of the trainings so far, one an entry, whether they ended or not.
    """
    from uniar.cli.main import cli
    from uniar.errors import UniARError

    made: list[Path] = []

    def run(command: list[str], *, stdout: Any, stderr: Any, env: dict[str, str], check: bool, pass_fds: tuple[int, ...]) -> Any:
        assert command[1:4] == ["-m", "uniar", "train"] and stdout is stderr and not check
        made.append(Path(command[command.index("--out") + 1]))
        done = CliRunner().invoke(cli, command[3:])
        # As the command's own entry point tells a user's mistake.
        told = f"Error: {done.exception}\n" if isinstance(done.exception, UniARError) else ""
        stdout.write((done.output + told).encode())
        return SimpleNamespace(returncode=2 if told else done.exit_code)

    monkeypatch.setattr("evals.ablation.stages.subprocess", SimpleNamespace(run=run))
    return made
