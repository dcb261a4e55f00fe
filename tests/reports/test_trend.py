"""The trend page: steps, refusals, the drawing, and the page in Chromium."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from evals.cli.main import main
from reports.lines import Point, line_chart

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).parent / "boards.py")
helpers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(helpers)


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["trend", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A training run with evaluations of two suites' profiles, the last one unfinished."""
    where = tmp_path_factory.mktemp("trend")
    for step, skill in ((1000, 0.6), (500, 0.2), (1500, 0.9)):
        helpers.run(where, "checkpoint", skill, out=f"train-step-9/evaluations/step-{step:08d}-ranked/run")
        helpers.run(where, "checkpoint", skill, out=f"train-step-9/evaluations/step-{step:08d}-mini/run", profile="mini")
    helpers.run(where, "checkpoint", 0.9, out="train-step-9/evaluations/step-00002000-ranked/run", fail="round_one-003")
    return where / "runs" / "train-step-9"


def test_a_training_run_gives_a_section_a_suite_in_order_of_steps(training, tmp_path):
    found = json.loads(call(training, "--out", tmp_path / "trend.html", "--json"))
    assert found["page"] == str(tmp_path / "trend.html")
    sections = {section["protocol"]: section["points"] for section in found["sections"]}
    assert [point["step"] for point in sections["ranked-mini"]] == [500, 1000, 1500]
    points = sections["ranked-short"]
    assert [point["step"] for point in points] == [500, 1000, 1500, 2000]
    assert [point["complete"] for point in points] == [True, True, True, False]
    for point in points:
        run = training / "evaluations" / f"step-{point['step']:08d}-ranked" / "run"
        head = json.loads((run / "results.json").read_text())["headline"]
        assert point["numbers"]["overall"] == [head["value"], head["low"], head["high"]]


def test_runs_without_a_step_keep_their_order(tmp_path):
    runs = [helpers.run(tmp_path, name, skill) for name, skill in (("zebra", 0.5), ("ape", 0.7))]
    found = json.loads(call(*runs, "--out", tmp_path / "t.html", "--json"))
    assert [point["model"] for point in found["sections"][0]["points"]] == ["zebra", "ape"]
    assert "in the order given" in (tmp_path / "t.html").read_text("utf-8")


def test_the_models_id_may_tell_the_step(tmp_path):
    runs = [helpers.run(tmp_path, f"sft-checkpoint-{step}", 0.5) for step in (90, 1100)]
    found = json.loads(call(*reversed(runs), "--out", tmp_path / "t.html", "--json"))
    assert [point["step"] for point in found["sections"][0]["points"]] == [90, 1100]


def test_unlike_runs_are_refused_with_the_difference(tmp_path):
    one = helpers.run(tmp_path, "a", 0.5)
    other = helpers.run(tmp_path, "b", 0.5, settings=["generate.repeats=1"])
    told = call(one, other, "--out", tmp_path / "t.html", code=2)
    assert "generate.repeats: 2 in the first, 1 in the second" in told and not (tmp_path / "t.html").exists()


def test_a_folder_is_no_page(training, tmp_path):
    assert "expected a file name" in call(training, "--out", tmp_path, code=2)


# ---- the drawing -------------------------------------------------------------------------------------------------------


def draw(*points):
    return ElementTree.fromstring(str(line_chart(points, title="<i>", ident="x", height=218)))


def test_points_and_whiskers_stand_at_their_values():
    chart = draw(
        Point(label="0", at=0, value=0.0), Point(label="50", at=50, value=0.5, low=0.25, high=1.0), Point(label="200", at=200, value=1.0)
    )
    points = [(node.get("cx"), float(node.get("cy"))) for node in chart.iter("circle")]
    # 200 pixels from 0 (bottom, 218) to 1 (top, 18); the second point is a quarter of the way along 6% to 94%.
    assert points == [("12.00%", 218.0), ("33.00%", 118.0), ("96.00%", 18.0)]
    whisker = next(node for node in chart.iter("line") if node.get("class") == "whisker")
    assert (float(whisker.get("y1")), float(whisker.get("y2"))) == (168.0, 18.0)


def test_a_missing_value_is_a_gap_and_an_unfinished_one_is_open():
    chart = draw(
        Point(label="1", at=1, value=0.4), Point(label="2", at=2, value=None), Point(label="3", at=3, value=0.5),
        Point(label="4", at=4, value=0.6, complete=False),
    )  # fmt: skip
    assert sum(node.get("class") == "line" for node in chart.iter("line")) == 1
    assert [node.get("class") for node in chart.iter("circle")] == ["point", "point", "open"]
    told = "".join(chart.itertext())
    assert "2: no value. 3: 0.500. 4: 0.600, incomplete." in told


def test_one_point_no_points_and_equal_values_can_be_drawn():
    assert [node.get("cx") for node in draw(Point(label="1", at=1, value=0.4)).iter("circle")] == ["54.00%"]
    assert "No value yet." in "".join(draw(Point(label="1", at=1, value=None)).itertext())
    assert len(list(draw(*(Point(label=str(i), at=i, value=0.5) for i in range(3))).iter("circle"))) == 3


def test_labels_are_escaped_and_few():
    chart = draw(*(Point(label=f"<b>{i}", at=i, value=i / 40) for i in range(40)))
    marks = [node.text for node in chart.iter("text") if node.get("text-anchor")]
    assert len(marks) <= 7 and marks[-1] == "<b>39"


# ---- the page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_the_page_fits_and_has_no_serious_fault(chromium, training, tmp_path, width, scheme):
    hostile = helpers.run(tmp_path, helpers.HOSTILE, 0.5, out="hostile <img src=x> \u202e step-7")
    call(training, hostile, "--out", tmp_path / "t.html")
    noise = []
    view = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True).new_page()
    view.on("console", lambda message: noise.append(message.text))
    view.on("pageerror", lambda error: noise.append(str(error)))
    view.goto((tmp_path / "t.html").as_uri())
    assert view.evaluate(helpers.OVERFLOW) <= 0
    assert helpers.faults(view) == [] and noise == []
    assert view.evaluate("window.pwned") is None and "<script>window.pwned" in view.locator("main").inner_text()
    assert view.locator("svg.trend").count() == 6
    view.context.close()
