"""The small, fast form of benchmarks/stats_coverage.py: what intervals and tests promise, with fixed seeds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from evals.stats import errors, permutation, power

_spec = importlib.util.spec_from_file_location("stats_coverage", Path(__file__).parents[3] / "benchmarks" / "stats_coverage.py")
simulation = importlib.util.module_from_spec(_spec)
# Dataclasses look their module up by name while the class body runs.
sys.modules["stats_coverage"] = simulation
_spec.loader.exec_module(simulation)
GENEVAL = simulation.WORLDS[0]


def test_intervals_hold_the_truth_in_95_of_100():
    rng, held = np.random.default_rng(11), {-0.02: 0, 0.0: 0}
    for truth in held:
        world = simulation.World("w", (40, 60), 2, fall=-truth)
        for _ in range(1000):
            low, high = errors.paired_spread(simulation.draw(world, rng), span=1.0).interval()
            held[truth] += low <= truth <= high
    # Two standard errors of 2,000 draws are one point.
    assert 0.94 <= sum(held.values()) / 2000 <= 0.965


def test_equal_runs_raise_false_alarms_at_alpha_or_under():
    rng, world = np.random.default_rng(12), simulation.World("w", (40, 60), 2)
    tails = [permutation.label_swap(simulation.draw(world, rng), rng=rng, count=199) for _ in range(1000)]
    for side in ("both", "lower", "upper"):
        assert sum(getattr(tail, side) <= 0.05 for tail in tails) / 1000 <= 0.05 + 2 * (0.05 * 0.95 / 1000) ** 0.5


def test_a_fall_as_large_as_the_margin_passes_with_alpha_at_most():
    rng, world, passed = np.random.default_rng(13), simulation.World("w", (150, 150), 2, fall=0.05), 0
    for _ in range(1000):
        passed += errors.paired_spread(simulation.draw(world, rng), span=1.0).bound(0.05) > -0.05
    assert 0.02 <= passed / 1000 <= 0.05 + 2 * (0.05 * 0.95 / 1000) ** 0.5


def test_a_planted_fall_is_caught_at_the_n_that_power_states():
    rng = np.random.default_rng(14)
    pilot = simulation.draw(simulation.World("pilot", (300, 300), 2), rng)
    n = power.needed(errors.variance_per_prompt(pilot, span=1.0), 0.06, strata=2)
    world, caught = simulation.World("w", (n // 2, n // 2), 2, fall=0.06), 0
    for _ in range(400):
        caught += permutation.label_swap(simulation.draw(world, rng), rng=rng, count=199).lower <= 0.05
    assert caught / 400 == pytest.approx(0.8, abs=0.05)
