"""Runs with a judge, from outside: the ledger, its replay, scores added later and their agreement, many questions at once."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from evals.store.layout import Layout

DATA = Path(__file__).parent.parent / "data" / "harness"


@pytest.fixture
def judged(tmp_path, monkeypatch):
    for name in ("judged.yaml", "judged_plugins.py"):
        shutil.copy(DATA / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(cli, *arguments, out="out", code=0):
    result = cli("run", "judged.yaml", "--model", "lighten", "--out", out, *arguments)
    assert result.exit_code == code, result.output
    return json.loads(Path(out, "results.json").read_text())


def scores(out, name="grey"):
    return [json.loads(row) for row in (Path(out) / "scores" / f"{name}.jsonl").read_text().splitlines()]


def ledger(out="out"):
    return [json.loads(row) for row in Layout(Path(out)).ledger.read_text().splitlines()]


def test_a_judged_run_keeps_sources_replies_and_all_values(judged, cli):
    found = run(cli)
    assert found["headline"]["value"] == pytest.approx((10 + 50 + 90 + 130 + 170 + 210) / 6 / 255)
    strict = next(m for m in found["metrics"] if m["name"] == "strict")
    assert strict["kind"] == "value" and strict["value"] == pytest.approx((10 + 90 + 170) / 3 / 255)
    assert strict["outcomes"] == {"ok": 3, "judge_unparsed": 3}
    assert next(m for m in found["metrics"] if m["kind"] == "set")["value"] == 10
    assert len(ledger()) == 6 and sorted(path.name for path in Path("out/sources").iterdir()) == [f"s{i}.png" for i in range(6)]
    judge = found["judges"]["judge"]
    assert (judge["replies"], judge["cost"], judge["prompt_tokens"], judge["versions"]) == (6, 3.0, 18, {"toy 1": 6})
    assert judge["identity"] == [{"judge": "toy", "model": "toy-0"}]


def test_the_replay_opens_no_socket_and_gives_the_same_scores_to_the_last_bit(judged, cli, monkeypatch):
    first = run(cli)
    before = scores("out")

    def no(*arguments, **settings):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", no)
    # Another folder, so that no kept verdict can answer for the ledger.
    again = run(cli, "--role", "judge=replay:out", out="again")
    assert scores("again") == before
    assert [again[key] for key in ("headline", "metrics")] == [first[key] for key in ("headline", "metrics")]
    assert Layout(Path("again")).ledger.read_bytes() == Layout(Path("out")).ledger.read_bytes()
    shutil.rmtree("out/scores")
    run(cli, "--role", "judge=replay")
    assert scores("out") == before


def test_a_changed_image_misses_loudly_in_a_replay(judged, cli):
    run(cli)
    shutil.rmtree("out/scores")
    from PIL import Image

    Image.new("RGB", (4, 4), (7, 7, 7)).save("out/sources/s2.png")
    found = run(cli, "--role", "judge=replay", code=3)
    assert found["status"] == "incomplete" and found["headline"]["n"] == 5
    assert "no reply to this question" in found["reasons"][0] and "changed: the image" in found["reasons"][0]
    assert [row["outcome"] for row in scores("out")].count("judge_error") == 1


def test_a_replay_of_a_run_without_a_ledger_is_refused(judged, cli):
    Path("empty").mkdir()
    result = cli("run", "judged.yaml", "--model", "lighten", "--out", "out", "--role", "judge=replay:empty")
    assert result.exit_code == 3 and "judge/ledger.jsonl" in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_a_mute_judge_costs_the_item_only_and_the_next_call_asks_for_it_alone(judged, cli):
    found = run(cli, "--set", "roles.judge.mute=lighten 3", code=3)
    assert found["outcomes"] == {"ok": 5, "judge_error": 1} and found["headline"]["n"] == 5
    assert "judge toy: got no reply" in found["reasons"][0]
    assert len(ledger()) == 6
    run(cli, "--set", "roles.judge.mute=lighten 3", code=3)
    assert len(ledger()) == 7


@pytest.mark.parametrize(
    ("option", "told"),
    [("judge", "ROLE=NAME"), ("jugde=toy", 'Did you mean "judge"'), ("judge=nobody", "no such judge"), ("detector=replay", "judge or ocr")],
)
def test_a_wrong_role_is_told_in_one_sentence(judged, cli, option, told):
    result = cli("run", "judged.yaml", "--model", "lighten", "--out", "out", "--role", option)
    assert result.exit_code == 2 and told in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert not Path("out").exists()


def test_many_questions_are_asked_at_once_and_scores_keep_the_order(judged, cli):
    plain = run(cli)
    at_once = ("--set", "roles.judge.concurrency=3", "--set", "roles.judge.sleep=0.05")
    found = run(cli, *at_once, out="fast")
    assert scores("fast") == scores("out") and found["headline"] == plain["headline"]
    # The judge is a plugin file of its own suite: its class is found through the loaded module.
    import sys

    most = max(m.ToyJudge.most_at_once for n, m in sys.modules.items() if n.startswith("uniar_eval_local_") and hasattr(m, "ToyJudge"))
    assert most == 3


def test_another_judge_adds_scores_with_their_agreement(judged, cli):
    run(cli)
    before = scores("out")
    result = cli("rescore", "out", "--suite", "judged.yaml", "--set", "roles.judge.darker=20", "--name", "darker")
    assert result.exit_code == 0, result.output
    assert scores("out") == before and len(scores("out", "darker")) == 6
    found = json.loads(Path("out/results.json").read_text())
    (record,) = found["added"]
    (agreed,) = [row for row in record["agreement"] if row["value"] == "score"]
    assert (agreed["with"], agreed["n"], agreed["spearman"], agreed["kendall"], agreed["equal"]) == ("grey", 6, 1.0, 1.0, 0.0)
    assert agreed["difference"] == pytest.approx(-20 / 255) and 0.9 < agreed["alpha"] < 1
    assert agreed["alpha_low"] <= agreed["alpha"] <= agreed["alpha_high"]
    assert "alpha 0.9" in result.stdout
    page = Path("out/report/index.html").read_text()
    assert "Scored again" in page and "darker" in page
    assert len(ledger()) == 12
    # Going on with the run keeps what was added.
    assert [row["name"] for row in run(cli)["added"]] == ["darker"]
    # The name is taken by these settings; the same call again asks nobody.
    assert cli("rescore", "out", "--suite", "judged.yaml", "--set", "roles.judge.darker=20", "--name", "darker").exit_code == 0
    assert len(ledger()) == 12
    other = cli("rescore", "out", "--suite", "judged.yaml", "--set", "roles.judge.darker=3", "--name", "darker")
    assert other.exit_code == 2 and "Give another --name" in other.stderr


def test_another_scorer_is_added_to_a_run(toy, cli):
    assert cli("run", "toy.yaml", "--model", "toy", "--out", "out", "--no-report").exit_code == 0
    result = cli("score", "out", "--suite", "toy.yaml", "--scorer", "toy", "--set", "score[0].threshold=200", "--name", "light")
    assert result.exit_code == 0, result.output
    (record,) = json.loads(Path("out/results.json").read_text())["added"]
    assert record["scorer"] == {"scorer": "toy", "threshold": 200}
    first, second = scores("out", "toy"), scores("out", "light")
    equal = sum(a["values"] == b["values"] for a, b in zip(first, second, strict=True)) / len(first)
    assert record["agreement"][0]["equal"] == pytest.approx(equal) and 0 < equal < 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rescore", "out", "--suite", "toy.yaml"), "got no change"),
        (("rescore", "out", "--set", "score[0].threshold=1"), "--suite FILE"),
        (("rescore", "out", "--suite", "toy.yaml", "--scorer", "ty", "--set", "score[0].threshold=1"), 'Did you mean "toy"'),
        (("score", "out", "--suite", "toy.yaml", "--scorer", "tox"), "no such scorer"),
        (("score", "nowhere", "--scorer", "toy"), "nowhere"),
    ],
)
def test_a_wrong_rescoring_is_told_in_one_sentence(toy, cli, arguments, told):
    assert cli("run", "toy.yaml", "--model", "toy", "--out", "out", "--no-report").exit_code == 0
    before = sorted(Path("out").rglob("*"))
    result = cli(*arguments)
    assert result.exit_code in (2, 3) and told in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert sorted(Path("out").rglob("*")) == before


def test_how_a_judge_is_reached_is_not_what_is_measured(judged, cli):
    first = run(cli)
    kept = len(ledger())
    # Another pace is the same run: it goes on in the folder, and nothing is asked again.
    again = run(cli, "--set", "roles.judge.concurrency=2")
    assert again["headline"] == first["headline"] and len(ledger()) == kept
    other = cli("run", "judged.yaml", "--model", "lighten", "--out", "out", "--set", "roles.judge.darker=1")
    assert other.exit_code == 3 and "roles.judge.darker" in other.stderr


def test_a_suite_that_measures_the_whole_set_has_a_set_metric_on_top(judged, cli):
    alone = ("--set", "score=[{scorer: green}]", "--set", "report={value: green, metrics: []}", "--set", "roles={}")
    found = run(cli, *alone)
    assert found["status"] == "complete" and found["headline"]["value"] == pytest.approx((10 + 50 + 90 + 130 + 170 + 210) / 6)
    assert (found["headline"]["kind"], [m["name"] for m in found["metrics"]]) == ("headline", ["green", "n"])
    # A metric of one task is counted against that task's plan.
    assert (found["metrics"][0]["task"], found["metrics"][0]["n"], found["metrics"][0]["n_expected"]) == ("a", 3, 3)
    # An output that is lacking is lacking in the set's numbers too.
    Path("pictures/5.png").unlink()
    shutil.rmtree("out")
    Path("judged_plugins.py").write_text(Path("judged_plugins.py").read_text().replace('.save(self.root / f"{i}.png")', '.save(self.root / f"{i % 5}.png")'))
    found = run(cli, *alone, code=3)
    assert found["headline"]["n"] == 5 and found["headline"]["n_expected"] == 6 and found["headline"]["coverage"] == pytest.approx(5 / 6)
    assert found["headline"]["outcomes"] == {"ok": 5, "generation_error": 1} == found["outcomes"]
    wrong = run(cli, *alone, "--set", "report.value=greem", out="other", code=3)
    assert "expected one of green, n" in wrong["reasons"][-1] and wrong["headline"]["value"] is None
    assert Path("other/report/index.html").exists()


def test_a_scorer_of_sets_is_added_to_a_run(judged, cli):
    run(cli)
    result = cli("score", "out", "--suite", "judged.yaml", "--scorer", "green")
    assert result.exit_code == 0 and "the whole set scored" in result.stdout, result.output
    (record,) = json.loads(Path("out/results.json").read_text())["added"]
    assert [m["name"] for m in record["metrics"]] == ["green", "green", "n"] and record["agreement"] == []
