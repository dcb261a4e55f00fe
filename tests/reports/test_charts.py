"""Bars: positions follow the numbers, labels are escaped, the description says what the drawing shows."""

import re
from xml.etree import ElementTree

from reports.charts import Bar, interval_bars


def draw(*bars, **options):
    return ElementTree.fromstring(str(interval_bars(bars, title="Value per task", **options)))


def test_bar_and_whiskers_stand_at_their_values():
    chart = draw(Bar(label="colors", value=0.8, low=0.7, high=0.95))
    fill = next(node for node in chart.iter("rect") if node.get("class") == "bar-fill")
    whisker = next(node for node in chart.iter("line") if node.get("class") == "whisker")
    assert fill.get("width") == "80.00%"
    assert (whisker.get("x1"), whisker.get("x2")) == ("70.00%", "95.00%")


def test_values_outside_the_unit_interval_stay_inside_the_drawing():
    chart = draw(Bar(label="x", value=1.4, low=-0.2, high=1.9), reference=2.0)
    ends = [float(node.get(key)[:-1]) for node in chart.iter("line") for key in ("x1", "x2")]
    assert min(ends) >= 0 and max(ends) <= 100


def test_an_unscored_task_has_no_bar_and_says_so():
    chart = draw(Bar(label="position", value=None))
    assert not [node for node in chart.iter("rect") if node.get("class") == "bar-fill"]
    assert "not scored" in "".join(chart.itertext())


def test_labels_are_escaped_and_the_description_lists_the_numbers():
    text = str(interval_bars([Bar(label="<b>&", value=0.5, low=0.25, high=0.75)], title="<i>"))
    assert "<b>" not in text and "<i>" not in text
    assert "&lt;b&gt;&amp;: 0.500, 95% interval 0.250 to 0.750." in text


def test_the_accessible_name_refers_to_elements_that_exist():
    chart = draw(Bar(label="a", value=0.1))
    ids = {node.get("id") for node in chart.iter() if node.get("id")}
    assert set(re.split(r"\s+", chart.get("aria-labelledby"))) <= ids
