"""Numbers of prompts: from a run alone, from a pair, and what they rest on."""

from __future__ import annotations

import numpy as np
import pytest

from evals.analysis.power import of_run
from evals.errors import DataError
from evals.stats import power


def draws(chances, repeats, rng):
    return {"a": (rng.random((len(chances), repeats)) < chances[:, None]).astype(float).tolist()}


def test_a_run_alone_tells_what_equal_models_would_differ_by(verdicts):
    rng = np.random.default_rng(0)
    chances = rng.beta(1, 1, 3000)
    found = of_run(verdicts(draws(chances, 4, rng)))
    # Two draws of each of four outputs: 2 E[p (1 - p)] / 4, where E[p (1 - p)] is 1/6 for even chances.
    assert found.variance == pytest.approx(2 / 6 / 4, rel=0.05)
    assert found.effect == 0.02 and found.needed == power.needed(found.variance, 0.02)
    pair = of_run(verdicts(draws(chances, 4, rng)), verdicts(draws(chances, 4, rng)))
    assert pair.variance == pytest.approx(found.variance, rel=0.1) and pair.basis.startswith("paired differences")


def test_the_numbers_hang_together(verdicts):
    rng = np.random.default_rng(1)
    found = of_run(verdicts(draws(rng.beta(1, 1, 200), 2, rng)), effect=0.05, wanted=0.9, alpha=0.01)
    data = found.to_json()
    assert power.achieved(found.variance, data["detectable"], 200, alpha=0.01) == pytest.approx(0.9)
    assert data["prompts_needed"] > 200 and data["achieved_power"] < 0.9
    # With that many outputs a prompt the same prompts are enough.
    again = data["repeats_needed"]
    floor = found.variance - found.within
    assert power.detectable(floor + found.within * 2 / again, 200, alpha=0.01, power=0.9) <= 0.05
    assert power.detectable(floor + found.within * 2 / (again - 1), 200, alpha=0.01, power=0.9) > 0.05


def test_what_prompts_really_differ_in_no_outputs_can_mend(verdicts):
    moved = np.array([[1.0, 1.0]] * 30 + [[0.0, 0.0]] * 30)
    other = np.array([[0.0, 0.0]] * 15 + [[1.0, 1.0]] * 15 + [[1.0, 1.0]] * 15 + [[0.0, 0.0]] * 15)
    found = of_run(verdicts({"a": moved.tolist()}), verdicts({"a": other.tolist()}))
    assert found.within == 0.0 and found.repeats_needed is None and found.needed > 60


def test_one_output_a_prompt_tells_nothing_alone(verdicts):
    single = verdicts({"a": [[1.0], [0.0]] * 40})
    with pytest.raises(DataError, match="one output a prompt"):
        of_run(single)
    assert of_run(single, verdicts({"a": [[0.0], [0.0]] * 40})).repeats_needed is None
    with pytest.raises(DataError, match="expected a mean of scores"):
        of_run(verdicts({"a": [[1.0, 0.0]] * 9}, known=0.9))


def test_the_effect_is_two_points_of_the_scale(verdicts):
    rng = np.random.default_rng(2)
    assert of_run(verdicts({"a": (1 + 4 * rng.random((40, 2))).tolist()}, scale=(1.0, 5.0))).effect == pytest.approx(0.08)
