"""Stages: depth 1 is the inner kind, the error falls, the first stages alone are a coarser code."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from uniar.quantizers import build

INNER = {
    "bsq": {"dim": 8},
    "lfq": {"dim": 8},
    "fsq": {"dim": 4, "levels": (8, 5, 4, 3)},
    "vq": {"dim": 4, "size": 16, "decay": 0.8},
}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("inner", INNER)
def test_depth_one_is_the_inner_kind(inner, training):
    plain = build(inner, **INNER[inner]).train(training)
    residual = build("residual", depth=1, inner=inner, **INNER[inner]).train(training)
    for i in range(3):
        z = normal(25, plain.dim, seed=i)
        a, b = plain(z), residual(z)
        assert torch.equal(a.vectors, b.vectors)
        assert torch.equal(a.codes, b.codes[:, 0])
        assert torch.equal(a.loss, b.loss)
    assert (residual.bits, residual.shape) == (plain.bits, (1, *plain.shape))


@pytest.mark.parametrize("inner", INNER)
def test_error_falls_with_depth(inner):
    z, errors = normal(400, INNER[inner]["dim"], seed=50), []
    for depth in range(1, 6):
        quantizer = build("residual", depth=depth, inner=inner, **INNER[inner]).train()
        for i in range(15):
            quantizer(normal(200, quantizer.dim, seed=i))
        quantizer.eval()
        errors.append((quantizer.bound(z) - quantizer(z).vectors).pow(2).mean().item())
    assert all(b < 0.8 * a for a, b in pairwise(errors)), errors


@pytest.mark.parametrize("inner", ["bsq", "lfq", "fsq"])
def test_first_stages_are_the_coarser_code(inner):
    deep, shallow = (build("residual", depth=d, inner=inner, **INNER[inner]) for d in (4, 2))
    z = normal(30, deep.dim)
    assert torch.equal(deep.encode(z)[:, :2], shallow.encode(z))


def test_stages_by_hand():
    # On the sphere (0.8, 0.6); corners at 0.7071 and 0.55 of it: + + then 0.0929 > 0, -0.1071 < 0.
    quantizer = build("residual", dim=2, depth=2, inner="bsq")
    out = quantizer(torch.tensor([8.0, 6.0]))
    assert out.codes.tolist() == [[1, 1], [1, 0]]
    corner = 0.5**0.5
    assert torch.allclose(out.vectors, torch.tensor([1.55 * corner, 0.45 * corner]))


def test_stages_learn_apart():
    quantizer = build("residual", dim=3, depth=2, inner="vq", size=8).train()
    first, second = quantizer.stages
    assert not torch.equal(first.codebook, second.codebook)
    for i in range(5):
        quantizer(normal(50, 3, seed=i))
    # What is left over is smaller than what came in.
    assert second.codebook.norm(dim=-1).mean() < 0.8 * first.codebook.norm(dim=-1).mean()
    assert (first.updates.item(), second.updates.item()) == (5, 5)


def test_the_loss_is_the_sum_over_stages():
    quantizer = build("residual", dim=3, depth=2, inner="vq", size=8, commitment=1.0).eval()
    z = normal(20, 3)
    first, second = quantizer.stages
    one = first(z)
    two = second(z - one.vectors)
    out = quantizer(z)
    assert torch.equal(out.vectors, one.vectors + two.vectors)
    assert out.loss.item() == pytest.approx((one.loss + two.loss).item(), abs=1e-6)


@pytest.mark.parametrize("inner", ["bsq", "lfq"])
def test_the_scale_is_better_than_halving_for_normal_inputs(inner):
    z = normal(500, 64)
    for depth in range(2, 7):
        quantizer = build("residual", dim=64, depth=depth, inner=inner)
        soft = quantizer.bound(z)
        ours = (soft - quantizer(z).vectors).pow(2).mean()
        rest, corner = soft, quantizer(z).vectors.abs().max() / sum(0.55**i for i in range(depth))
        for i in range(depth):
            rest = rest - 0.5**i * corner * rest.sign()
        assert ours < rest.pow(2).mean()
