"""The steps of docs/ci.md, taken from the page and run by bash on the toy suite."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
DATA = ROOT / "tests" / "data" / "harness"


def _fences(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


class Runner:
    """A CI machine: a folder with the checkout's files, `uniar-eval` on the path, nothing kept between steps but files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        program = folder / "bin" / "uniar-eval"
        program.write_text(f"#!{sys.executable}\nfrom evals.cli.main import main\nmain()\n")
        program.chmod(0o755)
        for name in ("toy.yaml", "toy_plugins.py"):
            shutil.copy(DATA / name, folder / name)
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "SUITE": "toy.yaml",
            "SUITE_NAME": "toy", "BASE_MODEL": "toy", "MODEL": "toy", "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        }  # fmt: skip

    def step(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one step as GitHub does: bash, stopping at the first failure."""
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
            cwd=self.folder, env=self.environment | variables, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Runner:
    """A machine on which the page's first block, the baseline, was run."""
    made = Runner(tmp_path_factory.mktemp("ci"))
    done = made.step(_fences("bash")[0])
    assert done.returncode == 0, done.stderr
    assert "prompts for 0.02 with 80% power" in done.stdout and "outputs: 36" in done.stdout
    return made


def _github() -> dict[str, str]:
    steps = yaml.safe_load(_fences("yaml")[0])["jobs"]["gate"]["steps"]
    return {step["name"]: step["run"] for step in steps if "run" in step}


def test_the_workflow_is_one_that_github_reads():
    page = yaml.safe_load(_fences("yaml")[0])
    # YAML 1.1 reads the key `on` as true; GitHub reads it as text.
    assert page[True] == ["pull_request"] and page["permissions"] == {"contents": "read"}
    job = page["jobs"]["gate"]
    assert job["runs-on"] and all(("run" in step) != ("uses" in step) for step in job["steps"])
    assert [step["name"] for step in job["steps"] if "run" in step] == ["install", "measure", "judge", "summary"]
    assert _github()["install"].startswith("pip install")


def test_github_steps_pass_on_an_unchanged_model(machine):
    steps = _github()
    for name in ("measure", "judge", "summary"):
        done = machine.step(steps[name])
        assert done.returncode == 0, (name, done.stdout, done.stderr)
    assert "Pass: Toy" in (machine.folder / "summary.md").read_text("utf-8")
    assert ElementTree.parse(machine.folder / "gate.xml").getroot().get("failures") == "0"
    shutil.rmtree(machine.folder / "eval-run")


def test_a_worse_model_fails_the_judging_step(machine):
    steps, worse = _github(), machine.folder / "worse"
    shutil.copytree(machine.folder / "baseline-run" / "images", worse / "images")
    for path in worse.glob("images/*/*.png"):
        Image.new("RGB", (8, 8), "white").save(path)
    assert machine.step(steps["measure"], MODEL="images:worse").returncode == 0
    judged = machine.step(steps["judge"])
    assert judged.returncode == 1, judged.stdout + judged.stderr
    assert "REGRESSION" in judged.stdout
    assert ElementTree.parse(machine.folder / "gate.xml").getroot().get("failures") == "1"
    assert machine.step(_fences("bash")[1]).returncode == 1
    shutil.rmtree(machine.folder / "eval-run")


def test_half_a_run_is_incomplete_and_another_model_on_few_prompts_is_let_through_with_a_warning(machine):
    steps = _github()
    half = machine.step(steps["measure"], MODEL="toy:fail=b-002")
    assert half.returncode == 3
    assert machine.step(steps["judge"]).returncode == 3
    assert ElementTree.parse(machine.folder / "gate.xml").getroot().get("errors") == "1"
    shutil.rmtree(machine.folder / "eval-run")
    # Other draws of the same model: 18 prompts cannot show that it is as good.
    assert machine.step(f"{steps['measure']} --seed 1").returncode == 0
    told = machine.step(_fences("bash")[1].replace("--junit", "--across-seeds --junit"))
    assert told.returncode == 0 and "::warning::inconclusive" in told.stdout, told.stdout + told.stderr
    shutil.rmtree(machine.folder / "eval-run")


def test_gitlab_steps(machine):
    job = yaml.safe_load(_fences("yaml")[1])["evaluation"]
    assert job["allow_failure"] == {"exit_codes": [4]} and job["artifacts"]["reports"] == {"junit": "gate.xml"}
    for line in job["script"]:
        done = machine.step(line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert job["before_script"] == ["pip install -e ."]
    shutil.rmtree(machine.folder / "eval-run")
