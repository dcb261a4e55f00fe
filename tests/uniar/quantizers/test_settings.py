"""Mistakes, each told in one sentence."""

from __future__ import annotations

import re

import pytest
import torch

from uniar.errors import ConfigError, InputError
from uniar.quantizers import Quantizer, build


@pytest.mark.parametrize(
    "kind, settings, told",
    [
        ("bqs", {}, "quantizer: got 'bqs'; expected one of bsq, continuous, fsq, lfq, residual, vq. Did you mean 'bsq'?"),
        ("zzz", {}, "quantizer: got 'zzz'; expected one of bsq, continuous, fsq, lfq, residual, vq."),
        (None, {}, "quantizer: got None; expected one of bsq,"),
        ("bsq", {"dim": 0}, "quantizer.dim: got 0; expected a whole number, 1 or more."),
        ("bsq", {"dim": True}, "quantizer.dim: got True; expected a whole number"),
        ("bsq", {"gama": 1}, "got a setting that bsq does not have; expected one of entropy_weight, gamma0, gamma. Did you mean 'gamma'?"),
        ("bsq", {"gamma": "much"}, "quantizer.gamma: got 'much'; expected a number, 0 or more."),
        ("bsq", {"entropy_weight": float("nan")}, "quantizer.entropy_weight: got nan; expected a number, 0 or more."),
        ("continuous", {"size": 4}, "quantizer.size: got a setting that continuous does not have; expected none."),
        ("lfq", {"scale": 0}, "quantizer.scale: got 0; expected a number, above 0."),
        ("lfq", {"group_bits": 64}, "quantizer.group_bits: got 64; expected a whole number, 1 to 16."),
        ("lfq", {"commitment": -1}, "quantizer.commitment: got -1; expected a number, 0 or more."),
        ("fsq", {}, "quantizer.levels: got none; expected a value, which fsq cannot do without."),
        ("fsq", {"levels": (8, 5)}, "quantizer.levels: got (8, 5); expected 4 whole numbers, one a dimension (dim)."),
        ("fsq", {"levels": 8}, "quantizer.levels: got 8; expected 4 whole numbers"),
        ("fsq", {"levels": (8, 5, 5, 1)}, "quantizer.levels[3]: got 1; expected a whole number, 2 or more."),
        (
            "vq",
            {"sise": 8},
            "quantizer.sise: got a setting that vq does not have; expected one of size, commitment, decay, revive_below, seed.",
        ),
        ("vq", {"sise": 8}, "Did you mean 'size'?"),
        ("vq", {"size": 1}, "quantizer.size: got 1; expected a whole number, 2 or more."),
        ("vq", {"size": 8.0}, "quantizer.size: got 8.0; expected a whole number"),
        ("vq", {"size": 8, "decay": 1}, "quantizer.decay: got 1; expected a number, 0 or more and below 1."),
        ("vq", {"size": 8, "revive_below": 2}, "quantizer.revive_below: got 2; expected a number, 0 or more and below 1."),
        ("vq", {"size": 8, "seed": -1}, "quantizer.seed: got -1; expected a whole number, 0 or more."),
        ("residual", {}, "quantizer.depth: got none; expected a value"),
        ("residual", {"depth": 0}, "quantizer.depth: got 0; expected a whole number, 1 or more."),
        ("residual", {"depth": 2}, "quantizer.size: got none; expected a value, which vq cannot do without."),
        ("residual", {"depth": 2, "inner": "bsqq"}, "quantizer.inner: got 'bsqq'; expected one of bsq, fsq, lfq, vq. Did you mean 'bsq'?"),
        ("residual", {"depth": 2, "inner": "continuous"}, "quantizer.inner: got 'continuous'; expected one of bsq, fsq, lfq, vq."),
        ("residual", {"depth": 2, "inner": "bsq", "size": 8}, "quantizer.size: got a setting that bsq does not have"),
        ("residual", {"depth": 2, "size": 8, "seed": "a"}, "quantizer.seed: got 'a'; expected a whole number, 0 or more."),
    ],
)
def test_wrong_settings(kind, settings, told):
    with pytest.raises(ConfigError, match=re.escape(told)) as error:
        build(kind, **{"dim": 4} | settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "kind, settings", [("bsq", {}), ("vq", {"size": 4}), ("continuous", {}), ("residual", {"depth": 2, "inner": "lfq"})]
)
def test_wrong_inputs(kind, settings):
    quantizer = build(kind, dim=4, **settings)
    for z in (torch.zeros(2, 5), torch.zeros(()), torch.zeros(4, dtype=torch.int64)):
        for call in (quantizer, quantizer.encode):
            with pytest.raises(InputError, match=r"^z: got torch.\w+ of shape .*; expected float of \(..., 4\), the quantizer's dim.$"):
                call(z)


@pytest.mark.parametrize(
    "kind, settings, shape", [("bsq", {}, (2, 5)), ("residual", {"depth": 2, "inner": "lfq"}, (2, 4, 2)), ("bsq", {}, ())]
)
def test_wrong_codes(kind, settings, shape):
    quantizer = build(kind, dim=4, **settings)
    for call in (quantizer.decode, quantizer.usage):
        with pytest.raises(InputError, match=r"^codes: got shape .*; expected one that ends in .*, the quantizer's shape.$"):
            call(torch.zeros(shape, dtype=torch.uint8))


def test_the_base_cannot_be_built():
    with pytest.raises(TypeError, match="abstract"):
        Quantizer(4, shape=(4,), cardinality=(2,) * 4)
