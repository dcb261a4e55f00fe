"""Use of codes, worked by hand and against plain counting; images without codes; mixed tokenizers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from evals.errors import DataError
from evals.scorers import code_rules as rules
from evals.scorers.codes import CodesScorer
from evals.types import Outcome, Output, Sample


def _items(images: list[np.ndarray | None]):
    for k, codes in enumerate(images):
        output = Output(sample_id=f"s{k}", task="t", repeat=0, seed=0, outcome=Outcome.OK, codes="x")
        yield Sample(sample_id=f"s{k}", task="t", prompt=""), output, None, None, codes


def _measure(images: list[np.ndarray | None], seed: int = 0):
    return {(m.name, m.task): m for m in CodesScorer(roles={}).measure(_items(images), seed=seed)}


def test_hand_worked_level() -> None:
    CodesScorer(roles={}).canary()
    # Two tokens of two patches; level 0: bit 0 copies bit 1 (one bit of shared information), bit 2 is dead.
    level = np.array([[[0, 0, 1], [1, 1, 1]], [[0, 0, 1], [1, 1, 1]]], dtype=np.uint8)
    found = _measure([level[:, None]])
    values = {name: metric.value for (name, _), metric in found.items()}
    assert values == {
        "bit_entropy": pytest.approx(2 / 3),
        "dead_bits": 1.0,
        "pair_information": pytest.approx(1 / 3),
        "distinct_codes": 0.5,
        "perplexity": pytest.approx(2.0),
    }
    assert {task for _, task in found} == {"level0"}


@pytest.mark.parametrize("bits", [1, 5, 64, 70])
def test_random_codes_against_plain_counting(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small merges, so that the table of distinct codes is put together from parts.
    monkeypatch.setattr(rules, "MERGE", 16)
    rng = np.random.default_rng(bits)
    images = [(rng.random((6, 2, 4, bits)) < rng.uniform(0.1, 0.9, size=bits)).astype(np.uint8) for _ in range(5)]
    found = _measure(images)
    for level in range(2):
        rows = np.concatenate([image[:, level].reshape(-1, bits) for image in images])
        p = rows.mean(axis=0)
        entropy = np.mean([-sum(q * np.log2(q) for q in (share, 1 - share) if q > 0) for share in p])
        counts = np.array(list(Counter(map(bytes, rows)).values())) / len(rows)
        pairs = []
        for i in range(bits):
            for j in range(i):
                joint = np.array([np.mean((rows[:, i] == a) & (rows[:, j] == b)) for a in (0, 1) for b in (0, 1)]).reshape(2, 2)
                outer = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
                pairs.append((joint[joint > 0] * np.log2(joint[joint > 0] / outer[joint > 0])).sum())
        got = {name: metric.value for (name, task), metric in found.items() if task == f"level{level}"}
        assert got["bit_entropy"] == pytest.approx(entropy)
        assert got["dead_bits"] == sum(share in (0, 1) for share in p)
        assert got["distinct_codes"] == len(counts) / len(rows)
        assert got["perplexity"] == pytest.approx(2 ** -(counts * np.log2(counts)).sum())
        assert got["pair_information"] == pytest.approx(np.mean(pairs) if pairs else 0.0, abs=1e-12)


def test_bit_entropy_has_an_interval_over_images_that_the_seed_fixes() -> None:
    rng = np.random.default_rng(0)
    images = [(rng.random((8, 1, 4, 6)) < rng.uniform(0.2, 0.8)).astype(np.uint8) for _ in range(12)]
    one, again, other = (_measure(images, seed)[("bit_entropy", "level0")] for seed in (0, 0, 1))
    assert one.low < one.value < one.high and (one.low, one.high) == (again.low, again.high) != (other.low, other.high)
    assert (one.n, one.n_samples, one.unit, one.kind) == (12, 12, "bits", "set")


def test_outputs_without_codes_are_counted() -> None:
    codes = np.random.default_rng(0).integers(0, 2, (4, 1, 4, 3)).astype(np.uint8)
    metric = _measure([codes, None, codes])[("bit_entropy", "level0")]
    assert (metric.n, metric.n_expected, metric.outcomes) == (2, 3, {"ok": 2, "not_applicable": 1})
    none = _measure([None, None])
    assert [(name, m.value, m.n, m.n_expected) for (name, _), m in none.items()] == [("bit_entropy (no codes)", None, 0, 2)]
    assert _measure([]) == {}


def test_codes_of_two_tokenizers_refuse() -> None:
    one, other = np.zeros((4, 1, 4, 3), np.uint8), np.zeros((4, 2, 4, 3), np.uint8)
    with pytest.raises(DataError, match="got 2 levels of 3 bits; expected 1 of 3"):
        _measure([one, other])
