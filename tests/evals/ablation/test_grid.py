"""Whole grids through the command line: what is shared, what a kill leaves, failures apart, the budget, processes, the files written."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import Result

from evals.ablation import run
from evals.ablation.schema import Cell

FILE = """
ablation: demo
title: Demo & more
question: What does it do?
suite: geneval
profile: mini
limit: 1
set: {generate.repeats: 2}
seeds: [0]
control: plain
cells:
  - {name: plain}
  - {name: two-steps, set: {generate.decoder_steps: 2}}
  - {name: flipped, set: {generate.flip_rate: 0.3}}
"""
CODE = "from evals.cli.main import main; main()"


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory with the file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("demo.yaml").write_text(FILE)
    return tmp_path


def table(out: str = "out") -> dict[str, Any]:
    return json.loads(Path(out, "ablation.json").read_text())


def cell(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["cells"] if one["name"] == name)


def test_only_what_differs_is_made_and_the_second_call_makes_nothing(grid: Path, cli: Callable[..., Result]) -> None:
    done = cli("ablate", "demo.yaml", "--out", "out", "--csv", "t.csv", "--parquet", "t.parquet", "--latex", "t.tex")
    assert done.exit_code == 0, done.output
    found = table()
    made = {one["name"]: one["seeds"][0]["made"] for one in found["cells"]}
    assert made["plain"] == {"written": 12, "codes found": 0, "shown": 12, "images found": 0}
    assert made["two-steps"]["written"] == made["flipped"]["written"] == 0 and made["flipped"]["shown"] == 12
    # The control's run is a run like any other, and equal to one that nobody wrapped.
    plain = cli("run", "geneval", "--limit", "1", "--set", "generate.repeats=2", "--out", "alone", "--no-report")
    assert plain.exit_code == 0
    lines = [Path(folder, "journal.jsonl").read_text().splitlines() for folder in ("alone", "out/cells/plain/0")]
    assert [[json.loads(line)["image_sha256"] for line in part] for part in lines][0] == [json.loads(line)["image_sha256"] for line in lines[1]]
    assert cell(found, "plain")["level"]["value"] == pytest.approx(json.loads(Path("alone/results.json").read_text())["headline"]["value"])
    assert found["complete"] and found["mini"] and cell(found, "flipped")["effect"]["pairs"] == 12
    cost = cell(found, "two-steps")["cost"]
    assert cost["tokens"] == 16 and cost["parameters"] > 1e6 and 0 < cost["show_ms"] < cost["image_ms"]
    assert cost["write_ms"] == cell(found, "plain")["cost"]["write_ms"]
    # The files hold the table.
    rows = list(csv.DictReader(Path("t.csv").read_text().splitlines()))
    assert [row["cell"] for row in rows] == ["plain", "two-steps", "flipped"]
    assert float(rows[2]["delta"]) == pytest.approx(cell(found, "flipped")["effect"]["delta"])
    assert list(pd.read_parquet("t.parquet")["cell"]) == ["plain", "two-steps", "flipped"]
    latex = Path("t.tex").read_text()
    assert r"\begin{tabular}" in latex and r"Demo \& more" in latex and "two-steps &" in latex
    again = cli("ablate", "demo.yaml", "--out", "out", "--json")
    assert again.exit_code == 0
    for one in table()["cells"]:
        assert one["seeds"][0]["made"] == {} or set(one["seeds"][0]["made"].values()) == {0}
    assert [one["level"] for one in table()["cells"]] == [one["level"] for one in found["cells"]]
    assert [one["cost"] for one in table()["cells"]] == [one["cost"] for one in found["cells"]]


def test_a_killed_grid_goes_on_and_repeats_nothing(grid: Path, cli: Callable[..., Result]) -> None:
    command = [sys.executable, "-c", CODE, "ablate", "demo.yaml", "--out", "out"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))
    kept = Path("out/kept/codes")
    end = time.monotonic() + 120
    while time.monotonic() < end and sum(1 for p in kept.rglob("*") if p.is_file() and not p.suffix) < 5:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    before = {path: path.stat().st_mtime_ns for path in Path("out/kept").rglob("*") if path.is_file() and not path.suffix}
    assert 5 <= len([p for p in before if p.parts[2] == "codes"]) <= 12
    done = cli("ablate", "demo.yaml", "--out", "out")
    assert done.exit_code == 0, done.output
    # What was whole when the kill came is the same file still; the rest was made once.
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sum(1 for p in kept.rglob("*") if p.is_file() and not p.suffix) == 12
    assert table()["complete"]


def test_a_cell_that_fails_is_told_apart_and_the_others_stand(grid: Path, cli: Callable[..., Result]) -> None:
    Path("demo.yaml").write_text(FILE + "  - {name: broken, set: {generate.upscale: 9.0}}\n  - {name: odd, set: {generate.temprature: 1}}\n")
    done = cli("ablate", "demo.yaml", "--out", "out")
    assert done.exit_code == 3, done.output
    found = table()
    assert not found["complete"] and [one["status"] for one in found["cells"]] == ["done", "done", "done", "failed", "failed"]
    assert "upscale: got 9.0" in cell(found, "broken")["seeds"][0]["reason"] and cell(found, "broken")["effect"] is None
    assert 'Did you mean "temperature"' in cell(found, "odd")["seeds"][0]["reason"]
    assert "odd" in done.output and "failed: " in done.output


def test_the_budget_ends_between_cells_and_the_same_command_goes_on(grid: Path, cli: Callable[..., Result]) -> None:
    short = cli("ablate", "demo.yaml", "--out", "out", "--max-hours", "0.0000001")
    assert short.exit_code == 3 and {one["status"] for one in table()["cells"]} == {"pending"}
    assert "budget" in cell(table(), "plain")["seeds"][0]["reason"]
    assert cli("ablate", "demo.yaml", "--out", "out").exit_code == 0 and table()["complete"]


def test_processes_give_the_same_table(grid: Path, cli: Callable[..., Result]) -> None:
    assert cli("ablate", "demo.yaml", "--out", "one").exit_code == 0
    # A spawned process imports the main module: the command must be a real one.
    ran = subprocess.run([sys.executable, "-c", CODE, "ablate", "demo.yaml", "--out", "two", "--jobs", "2"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    one, two = table("one"), table("two")
    for a, b in zip(one["cells"], two["cells"], strict=True):
        assert (a["name"], a["level"], a["effect"]) == (b["name"], b["level"], b["effect"])


def test_a_process_that_is_killed_takes_its_cell_and_not_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "measure", dies_on_even_seeds)
    rest = {"suite": "s", "profile": None, "limit": None, "folder": Path("x"), "shared": Path("x"), "device": "cpu", "seconds": None}
    jobs = [run.Job(cell=Cell(name="c"), seed=seed, **rest) for seed in range(4)]
    ended = {job.seed: outcome for job, outcome in run._each(jobs, jobs=2, deadline=None)}
    assert sorted(ended) == [0, 1, 2, 3] and {ended[seed]["status"] for seed in (0, 2)} == {"failed"}
    assert "its process ended" in ended[0]["reason"]


def dies_on_even_seeds(job: run.Job) -> dict[str, Any]:
    """What a worker runs: the kernel's way of ending a process, or an outcome."""
    if job.seed % 2 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"status": "done", "reason": ""}


def test_a_damaged_record_of_the_grid_is_told(grid: Path, cli: Callable[..., Result]) -> None:
    Path("out").mkdir()
    Path("out/grid.json").write_text("{")
    done = cli("ablate", "demo.yaml", "--out", "out")
    assert done.exit_code == 3 and "grid.json: got a file that cannot be read" in done.output


def test_another_grid_or_a_foreign_folder_is_refused(grid: Path, cli: Callable[..., Result]) -> None:
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    foreign = cli("ablate", "demo.yaml", "--out", "full")
    assert foreign.exit_code == 3 and "got a folder with other files (notes.txt)" in foreign.output
    assert cli("ablate", "demo.yaml", "--out", "out", "--max-hours", "0.0000001").exit_code == 3
    Path("demo.yaml").write_text(FILE.replace("flip_rate: 0.3", "flip_rate: 0.4"))
    other = cli("ablate", "demo.yaml", "--out", "out")
    assert other.exit_code == 3 and "cells: got another one than this folder was begun with" in other.output
    listed = cli("ablate", "demo.yaml", "--list")
    assert listed.exit_code == 0 and "plain (control): as the file's settings" in listed.output
    assert cli("ablate", "demo.yaml", "--size", "smal").exit_code == 2
    assert cli("ablate", "demo.yaml", "--smoke", "--size", "mini").exit_code == 2


TRAINED = """
ablation: trained
title: Trained
suite: textvqa
profile: mini
set: {data.questions: 6}
seeds: [0, 1]
control: five
train:
  - recipe: mini-tokenizer
    set: {train.steps: 1, train.batch_size: 2, train.precision: float32, tokenizer.packed_length: 256, fresh: false}
cells:
  - {name: five, train_set: {tokenizer.flip_rate: 0.05}}
  - {name: none, train_set: {tokenizer.flip_rate: 0.0}}
  - {name: again, train_set: {tokenizer.flip_rate: 0.05}, set: {generate.max_new_tokens: 4}}
  - {name: wrong, train_set: {tokenizer.flip_rate: 0.9}}
"""


def test_trainings_are_stages_made_once_by_content(grid: Path, cli: Callable[..., Result]) -> None:
    Path("trained.yaml").write_text(TRAINED)
    done = cli("ablate", "trained.yaml", "--out", "out")
    assert done.exit_code == 3, done.output
    found = table()
    assert [one["status"] for one in found["cells"]] == ["done", "done", "done", "failed"] and found["trained"]
    assert "flip_rate: got 0.9; expected 0 to 0.5" in cell(found, "wrong")["seeds"][0]["reason"]
    # Two seeds, two settings that end; the third cell shares the first one's stages, the fourth never ended.
    records = [json.loads(path.read_text()) for path in Path("out/stages").glob("*/stage.json")]
    assert sorted(record["status"] for record in records) == ["done"] * 4 + ["open"] * 2
    assert cell(found, "five")["cost"]["train_s"] == cell(found, "again")["cost"]["train_s"] > 0
    effect = cell(found, "none")["effect"]
    assert len(effect["by_seed"]) == 2 and effect["pairs"] == 12
    # Each training's curve, the shared ones twice; what never began has none.
    told = {one["name"]: [(c["stage"], c["number"], c["seed"]) for c in one["curves"]] for one in found["cells"]}
    assert told["five"] == [("mini-tokenizer", 0, 0), ("mini-tokenizer", 0, 1)] and told["wrong"] == []
    assert cell(found, "five")["curves"] == cell(found, "again")["curves"] != cell(found, "none")["curves"]
    assert {"loss", "reconstruction"} <= {measure["name"] for measure in cell(found, "five")["curves"][0]["measures"]}
    stamps = {path: path.stat().st_mtime_ns for path in Path("out/stages").glob("*/run/checkpoint/model.safetensors")}
    assert cli("ablate", "trained.yaml", "--out", "out").exit_code == 3
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps and len(stamps) == 4


LANGUAGE = """
ablation: NAME
title: NAME
suite: geneval
profile: mini
limit: 1
set: {generate.repeats: 1, generate.decoder_steps: 2}
seeds: [0]
control: five
train:
  - recipe: mini-language
    set: {train.warmup: 1, train.batch_size: 2, SETTINGS}
cells:
  - {name: five}
  - {name: none, train_set: {language.input_flip_rate: 0.0}}
"""


def language(name: str, settings: str) -> str:
    """The text of a grid of two trainings."""
    return LANGUAGE.replace("NAME", name).replace("SETTINGS", settings)


def test_a_training_whose_grid_was_killed_is_waited_for_and_no_worker_stays(grid: Path, cli: Callable[..., Result]) -> None:
    Path("killed.yaml").write_text(language("killed", "train.steps: 60, train.log_every: 1"))
    child = subprocess.Popen([sys.executable, "-c", CODE, "ablate", "killed.yaml", "--jobs", "2", "--out", "out"], stderr=subprocess.DEVNULL)

    def steps() -> list[list[int]]:
        return [[json.loads(line)["step"] for line in log.read_text().splitlines()] for log in Path("out/stages").glob("*/run/log.jsonl")]

    end = time.monotonic() + 120
    while time.monotonic() < end and len(steps()) < 2:
        time.sleep(0.05)
    workers = [int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()]
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert len(workers) >= 2
    while time.monotonic() < end and any(Path(f"/proc/{pid}").exists() for pid in workers):
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    # The trainings have outlived it and hold their folders.
    lock = next(Path("out/stages").glob("*/stage.lock"))
    with lock.open() as handle, pytest.raises(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    done = cli("ablate", "killed.yaml", "--out", "out")
    assert done.exit_code == 0, done.output
    assert table()["complete"] and steps() == [list(range(1, 61))] * 2


ALSO = """
also:
  - {name: questions, title: Answers, suite: textvqa, set: {data.questions: 6}}
  - {name: hot, suite: geneval, set: {generate.temperature: 1.0}, limit: 2}
"""


def test_what_is_measured_also_has_a_table_and_a_page_and_shares_what_was_made(
    grid: Path, cli: Callable[..., Result], trained_here: list[Path]
) -> None:
    Path("both.yaml").write_text(language("both", "train.steps: 1, data: mix/mini-both.yaml") + ALSO)
    done = cli("ablate", "both.yaml", "--out", "out", "--csv", "t.csv")
    assert done.exit_code == 0, done.output
    main, questions, hot = (table(f"out{rest}") for rest in ("", "/also/questions", "/also/hot"))
    assert main["also"] == ["both.questions", "both.hot"] and questions["title"] == "Answers" and questions["also"] == []
    assert (main["suite"], questions["suite"], hot["suite"]) == ("geneval", "textvqa", "geneval")
    assert cell(questions, "five")["level"]["planned"] == 3 and cell(hot, "five")["level"]["planned"] == 24
    assert cell(hot, "none")["settings"] == {"generate.temperature": 1.0}
    # Two trainings, each made once; every grid tells what they cost.
    assert len(list(Path("out/stages").iterdir())) == 2 and not Path("out/also/questions/stages").exists()
    costs = [cell(found, "none")["cost"]["train_s"] for found in (main, questions, hot)]
    assert costs[0] == costs[1] == costs[2] > 0
    assert all(f"Page: {Path('out', rest, 'ablation.html')}" in done.output for rest in ("", "also/questions", "also/hot"))
    assert [Path(f"t{rest}.csv").is_file() for rest in ("", "-questions", "-hot")] == [True] * 3
    page = Path("out/ablation.html").read_text()
    assert "Also measured" in page and "both.questions" in page


def test_the_budget_holds_for_all_that_is_measured(grid: Path, cli: Callable[..., Result]) -> None:
    Path("demo.yaml").write_text(FILE + ALSO)
    assert cli("ablate", "demo.yaml", "--out", "out", "--max-hours", "0.0000001").exit_code == 3
    assert {one["status"] for one in table("out/also/hot")["cells"]} == {"pending"}


def test_grids_that_share_a_folder_make_nothing_twice(grid: Path, cli: Callable[..., Result]) -> None:
    assert cli("ablate", "demo.yaml", "--out", "one", "--share", "all").exit_code == 0
    assert cli("ablate", "demo.yaml", "--out", "two", "--share", "all").exit_code == 0
    assert not Path("one/kept").exists() and Path("all/kept/codes").is_dir()
    for one, two in zip(table("one")["cells"], table("two")["cells"], strict=True):
        assert one["level"] == two["level"] and set(two["seeds"][0]["made"].values()) <= {0, 12}
        assert two["seeds"][0]["made"]["written"] == two["seeds"][0]["made"]["shown"] == 0


def test_a_mix_that_changed_is_another_training(grid: Path) -> None:
    from evals.ablation.schema import TrainStage
    from evals.ablation.stages import _content

    Path("mix.yaml").write_text("datasets: []")
    stage = TrainStage(recipe="mini-language", settings=('data="mix.yaml"',))
    before = _content(stage)
    assert before == _content(stage) != _content(TrainStage(recipe="mini-language"))
    Path("mix.yaml").write_text("datasets: [1]")
    assert _content(stage) != before
