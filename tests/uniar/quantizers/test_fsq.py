"""Levels: bounds, rounding by hand, every code reachable, even use."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from uniar.quantizers import build


def test_rounding_by_hand():
    # Five levels: tanh(0.5) * 1.998 = 0.92 -> 1, tanh(1) * 1.998 = 1.52 -> 2; h = 2.
    # Four levels: -2 ... 1 over h = 2; 0 stays 0.
    quantizer = build("fsq", dim=2, levels=(5, 4))
    out = quantizer(torch.tensor([[0.5, 0.0], [1.0, 10.0], [-10.0, -10.0], [0.0, 0.4]]))
    assert out.codes.dtype == torch.int64
    assert out.codes.tolist() == [[3, 2], [4, 3], [0, 0], [2, 2]]
    assert out.vectors.tolist() == [[0.5, 0.0], [1.0, 0.5], [-1.0, -1.0], [0.0, 0.0]]


@pytest.mark.parametrize("levels", range(2, 18))
def test_all_levels_are_reached_and_no_other(levels):
    quantizer = build("fsq", dim=1, levels=(levels,))
    out = quantizer(torch.linspace(-20, 20, 20001)[:, None])
    assert out.codes.unique().tolist() == list(range(levels))
    assert (out.codes.diff(dim=0) >= 0).all()
    assert out.vectors.min() == -1.0
    assert out.vectors.max() == ((levels - 1) // 2) / (levels // 2)
    assert quantizer(torch.zeros(1, 1)).vectors.item() == 0.0


def test_codes_to_vectors_to_codes():
    quantizer = build("fsq", dim=3, levels=(8, 5, 3))
    codes = torch.tensor(list(itertools.product(range(8), range(5), range(3))))
    vectors = quantizer.decode(codes)
    assert len(vectors.unique(dim=0)) == 120
    assert torch.equal(quantizer.nearest(vectors), codes)


def test_bounded_values_are_at_most_half_a_step_from_their_level():
    quantizer = build("fsq", dim=3, levels=(8, 5, 3))
    z = 3 * torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    error = (quantizer.bound(z) - quantizer(z).vectors).abs()
    assert (error <= quantizer.refinement + 1e-6).all()


@pytest.mark.parametrize("levels", [3, 4, 5, 8])
def test_normal_inputs_use_the_levels_evenly(levels):
    quantizer = build("fsq", dim=4, levels=(levels,) * 4)
    usage = quantizer.usage(quantizer.encode(torch.randn(4000, 4, generator=torch.Generator().manual_seed(1))))
    assert usage.marginal > 0.95 * math.log2(levels)


def test_settings_are_not_state():
    assert build("fsq", dim=2, levels=(5, 4)).state_dict() == {}
