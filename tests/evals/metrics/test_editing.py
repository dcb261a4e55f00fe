"""Item mean and type mean apart; a type without a score leaves GEdit's average without a value."""

from __future__ import annotations

import pytest

from evals.metrics.aggregate import Row
from evals.metrics.editing import gedit_average, gedit_intersection, imgedit_item_mean, imgedit_type_mean
from evals.types import Outcome

ASK = {"task": "*", "kind": "headline", "seed": 0}


def row(task: str, value: float | None, *, number: int = 0, n_types: int = 2, both: bool = True) -> Row:
    outcome = Outcome.JUDGE_UNPARSED if value is None else Outcome.OK
    return Row(f"{task}{number}", task, (), outcome, value, metadata={"n_types": n_types, "Intersection_exist": both})


def test_items_and_types_weigh_differently() -> None:
    rows = [row("add", 5.0), row("add", 4.0, number=1), row("add", 3.0, number=2), row("style", 2.0), row("style", None, number=1)]
    items, types = imgedit_item_mean(rows, value="score", **ASK), imgedit_type_mean(rows, value="score", **ASK)
    assert (items.name, items.value, items.n, items.n_expected) == ("mean of items", 3.5, 4, 5)
    assert (types.name, types.value, types.unit) == ("mean of types", 3.0, "points")
    assert items.outcomes == {"ok": 4, "judge_unparsed": 1}
    assert imgedit_type_mean([*rows, row("action", None)], value="score", **ASK).value is None


def test_full_marks_have_an_interval_on_the_judges_scale() -> None:
    for metric, rows in (
        (imgedit_item_mean, [row("add", 5.0, number=i) for i in range(12)]),
        (gedit_average, [row(t, 10.0) for t in "ab"]),
    ):
        found = metric(rows, value="overall", **ASK)
        assert found.value == found.high and found.low is not None and 1.0 < found.low < found.value


def test_every_type_of_the_benchmark_is_needed() -> None:
    rows = [row("a", 4.0), row("a", 8.0, number=1), row("b", 3.0)]
    found = gedit_average(rows, value="overall", **ASK)
    assert (found.value, found.n) == (4.5, 3) and found.low < 4.5 < found.high
    assert gedit_average([*rows[:2], row("b", None)], value="overall", **ASK).value is None
    # A type that was never planned poisons the average as well, as NaN does in the official table.
    assert gedit_average([row("a", 4.0, n_types=3), row("b", 3.0, n_types=3)], value="overall", **ASK).value is None


def test_the_intersection_stands_apart() -> None:
    rows = [row("a", 4.0), row("a", 8.0, number=1, both=False), row("b", 3.0, both=False)]
    average, *types = gedit_intersection(rows, value="overall", **ASK)
    assert average.value is None and average.n_expected == 1
    assert [(m.task, m.value, m.n_expected) for m in types] == [("a", 4.0, 1), ("b", None, 0)]
    average, *_ = gedit_intersection([row("a", 4.0), row("b", 2.0)], value="overall", **ASK)
    assert average.value == pytest.approx(3.0)
