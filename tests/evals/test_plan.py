"""Seeds and limits of a plan."""

from __future__ import annotations

from evals.plan import item_seed, take
from evals.types import Sample


def test_seeds_are_63_bit_distinct_and_fixed():
    seeds = {item_seed(run, f"s{i}", r) for run in range(3) for i in range(50) for r in range(4)}
    assert len(seeds) == 600 and all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds).bit_length() >= 60
    # A recorded value: changing the rule changes every published number.
    assert item_seed(0, "a-000", 0) == 887004807660685004


def test_id_and_repeat_cannot_be_confused():
    assert item_seed(0, "a", 11) != item_seed(0, "a1", 1) and item_seed(1, "0a", 0) != item_seed(10, "a", 0)


def test_limit_keeps_every_task():
    samples = [Sample(sample_id=f"{t}{i}", task=t, prompt="p") for i in range(3) for t in "ab"]
    assert [s.sample_id for s in take(samples, 1, dataset="d")] == ["a0", "b0"]
    assert len(take(samples, None, dataset="d")) == 6 == len(take(samples, 99, dataset="d"))
