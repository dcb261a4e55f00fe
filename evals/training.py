"""Suites as evaluators of a training run: the entry point `suite` of the group `uniar.evaluators`.

The training package hands over a checkpoint of the moment and knows nothing else of suites.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evals.errors import SuiteError
from evals.run import run_suite


class SuiteEvaluator:
    """Runs one suite; its run folder stays beside the checkpoint, as `run`.

    Args:
        suite: packaged name or path of a suite file.
        profile: None means `official`, as for every checkpoint that is not the bundled one.
        limit: samples a task.
        seed: of the run; the same at every step, so that two steps can be compared sample by sample.
        device: `cpu`, `cuda` or `auto`.
    """

    def __init__(self, suite: str, *, profile: str | None = None, limit: int | None = None, seed: int = 0, device: str = "auto"):
        self._settings = {"profile": profile, "limit": limit, "seed": seed, "device": device}
        self._suite = suite

    def __call__(self, checkpoint: Path, *, step: int, folder: Path) -> Mapping[str, float]:
        """The headline, its interval's ends and each metric of the suite, by name.

        Raises:
            SuiteError: no score, so that a run without a measurement is not taken for one with a bad one.
        """
        found = run_suite(self._suite, model=str(checkpoint), out=folder / "run", **self._settings).results
        top = found["headline"]
        if top["value"] is None:
            raise SuiteError(f"{folder / 'run'}: step {step}: no score ({'; '.join(found['reasons'])}). See its results.json.")
        tasks = {m["task"]: m["value"] for m in found["metrics"] if m["kind"] == "task" and m["value"] is not None}
        return {"overall": top["value"], "overall_low": top["low"], "overall_high": top["high"], **tasks}


def suite(suite: str = "geneval", **settings: object) -> SuiteEvaluator:
    """The entry point: see `SuiteEvaluator`."""
    return SuiteEvaluator(suite, **settings)
