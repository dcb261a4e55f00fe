"""The command line itself: fast help, kind mistakes, listings, samples, validation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "numpy", "yaml", "jinja2", "pandas", "PIL", "transformers", "diffusers", "uniar", "reports"}


def test_help_is_fast_and_imports_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-c", "from evals.cli.main import main; main()", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    seconds = time.perf_counter() - started
    for verb in ("run", "samples", "ls", "validate", "parity"):
        assert f"\n  {verb}" in done.stdout
    loaded = {row.rpartition("|")[2].strip().partition(".")[0] for row in done.stderr.splitlines()}
    assert "evals" in loaded and not loaded & HEAVY, loaded & HEAVY
    # The bound is 1 s on an idle machine; a loaded one gets some room, imports are what the line above guards.
    assert seconds < 3


def test_front_door_is_lazy_and_run_is_callable():
    code = (
        "import sys, evals; assert 'numpy' not in sys.modules and 'yaml' not in sys.modules;"
        "from evals import Sample, Outcome; import evals.run; assert callable(evals.run), evals.run;"
        "from evals import run; assert run is evals.run; assert callable(evals.load_run)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_version_works_from_a_checkout_too(cli):
    assert cli("--version").stdout.startswith("uniar-eval ")


def test_unknown_verb_names_the_nearest(cli):
    result = cli("smaples")
    assert result.exit_code == 2 and 'Did you mean "samples"?' in result.output


def test_samples_are_json_lines_with_key_order(toy, cli):
    result = cli("samples", "toy.yaml", "--limit", "2")
    rows = [json.loads(row) for row in result.stdout.splitlines()]
    assert [row["sample_id"] for row in rows] == ["a-000", "a-001", "b-000", "b-001", "c-000", "c-001"]
    assert list(rows[0])[:4] == ["sample_id", "task", "prompt", "metadata"]
    assert list(rows[0]["metadata"]) == ["z", "a"]
    assert len(cli("samples", "toy.yaml", "--profile", "mini").stdout.splitlines()) == 4


def test_validate(toy, cli):
    result = cli("validate", "toy.yaml")
    assert result.exit_code == 0 and "official (Toy) is valid" in result.stdout and "mini (Toy-mini)" in result.stdout
    assert json.loads(cli("validate", "toy.yaml", "--json").stdout)["valid"] is True


@pytest.mark.parametrize("what", ["suites", "scorers", "models", "datasets", "detectors", "runs", "metrics"])
def test_ls(toy, cli, what):
    result = cli("ls", what, "--json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    if what == "models":
        assert {"uniar-mini", "images", "uniar"} <= {row["name"] for row in rows}
    if what == "metrics":
        assert all(row["problem"] is None for row in rows)


def test_ls_runs_shows_status_and_value(toy, cli):
    cli("run", "toy.yaml", "--model", "toy", "--no-report")
    row = json.loads(cli("ls", "runs", "--json").stdout)[0]
    assert row["status"] == "complete" and 0 <= row["value"] <= 1
    (toy.parent / row["path"] / "manifest.json").write_text("{")
    assert "broken" in cli("ls", "runs").stdout


def test_unknown_suite_names_the_remedy(toy, cli):
    result = cli("run", "nosuch")
    assert result.exit_code == 2 and 'SUITE: got "nosuch"; no such file' in result.stderr
    assert "Traceback" not in result.output
