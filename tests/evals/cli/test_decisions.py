"""`uniar-eval compare`, `gate`, `baseline`, `power`, from outside: numbers, exit codes, refusals, files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from evals.cli.main import main

DATA = Path(__file__).parents[2] / "data" / "harness"


def call(*arguments, code=0):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout if code in (0, 1, 3, 4) and result.stdout else result.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders of painters: good, poor, rewritten prompts, half-finished, another seed."""
    from evals.run import Interrupted, run_suite

    where = tmp_path_factory.mktemp("runs")
    for name in ("ranked.yaml", "ranked_plugins.py", "toy.yaml", "toy_plugins.py"):
        shutil.copy(DATA / name, where / name)

    def run(name, model, suite="ranked.yaml", **options):
        run_suite(str(where / suite), model=model, out=where / name, report=False, **options)

    run("good", "painter:skill=0.8;name=good")
    run("again", "painter:skill=0.8;name=good")
    run("poor", "painter:skill=0.4;name=poor")
    run("rewritten", "painter:skill=0.8;name=good", profile="rewritten")
    run("failed", "painter:skill=0.8;name=good;fail=round_one-003")
    run("draws", "painter:skill=0.8;name=draws")
    run("seed", "painter:skill=0.8;name=good", seed=1)
    run("judged", "painter:skill=0.8;name=good", settings=["score[0].threshold=100"])
    run("hot", "painter:skill=0.8;name=good", settings=["generate.temperature=0.5"])
    with pytest.raises(Interrupted):
        run("half", "toy:interrupt=b-003", suite="toy.yaml")
    run("toy", "toy", suite="toy.yaml")
    return where


def test_compare_tells_numbers_that_agree_with_the_runs(runs):
    found = json.loads(call("compare", runs / "good", runs / "poor", runs / "again", "--json"))
    for other, name in zip(found["others"], ("poor", "again"), strict=True):
        heads = [json.loads((runs / each / "results.json").read_text())["headline"]["value"] for each in ("good", name)]
        assert [other["overall"]["first"], other["overall"]["second"]] == pytest.approx(heads)
        assert other["overall"]["pairs"] == 120 and other["overall"]["prompts"] == 60
    poor, same = (other["overall"] for other in found["others"])
    assert poor["high"] < 0 and poor["p"] <= 0.001 and poor["won"] + poor["lost"] + poor["tied"] == 120
    assert same["delta"] == 0 and same["p"] == 1.0 and same["tied"] == 120
    told = call("compare", runs / "good", runs / "poor")
    assert "round_one" in told and "95% interval" in told and "overall is the headline, macro_over_tasks." in told


def test_equal_calls_give_equal_numbers(runs):
    assert call("compare", runs / "good", runs / "poor", "--json") == call("compare", runs / "good", runs / "poor", "--json")


@pytest.mark.parametrize(
    "other, told",
    [
        ("rewritten", "protocol.name: ranked-short in the first, ranked-rewritten in the second"),
        ("judged", "score[0].threshold: nothing in the first, 100 in the second"),
        ("seed", "seed: 0 in the first, 1 in the second (--across-seeds pairs by prompt alone)"),
        ("toy", "suite: ranked in the first, toy in the second"),
    ],
)
def test_unlike_runs_are_refused_by_both(runs, other, told):
    assert told in call("compare", runs / "good", runs / other, code=2)
    if other != "toy":
        assert told in call("gate", runs / other, "--baseline", runs / "good", code=3)


def test_seeds_and_sampling_may_differ_when_told(runs):
    assert "Seeds 0 and 1: pairs share the prompt, not the draw." in call("compare", runs / "good", runs / "seed", "--across-seeds")
    assert "generate.temperature: 1.0 in the first, 0.5 in the second" in call("compare", runs / "good", runs / "hot")


def test_exit_codes_of_the_gate(runs, tmp_path):
    assert call("gate", runs / "again", "--baseline", runs / "good").splitlines()[-1] == "PASS (exit code 0)"
    assert "REGRESSION" in call("gate", runs / "poor", "--baseline", runs / "good", code=1)
    # Improvement passes; other draws of an equal model are too few to tell.
    assert "PASS" in call("gate", runs / "good", "--baseline", runs / "poor")
    assert "prompts would decide" in call("gate", runs / "draws", "--baseline", runs / "good", code=4)
    assert "round_one: 2 generation_error of 60" in call("gate", runs / "failed", "--baseline", runs / "good", code=3)
    for wrong in (["--margin", "ranked.overall"], ["--margin", "ranked.nothing=0.1"], ["--alpha", "0"], ["--margin", "ranked.overall=-1"]):
        call("gate", runs / "good", "--baseline", runs / "poor", *wrong, code=2)
    call("gate", runs / "good", code=2)
    call("gate", tmp_path / "nowhere", "--baseline", runs / "good", code=2)


def test_a_half_finished_run_exits_3(runs, tmp_path):
    told = call("gate", runs / "half", "--baseline", runs / "toy", "--junit", tmp_path / "g.xml", "--markdown", tmp_path / "g.md", code=3)
    assert "INCOMPLETE (exit code 3)" in told and "of 36 outputs are finished and none is scored" in told
    assert '<error type="incomplete"' in (tmp_path / "g.xml").read_text() and "Incomplete" in (tmp_path / "g.md").read_text("utf-8")


def test_the_gate_says_the_same_of_a_run_and_of_its_baseline_file(runs, tmp_path):
    call("baseline", "save", runs / "good", "--out", tmp_path / "b" / "good.json")
    from_run, from_file = (
        json.loads(call("gate", runs / "poor", "--baseline", each, "--margin", "ranked.*=0.1", "--json", code=1))
        for each in (runs / "good", tmp_path / "b" / "good.json")
    )
    assert from_run["checks"] == from_file["checks"] and from_run["tasks"] == from_file["tasks"]
    assert [check["metric"] for check in from_file["checks"]] == ["ranked.overall", "ranked.round_one", "ranked.round_two"]


def test_baseline_verbs(runs, tmp_path):
    path = tmp_path / "good.json"
    assert "headline: " in call("baseline", "save", runs / "good", "--out", path)
    assert "a file that is there" in call("baseline", "save", runs / "poor", "--out", path, code=2)
    before = json.loads(call("baseline", "show", path, "--json"))
    assert (before["suite"], before["prompts"], before["outputs"], before["scored"]) == ("ranked", 60, 120, 120)
    assert "protocol.name" in call("baseline", "update", runs / "rewritten", path, code=2)
    assert "generation_error" in call("baseline", "update", runs / "failed", path, code=2)
    assert json.loads(call("baseline", "show", path, "--json")) == before
    told = call("baseline", "update", runs / "poor", path)
    assert f"Renewed: {path}" in told and "against it: poor" in told
    assert json.loads(call("baseline", "show", path, "--json"))["model"] == "poor"
    call("baseline", "save", runs / "rewritten", "--out", path, "--force")
    assert json.loads(call("baseline", "show", path, "--json"))["protocol"] == "ranked-rewritten"
    assert "expected a baseline" in call("baseline", "show", runs / "good" / "samples.jsonl", code=2)


def test_power_tells_the_n_that_the_gate_would_need(runs):
    alone = json.loads(call("power", runs / "good", "--json"))
    assert alone["effect"] == 0.02 and alone["prompts"] == 60 and alone["prompts_needed"] > 1000 > 60
    assert alone["detectable"] > 0.05 and alone["achieved_power"] < 0.3
    pair = json.loads(call("power", runs / "poor", "--baseline", runs / "good", "--effect", alone["detectable"], "--json"))
    assert pair["basis"] == "paired differences to good" and 20 < pair["prompts_needed"] < 400
    assert "prompts for 0.02 with 80% power" in call("power", runs / "good")
    assert "protocol.name" in call("power", runs / "rewritten", "--baseline", runs / "good", code=2)


def test_set_numbers_have_no_pairs(tmp_path, monkeypatch):
    for name in ("judged.yaml", "judged_plugins.py"):
        shutil.copy(DATA / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    text = (
        Path("judged.yaml")
        .read_text()
        .replace("scorer: grey", "scorer: green")
        .replace("value: score, headline: mean, values: [strict]", "value: green")
    )
    Path("judged.yaml").write_text(text)
    for name in ("one", "two"):
        call("run", "judged.yaml", "--model", "lighten", "--out", name, "--no-report")
    assert "a number of the whole set; expected a score of each output" in call("compare", "one", "two", code=2)


def test_one_run_is_no_comparison(runs):
    assert "expected at least two" in call("compare", runs / "good", code=2)
