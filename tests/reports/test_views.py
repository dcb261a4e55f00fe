"""What the page says: verdicts, counts and words."""

import json

import pytest

from evals.types import Outcome, Output, Sample, Score
from reports import text, views


def sample(name="s", **fields):
    return Sample(sample_id=name, task="colors", prompt="a photo of a red circle", **fields)


def output(name="s", repeat=0, outcome=Outcome.OK, **fields):
    return Output(sample_id=name, task="colors", repeat=repeat, seed=2**62 + 1, outcome=outcome, **fields)


def score(name="s", repeat=0, outcome=Outcome.OK, **fields):
    return Score(sample_id=name, task="colors", repeat=repeat, scorer="geneval", outcome=outcome, **fields)


def gallery(samples, outputs, scores, expected):
    return views.gallery(samples, outputs, scores, {}, value="correct", n_expected=expected)


@pytest.mark.parametrize(
    ("made", "scores", "expected"),
    [
        (None, [], "missing"),
        (output(outcome=Outcome.GENERATION_ERROR, error="x."), [], "generation_error"),
        (output(), [], "missing"),
        (output(), [score(outcome=Outcome.SCORER_ERROR)], "scorer_error"),
        (output(), [score(values={"other": 1.0})], "not_applicable"),
        (output(), [score(values={"correct": 1.0})], "correct"),
        (output(), [score(values={"correct": 0.0})], "incorrect"),
        (output(), [score(values={"correct": 0.5})], "partial"),
    ],
)
def test_verdict(made, scores, expected):
    assert views.verdict(made, scores, "correct") == expected


def test_every_planned_output_is_in_the_gallery_once():
    data = gallery([sample("a"), sample("b")], [output("a"), output("a", repeat=1), output("a")], [], 4)
    keys = [(data["samples"][item["s"]][0], item["r"]) for item in data["items"]]
    assert keys == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert data["items"][2]["e"] == "The run has not made this output yet."


def test_an_output_outside_the_plan_is_shown_too():
    data = gallery([sample("a")], [output("a"), output("stray")], [], 1)
    assert [row[0] for row in data["samples"]] == ["a", "stray"]


def test_seeds_survive_javascript():
    assert gallery([sample()], [output()], [], 1)["items"][0]["seed"] == str(2**62 + 1)


def test_detections_are_the_best_and_the_rest_is_counted():
    boxes = [{"class": "c", "score": at / 1000, "box": [0, 0, 1, 1], "color": "red"} for at in range(150)]
    verdict = score(values={"correct": 1.0}, evidence={"detections": boxes, "k": 1})
    item = gallery([sample()], [output()], [verdict], 1)["items"][0]
    assert len(item["d"]) == views.MAX_DETECTIONS and item["dn"] == 150
    assert item["d"][0] == ["c", 0.149, "red", 0.0, 0.0, 1.0, 1.0]
    assert item["sc"][0]["e"] == "k: 1"


def test_a_mini_run_says_mini_whatever_its_suite_calls_it():
    assert views.title({"title": "GenEval", "profile": "mini"}) == "GenEval-mini"
    assert views.title({"title": "GenEval-mini", "profile": "mini"}) == "GenEval-mini"
    assert views.title({"title": "GenEval", "profile": "official"}) == "GenEval"


def test_coverage_never_rounds_up_to_full():
    assert text.coverage_text(9_999 / 10_000) == "99.9%"
    assert text.coverage_text(1.0) == "100%"
    assert views.metric_row({"n": 1, "n_expected": 4})["coverage"] == "25.0%"


def test_a_metric_without_value_has_no_number():
    row = views.metric_row({"value": None, "n": 0, "n_expected": 8, "outcomes": {"missing": 8, "ok": 0}})
    assert (row["value"], row["interval"]) == ("not scored", "none")
    assert row["outcomes"] == [{"label": "missing", "count": "8", "ok": False}]


def test_direction_overrides_and_control_characters_are_made_visible():
    shown = text.visible("a\u202eb\x00c\ud800\nd")
    assert shown == "a\u27e6U+202E\u27e7b\u27e6U+0000\u27e7c\u27e6U+D800\u27e7\nd"
    assert text.visible("x" * 30_000).endswith("(30,000 characters in all)")


def test_the_command_is_quoted_and_the_manifests_own_wins():
    manifest = {"suite": "geneval", "profile": "mini", "model": {"id": "my model; rm"}, "seed": 3, "limit": None}
    expected = "uniar-eval run suites/geneval.yaml --profile mini --model 'my model; rm' --seed 3"
    assert views.command(manifest) == expected
    assert views.command(manifest | {"command": ["uniar-eval", "run", "a b"]}) == "uniar-eval run 'a b'"


@pytest.mark.parametrize(
    "suite", [{"report": {"value": "strict"}}, {"profiles": {"mini": {"report": {"value": "strict"}}}}]
)
def test_the_suite_names_the_value_that_decides(suite):
    assert views.value_name({"profile": "mini", "resolved_suite": suite}, {}) == "strict"
    assert views.value_name({}, {"metrics": [{"kind": "task", "name": "soft"}]}) == "soft"


def test_the_gallery_is_json():
    data = gallery([sample(tags=("seen",), target="red")], [output(text="red", error="e.")], [], 1)
    assert json.loads(json.dumps(data)) == data
