"""How codes are spread, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from uniar.quantizers import build

QUARTER = 0.25 * 2 + 0.75 * math.log2(4 / 3)
"""Entropy of a bit that is set in a quarter of the samples."""


@pytest.mark.parametrize(
    "codes, entropy, used",
    [
        ([0, 0, 1, 2], 1.5, 3 / 4),
        ([3, 3, 3, 3, 3], 0.0, 1 / 4),
        # Two samples can hold two codes at most.
        ([0, 1], 1.0, 1.0),
        ([[0, 1, 2, 3], [3, 2, 1, 0]], 2.0, 1.0),
        (2, 0.0, 1.0),
    ],
)
def test_one_symbol(codes, entropy, used):
    assert build("vq", dim=3, size=4).usage(torch.tensor(codes)) == (entropy, entropy, used)


@pytest.mark.parametrize("kind", ["bsq", "lfq"])
def test_two_bits(kind):
    codes = torch.tensor([[[0, 0], [0, 0]], [[0, 1], [1, 1]]], dtype=torch.uint8)
    usage = build(kind, dim=2).usage(codes)
    assert usage.entropy == 1.5
    assert usage.marginal == pytest.approx((QUARTER + 1) / 2, abs=1e-12)
    assert usage.used == 3 / 4


def test_bits_that_repeat_each_other_have_full_marginals_and_little_entropy():
    codes = torch.tensor([[0] * 64, [1] * 64] * 3, dtype=torch.uint8)
    assert build("bsq", dim=64).usage(codes) == (1.0, 1.0, 2 / 6)


def test_stages_are_symbols():
    codes = torch.tensor([[0, 5], [0, 6], [1, 5], [1, 6]])
    assert build("residual", dim=3, depth=2, size=8).usage(codes) == (2.0, 1.0, 1.0)


def test_levels_are_symbols():
    codes = torch.tensor([[0, 1], [1, 1], [2, 1], [3, 1]])
    assert build("fsq", dim=2, levels=(4, 3)).usage(codes) == (2.0, 1.0, 1.0)


def test_no_samples_and_no_symbols_are_nan():
    assert all(math.isnan(v) for v in build("bsq", dim=2).usage(torch.zeros(0, 2, dtype=torch.uint8)))
    assert all(math.isnan(v) for v in build("continuous", dim=2).usage(torch.zeros(3, 2)))
