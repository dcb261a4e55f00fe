"""Runs of the training scripts beside these tests, in one process or several."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """DeepSpeed is an extra that is built from source; its cases run where it is installed."""
    config.addinivalue_line("markers", "deepspeed: needs DeepSpeed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run."""
    if importlib.util.find_spec("deepspeed") is None:
        for item in items:
            if item.get_closest_marker("deepspeed"):
                item.add_marker(pytest.mark.skip(reason="DeepSpeed is not installed"))


@pytest.fixture(scope="session")
def started() -> Callable[..., None]:
    """Run a script to its end: (script, *arguments, processes=1); one thread each, on the CPU."""

    def start(script: Path, *arguments: object, processes: int = 1) -> None:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
        # The GPU of a machine that has one stays out of it: several processes cannot share it.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, *launcher, str(script), *map(str, arguments)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
        assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-3000:]

    return start
