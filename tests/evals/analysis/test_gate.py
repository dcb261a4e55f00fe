"""The gate: each verdict, what hides behind gaps, the n that would decide, and what it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evals.analysis import gate as gates
from evals.analysis.gate import gate
from evals.analysis.power import of_run
from evals.errors import DataError


def two(right, tasks="ab", n=60, repeats=2):
    """The first `right` prompts of each task are right."""
    return {task: [[float(at < right)] * repeats for at in range(n)] for task in tasks}


def draw(rng, n, fall=0.0, tasks="a"):
    return {task: (rng.random((n, 2)) < 0.6 - fall).astype(float).tolist() for task in tasks}


def test_a_clear_fall_is_a_regression_and_a_gain_passes(verdicts):
    found = gate(verdicts(two(30)), verdicts(two(40)))
    assert (found.verdict, found.exit_code, found.n_lost) == ("regression", 1, 40)
    assert found.worse_tasks == ("a", "b") and found.lost[0] == "a-0030/0"
    check = found.checks[0]
    assert check.metric == "toy.overall" and check.margin == 0.02 and check.p_worse <= 0.001
    assert check.delta.delta == pytest.approx(-1 / 6)
    assert gate(verdicts(two(40)), verdicts(two(30))).exit_code == 0


def test_lower_can_be_better(verdicts):
    scale = {"scale": (1.0, 0.0)}
    assert gate(verdicts(two(40), **scale), verdicts(two(30), **scale)).verdict == "regression"
    assert gate(verdicts(two(30), **scale), verdicts(two(40), **scale)).verdict == "pass"


def test_a_fall_inside_the_margin_passes_and_the_margin_is_of_the_scale(verdicts):
    run, base = verdicts(two(59, n=1000)), verdicts(two(60, n=1000))
    assert gate(run, base, margins={"toy.overall": 0.01}).verdict == "pass"
    assert gate(run, base, margins={"toy.overall": 0.001}).verdict != "pass"
    five = verdicts(two(5), scale=(1.0, 5.0))
    assert gates.resolve_margins({}, five) == {"overall": pytest.approx(0.08)}


def test_too_few_prompts_are_inconclusive_and_n_decides(verdicts):
    rng = np.random.default_rng(0)
    base, run = verdicts(draw(rng, 50, tasks="ab")), verdicts(draw(rng, 50, tasks="ab"))
    found = gate(run, base)
    assert (found.verdict, found.exit_code) == ("inconclusive", 4)
    check = found.checks[0]
    delta = check.delta
    effect = max(delta.delta + 0.02, -delta.delta)
    # By hand: (z_alpha + z_power)^2 V / effect^2, nearly.
    by_hand = (1.6449 + 0.8416) ** 2 * delta.spread.error**2 * 100 / effect**2
    assert check.prompts_needed == pytest.approx(by_hand, rel=0.02) and check.prompts_needed > 100
    assert f"{check.prompts_needed:,} prompts would decide" in check.reason


def test_no_difference_among_few_prompts_is_no_certainty(verdicts):
    same = two(30, n=40, repeats=1)
    found = gate(verdicts(same), verdicts(same))
    assert found.verdict == "inconclusive"
    # 0.98^n <= 0.05 from n = 149 on.
    assert found.checks[0].prompts_needed >= math.log(0.05) / math.log(0.98)
    assert found.checks[0].bound <= -(1 - 0.05 ** (1 / 80))
    many = two(300, n=400, repeats=1)
    assert gate(verdicts(many), verdicts(many)).verdict == "pass"


def test_the_same_outputs_pass_whatever_the_number(verdicts):
    same = {"outputs_sha256": "ab"}
    assert gate(verdicts(two(3, n=5), **same), verdicts(two(3, n=5), **same)).verdict == "pass"
    # Equal outputs that are scored otherwise are no such case.
    assert gate(verdicts(two(1, n=60), **same), verdicts(two(40, n=60), **same)).verdict == "regression"


def test_unfinished_and_unlike_runs_are_not_judged(verdicts):
    good = verdicts(two(30))
    for pair in (
        (verdicts(two(30), status="incomplete", reasons=("a: 3 missing of 60.",)), good),
        (good, verdicts(two(3), status="incomplete")),
    ):
        found = gate(*pair)
        assert (found.verdict, found.exit_code, found.checks) == ("incomplete", 3, ())
    assert "a: 3 missing of 60." in gate(verdicts(two(1), status="incomplete", reasons=("a: 3 missing of 60.",)), good).reasons[0]
    other = verdicts(two(30), measurement={"suite": "toy", "protocol.name": "rewritten", "limit": None})
    found = gate(other, good)
    assert (found.verdict, found.exit_code) == ("invalid", 3)
    assert "protocol.name: toy in the first, rewritten in the second" in found.reasons[0]
    assert "seed" in gate(verdicts(two(30), seed=1), good).reasons[0]
    assert gate(verdicts(two(30, n=400), seed=1), verdicts(two(30, n=400)), across_seeds=True).verdict == "pass"


def test_a_gap_cannot_hide_a_regression(verdicts):
    base, values = verdicts(two(200, n=400, repeats=1)), two(200, n=400, repeats=1)
    for at in range(60):
        values["a"][at][0] = "refused"
    found = gate(verdicts(values), base)
    assert (found.verdict, found.exit_code) == ("invalid", 3)
    assert "60 outputs have a score in the baseline and none in the run (60 refused)" in found.reasons[0]
    assert "the verdict would be regression" in found.reasons[0]
    # Two of 800 cannot turn the verdict.
    values = two(200, n=400, repeats=1)
    values["a"][0][0] = values["b"][0][0] = "refused"
    found = gate(verdicts(values), base)
    assert found.verdict == "pass" and any("2 outputs are no pairs" in reason for reason in found.reasons)


def test_margins_name_the_suites_numbers(verdicts):
    base = verdicts(two(30))
    assert gates.resolve_margins({"toy.b": 0.1, "toy.overall": 0.3}, base) == {"overall": 0.3, "b": 0.1}
    assert set(gates.resolve_margins({"toy.*": 0.1}, base)) == {"overall", "a", "b"}
    for name, told in [
        ("toy.overal", 'Did you mean "toy.overall"'),
        ("other.a", "expected one of toy.overall"),
        ("overall", "toy.overall"),
    ]:
        with pytest.raises(DataError, match=told):
            gates.resolve_margins({name: 0.1}, base)
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(DataError, match="at least 0"):
            gates.resolve_margins({"toy.a": bad}, base)


def test_a_gated_task_decides_and_an_ungated_one_is_told(verdicts):
    base, worse = verdicts(two(300, n=400)), two(300, n=400)
    worse["a"] = two(270, n=400)["a"]
    worse["b"] = two(330, n=400)["b"]
    found = gate(verdicts(worse), base, margins={"toy.overall": 0.05})
    assert found.verdict == "pass" and found.worse_tasks == ("a",)
    found = gate(verdicts(worse), base, margins={"toy.overall": 0.05, "toy.a": 0.01})
    assert found.verdict == "regression" and [check.verdict for check in found.checks] == ["pass", "regression"]


def test_checks_are_corrected_by_holm(verdicts):
    rng = np.random.default_rng(5)
    base, run = verdicts(draw(rng, 80, tasks="abcd")), verdicts(draw(rng, 80, 0.08, tasks="abcd"))
    alone = {check.metric: check.p_worse for name in "abcd" for check in gate(run, base, margins={f"toy.{name}": 0.0}).checks}
    together = {check.metric: check.p_worse for check in gate(run, base, margins={"toy.*": 0.0}).checks}
    assert all(together[name] >= alone[name] for name in alone)
    assert any(together[name] > alone[name] for name in alone)


def test_a_planted_fall_is_caught_at_the_n_that_power_states_and_equal_runs_pass_as_stated(verdicts):
    rng, fall = np.random.default_rng(6), 0.1
    stated = of_run(verdicts(draw(rng, 400)), effect=fall)
    size = stated.needed
    assert 120 < size < 400
    codes = {fall: [], 0.0: []}
    for truth, seen in codes.items():
        for _ in range(120):
            seen.append(gate(verdicts(draw(rng, size, truth)), verdicts(draw(rng, size)), margins={"toy.overall": fall}).exit_code)
    # Three standard errors of 120 draws.
    assert codes[fall].count(1) / 120 == pytest.approx(0.8, abs=0.11)
    assert codes[fall].count(0) / 120 <= 0.05 + 0.06
    assert codes[0.0].count(1) / 120 <= 0.05 + 0.06
    assert codes[0.0].count(0) / 120 == pytest.approx(0.8, abs=0.11)


def test_json_is_plain(verdicts):
    import json

    found = gate(verdicts(two(30)), verdicts(two(40)))
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["verdict"] == "regression" and data["exit_code"] == 1 and data["checks"][0]["delta"]["prompts"] == 120
