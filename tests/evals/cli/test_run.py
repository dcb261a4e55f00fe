"""`uniar-eval run`, from outside: what it prints, writes, refuses and survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAIN = "from evals.cli.main import main; main()"


def spawn(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def load(path: Path) -> dict:
    return json.loads((path / "results.json").read_text())


def journal(path: Path) -> list[dict]:
    return [json.loads(row) for row in (path / "journal.jsonl").read_text().splitlines()]


def run(cli, *arguments: str, out: str = "out"):
    return cli("run", "toy.yaml", "--out", out, "--no-report", *arguments)


def test_run_writes_the_whole_folder(toy, cli):
    result = run(cli, "--model", "toy")
    assert result.exit_code == 0, result.output
    out = toy.parent / "out"
    found = load(out)
    assert (found["schema_version"], found["status"], found["title"]) == (1, "complete", "Toy")
    assert found["headline"]["kind"] == "headline" and found["headline"]["n"] == 36
    tasks = [m for m in found["metrics"] if m["kind"] == "task"]
    assert [m["task"] for m in tasks] == ["a", "b", "c"]
    assert found["headline"]["value"] == pytest.approx(sum(m["value"] for m in tasks) / 3)
    assert {m["task"] for m in found["metrics"] if m["kind"] == "slice"} == {"*", "seen", "unseen"}
    assert all(m["coverage"] == 1.0 and sum(m["outcomes"].values()) == m["n_expected"] for m in found["metrics"])
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["resolved_suite"]["generate"]["guidance_scale"] == 2.5
    assert {"versions", "git", "hardware", "created", "fingerprint", "model", "seed", "n_expected"} <= set(manifest)
    assert len(list(out.glob("images/*/*.png"))) == len(list(out.glob("codes/*/*.safetensors"))) == 36
    assert len((out / "scores" / "toy.jsonl").read_text().splitlines()) == 36
    assert result.stdout.splitlines()[-1].startswith("Next: uniar-eval ")
    assert "95% interval" in result.stdout and "36/36" in result.stdout


def test_default_folder_is_named_by_its_settings(toy, cli):
    first = cli("run", "toy.yaml", "--model", "toy", "--no-report", "--json", "--limit", "1")
    again = cli("run", "toy.yaml", "--model", "toy", "--no-report", "--json", "--limit", "1")
    other = cli("run", "toy.yaml", "--model", "toy", "--no-report", "--json", "--limit", "1", "--seed", "1")
    paths = [json.loads(r.stdout)["path"] for r in (first, again, other)]
    assert paths[0] == paths[1] != paths[2]
    assert paths[0].startswith("runs/toy-official-toy-")


def test_limit_is_per_task_and_marked(toy, cli):
    run(cli, "--model", "toy", "--limit", "2")
    found = load(toy.parent / "out")
    assert found["limited"] is True and found["limit"] == 2 and "first 2 prompts" in found["notice"]
    assert [m["n_expected"] for m in found["metrics"] if m["kind"] == "task"] == [4, 4, 4]
    assert "--limit" not in found["next"]


def test_bundled_model_says_so(toy, cli):
    result = run(cli, "--model", "toy:bundled=1", "--profile", "mini")
    found = load(toy.parent / "out")
    assert found["bundled_model"] is True and found["profile"] == "mini"
    assert found["title"] == "Toy-mini (bundled checkpoint toy)"
    assert "Not comparable with published Toy numbers." in found["notice"]
    assert "Mini profile" in "\n".join(result.stdout.splitlines()[:3])


def test_batch_size_changes_nothing(toy, cli):
    run(cli, "--model", "toy", out="one")
    run(cli, "--model", "toy", "--set", "generate.batch_size=7", out="two")
    assert [row["image_sha256"] for row in journal(toy.parent / "one")] == [
        row["image_sha256"] for row in journal(toy.parent / "two")
    ]
    assert {**load(toy.parent / "one"), "seconds": 0} == {**load(toy.parent / "two"), "seconds": 0}
    # Not part of the identity either: the folder accepts it.
    assert run(cli, "--model", "toy", "--set", "generate.batch_size=3", out="one").exit_code == 0


def test_killed_run_is_finished_without_redoing(toy, cli):
    here = toy.parent
    # Relative --out, so that both runs have the same command and only the folder above differs.
    reference = here / "reference"
    reference.mkdir()
    for name in ("toy.yaml", "toy_plugins.py"):
        (reference / name).write_bytes((here / name).read_bytes())
    options = "toy:sleep=0.04;log=calls.txt"
    process = spawn("run", "toy.yaml", "--model", options, "--out", "out", "--no-report", cwd=here)
    path = here / "out" / "journal.jsonl"
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_bytes().count(b"\n") >= 9) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with path.open("ab") as file:
        file.write(b'{"sample_id": "c-0')
    rows = [json.loads(row) for row in path.read_bytes().split(b"\n")[:-1]]
    kept = [f"{row['sample_id']}/{row['repeat']:05d}" for row in rows]
    assert 9 <= len(kept) < 36
    (here / "calls.txt").unlink()
    assert run(cli, "--model", options).exit_code == 0
    again = (here / "calls.txt").read_text().splitlines()
    assert not set(kept) & set(again) and len(kept) + len(again) == 36
    os.chdir(reference)
    assert run(cli, "--model", options).exit_code == 0
    assert {**load(here / "out"), "seconds": 0} == {**load(reference / "out"), "seconds": 0}
    assert (here / "out/scores/toy.jsonl").read_bytes() == (reference / "out/scores/toy.jsonl").read_bytes()


def test_changed_or_lost_image_is_made_again(toy, cli):
    run(cli, "--model", "toy:log=calls.txt")
    (toy.parent / "out/images/a-000/00000.png").write_bytes(b"not it")
    (toy.parent / "out/images/b-001/00001.png").unlink()
    (toy.parent / "calls.txt").unlink()
    before = load(toy.parent / "out")
    result = run(cli, "--model", "toy:log=calls.txt")
    assert (toy.parent / "calls.txt").read_text().split() == ["a-000/00000", "b-001/00001"]
    assert "2 finished outputs have a missing or changed file" in result.stdout
    assert {**load(toy.parent / "out"), "seconds": 0} == {**before, "seconds": 0}


def test_damaged_middle_line_is_told_with_its_number(toy, cli):
    run(cli, "--model", "toy", "--profile", "mini")
    path = toy.parent / "out" / "journal.jsonl"
    rows = path.read_bytes().split(b"\n")
    rows[1] = rows[1][:20]
    path.write_bytes(b"\n".join(rows))
    result = run(cli, "--model", "toy", "--profile", "mini")
    assert result.exit_code == 3 and "out/journal.jsonl:2: got a damaged line" in result.stderr


def test_other_settings_are_refused_with_the_difference(toy, cli):
    run(cli, "--model", "toy")
    result = run(cli, "--model", "toy", "--set", "generate.guidance_scale=2")
    assert result.exit_code == 3
    assert "out/manifest.json: generate.guidance_scale: got 2.0; this run was started with 2.5." in result.stderr, (
        result.stderr
    )
    for extra in (["--seed", "4"], ["--limit", "1"]):
        result = run(cli, "--model", "toy", *extra)
        assert result.exit_code == 3 and f"{extra[0][2:]}: got {extra[1]}; this run was started with" in result.stderr
    result = run(cli, "--model", "toy:sha=other")
    assert result.exit_code == 3 and "model.sha256" in result.stderr


def test_folder_with_foreign_files_is_refused(toy, cli):
    (toy.parent / "out").mkdir()
    (toy.parent / "out" / "thesis.txt").write_text("mine")
    result = run(cli, "--model", "toy")
    assert result.exit_code == 3 and "thesis.txt" in result.stderr
    assert not (toy.parent / "out" / "manifest.json").exists()


def test_second_process_is_refused(toy, cli):
    process = spawn("run", "toy.yaml", "--model", "toy:sleep=0.3", "--out", "out", "--no-report", cwd=toy.parent)
    path = toy.parent / "out" / "journal.jsonl"
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    result = run(cli, "--model", "toy:sleep=0.3")
    process.kill()
    process.communicate()
    assert result.exit_code == 3 and f"in use by process {process.pid}" in result.stderr


def test_interrupt_says_how_to_go_on(toy, cli):
    result = run(cli, "--model", "toy:interrupt=b-002")
    assert result.exit_code == 130
    assert "16 of 36 outputs are finished and kept in out" in result.stderr
    assert "Go on with: uniar-eval run toy.yaml --model toy:interrupt=b-002 --out out" in result.stderr.replace("'", "")
    assert not (toy.parent / "out" / "results.json").exists()


def test_one_bad_item_does_not_take_its_batch(toy, cli):
    result = run(cli, "--model", "toy:fail=a-001")
    assert result.exit_code == 3
    found = load(toy.parent / "out")
    assert found["status"] == "incomplete"
    assert found["outcomes"] == {"ok": 34, "generation_error": 2}
    assert found["headline"]["value"] is not None and found["headline"]["coverage"] == pytest.approx(34 / 36)
    bad = [row for row in journal(toy.parent / "out") if row["outcome"] != "ok"]
    assert {row["error"] for row in bad} == {"the prompt is too long"}
    assert "Incomplete: a: 2 generation_error of 12. Most often: the prompt is too long\n" in result.stdout
    scores = [json.loads(row) for row in (toy.parent / "out/scores/toy.jsonl").read_text().splitlines()]
    assert [s["reason"] for s in scores if s["outcome"] == "generation_error"] == ["the prompt is too long"] * 2


def test_failed_items_are_tried_again(toy, cli):
    run(cli, "--model", "toy:fail=a-001;log=calls.txt")
    (toy.parent / "calls.txt").unlink()
    assert run(cli, "--model", "toy:log=calls.txt").exit_code == 0
    assert (toy.parent / "calls.txt").read_text().split() == ["a-001/00000", "a-001/00001"]
    run(cli, "--model", "toy", out="straight")
    # The commands differ, and so does the next step; the numbers must not.
    drop = {"seconds": 0, "next": 0}
    assert {**load(toy.parent / "out"), **drop} == {**load(toy.parent / "straight"), **drop}


@pytest.mark.parametrize("source", ["batchfail=1", "short=1"])
def test_batch_that_fails_as_a_whole_is_done_one_by_one(toy, cli, source):
    assert run(cli, "--model", f"toy:{source}").exit_code == 0
    assert load(toy.parent / "out")["outcomes"] == {"ok": 36}


def test_missing_outputs_are_counted_and_a_lost_task_has_no_value(toy, cli):
    for name in ("a-000", "a-001"):
        result = run(cli, "--model", f"toy:missing={name}", "--profile", "mini", out=name)
        assert result.exit_code == 3
        assert load(toy.parent / name)["outcomes"] == {"ok": 3, "missing": 1}
    result = run(cli, "--model", "toy:missing=a-000", "--profile", "mini", "--limit", "1")
    found = load(toy.parent / "out")
    assert found["headline"]["value"] is None and found["status"] == "incomplete"
    assert "the task and the overall value are absent" in found["reasons"][0]
    assert found["metrics"][0]["value"] is None and found["metrics"][1]["value"] is not None


def test_scorer_error_is_an_outcome_not_a_zero(toy, cli):
    assert run(cli, "--model", "toy", "--set", "score[0].explode=b-000").exit_code == 3
    found = load(toy.parent / "out")
    assert found["outcomes"] == {"ok": 34, "scorer_error": 2}
    scores = [json.loads(row) for row in (toy.parent / "out/scores/toy.jsonl").read_text().splitlines()]
    assert len(scores) == 36
    assert {s["reason"] for s in scores if s["outcome"] == "scorer_error"} == {"ValueError: cannot judge this"}


def test_value_that_is_not_finite_is_a_scorer_error(toy, cli):
    assert run(cli, "--model", "toy", "--set", "score[0].nan=true").exit_code == 3
    assert load(toy.parent / "out")["outcomes"] == {"scorer_error": 36}


@pytest.mark.parametrize("canary", ["wrong", "broken"])
def test_canary_stops_before_anything_is_written(toy, cli, canary):
    result = run(cli, "--model", "toy:log=calls.txt", "--set", f"score[0].canary={canary}")
    assert result.exit_code == 3 and "scorer toy" in result.stderr
    assert not (toy.parent / "out").exists() and not (toy.parent / "calls.txt").exists()


def test_absent_weights_are_told_before_generating(toy, cli):
    result = run(cli, "--model", "toy:log=calls.txt", "--set", "roles.detector.weights=none")
    assert result.exit_code == 2 and "fetch toy.bin and put it in ./weights" in result.stderr
    assert not (toy.parent / "calls.txt").exists()


def test_scores_are_reused_and_made_again_when_settings_change_nothing(toy, cli):
    run(cli, "--model", "toy", "--profile", "mini")
    cache = toy.parent / "out/scores/cache/toy.jsonl"
    first, scores = cache.read_bytes(), (toy.parent / "out/scores/toy.jsonl").read_bytes()
    run(cli, "--model", "toy", "--profile", "mini")
    assert cache.read_bytes() == first
    cache.unlink()
    run(cli, "--model", "toy", "--profile", "mini")
    assert (toy.parent / "out/scores/toy.jsonl").read_bytes() == scores


@pytest.mark.parametrize("ids", ["same", "bad"])
def test_bad_sample_ids_are_refused(toy, cli, ids):
    result = run(cli, "--model", "toy", "--set", f"data.ids={ids}")
    assert result.exit_code == 2 and "toy: sample_id: got" in result.stderr


def distribution(folder: Path, groups: str) -> None:
    """An installed package, by its metadata alone and one module."""
    info = folder / "site" / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(groups)
    (folder / "site" / "other_verb.py").write_text(
        "import click\n@click.command()\ndef hello():\n    click.echo('hello there')\n"
    )


def test_installed_packages_add_plugins_and_verbs(toy):
    here = toy.parent
    distribution(
        here,
        "[uniar_eval.commands]\nhello = other_verb:hello\n[uniar_eval.scorers]\nbad = other_gone:Scorer\n",
    )

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(here / "site"), str(ROOT)))
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-c", MAIN, *arguments]
        return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)

    assert "From package other 1.0." in call("--help").stdout and call("hello").stdout == "hello there\n"
    assert "is broken, because ModuleNotFoundError" in call("ls", "scorers").stdout


def test_no_reporter_is_said_in_one_line(toy, cli):
    result = cli("run", "toy.yaml", "--model", "toy", "--out", "out", "--profile", "mini")
    assert result.exit_code == 0
    page = toy.parent / "out" / "report" / "index.html"
    assert page.exists() == ("Report: " in result.stdout)
    assert page.exists() or "no reporter is installed" in result.stdout
