"""The ablations that ship: each at its smallest size from the command to the table, on the bundled checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.ablation.finding import packaged


@pytest.mark.parametrize("name", packaged())
def test_the_smoke_size_runs_to_a_table(name, tmp_path, monkeypatch, cli, trained_here):
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = cli("ablate", name, "--smoke", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    found = json.loads(Path(tmp_path, "out", "ablation.json").read_text())
    assert found["complete"] and found["mini"] and len(found["cells"]) >= 2
    assert [cell["control"] for cell in found["cells"]] == [True] + [False] * (len(found["cells"]) - 1)
    for cell in found["cells"]:
        assert cell["level"]["value"] is not None and cell["level"]["outputs"] == cell["level"]["planned"] > 0
        assert (cell["effect"] is None) == cell["control"]
        assert bool(cell["cost"]["train_s"]) == bool(cell["curves"]) == found["trained"]
    # A training a cell, of its own content each.
    assert len(set(trained_here)) == len(trained_here) == (len(found["cells"]) if found["trained"] else 0)
    assert "Not comparable with published numbers" in done.output
