"""The five commands of docs/training.md, run as written on the mini world."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from uniar.data.shapes import render, sample_captioned

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def _fences(language: str) -> list[str]:
    text = (ROOT / "docs" / "training.md").read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Somebody's images and captions, and the page's mix."""
    where = tmp_path_factory.mktemp("mine")
    (where / "images").mkdir()
    rng = np.random.default_rng(0)
    keys = set(json.loads(_fences("json")[0]))
    lines = []
    for i in range(40):
        made = sample_captioned(rng)
        Image.fromarray(render(made.scene)).save(where / "images" / f"{i}.png")
        record = {"prompt": made.caption, "image": f"images/{i}.png"}
        assert record.keys() == keys
        lines.append(json.dumps(record))
    (where / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (where / "mix.yaml").write_text(_fences("yaml")[0], "utf-8")
    return where


def _run(line: str):
    from evals.cli.main import main
    from uniar.cli.main import cli

    program, *arguments = shlex.split(line)
    return CliRunner().invoke({"uniar": cli, "uniar-eval": main}[program], arguments)


def test_the_five_commands_run_as_written(folder, monkeypatch):
    monkeypatch.chdir(folder)
    lines = _fences("bash")[0].splitlines()
    assert len(lines) == 5
    told = []
    for line in lines:
        ran = _run(line)
        assert ran.exit_code == 0, (line, ran.output, ran.exception)
        told.append(ran.output)
    assert "mine: 66.7% of the draws, 40 records read, none broken" in told[0]
    assert "codes: 40 images, 40 encoded now, 0 broken records" in told[1]
    log = [json.loads(row) for row in (folder / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    assert log[-1]["step"] == 20 and log[-1]["n_bit"] > 0
    assert Image.open(folder / "star.png").size == (64, 64)
    results = json.loads((folder / "measured" / "results.json").read_text("utf-8"))
    assert results["profile"] == "mini" and results["headline"]["coverage"] == 1.0
    assert not results["model"]["bundled"]

    # The same command again has nothing left to do, and other settings are refused.
    assert "going on after step 20" in _run(lines[2]).output
    from uniar import UniARError

    refused = _run(lines[2] + " --set train.lr=0.5")
    assert isinstance(refused.exception, UniARError) and "this run was started with" in str(refused.exception)


def test_a_broken_record_is_told_with_its_line(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a star", "image": "nowhere.png"}\n{"promt": "x"}\n', "utf-8")
    (tmp_path / "mix.yaml").write_text("datasets:\n  - {name: bad, path: bad.jsonl}\n", "utf-8")
    ran = _run("uniar data check mix.yaml")
    assert ran.exit_code == 1
    assert "bad.jsonl:1" in ran.stderr and "bad.jsonl:2" in ran.stderr
    assert "1 format" in ran.stdout and "1 missing" in ran.stdout
