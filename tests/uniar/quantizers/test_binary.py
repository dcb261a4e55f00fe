"""Signs with and without the sphere: every number of bits, the shared arithmetic, entropies by enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from uniar.quantizers import build
from uniar.vision import bsq


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["bsq", "lfq"])
@pytest.mark.parametrize("bits", [*range(1, 65), 200])
def test_codes_to_vectors_to_codes(kind, bits):
    quantizer = build(kind, dim=bits)
    codes = torch.randint(0, 2, (3, 5, bits), generator=torch.Generator().manual_seed(bits), dtype=torch.uint8)
    codes[0, 0], codes[0, 1] = 0, 1
    vectors = quantizer.decode(codes)
    assert torch.equal(quantizer.encode(vectors), codes)
    assert torch.equal(quantizer.decode(quantizer.encode(vectors)), vectors)
    out = quantizer(vectors)
    assert torch.equal(out.vectors, vectors)
    assert out.loss.isfinite()


def test_vectors_by_hand():
    z = torch.tensor([[0.0, 1e-9, -1e-9, 3.0]])
    assert build("bsq", dim=4)(z).vectors.tolist() == [[-0.5, 0.5, -0.5, 0.5]]
    assert build("lfq", dim=4)(z).vectors.tolist() == [[-1, 1, -1, 1]]
    assert build("lfq", dim=4, scale=0.25)(z).vectors.tolist() == [[-0.25, 0.25, -0.25, 0.25]]


def test_bsq_is_the_released_arithmetic():
    z, weight = normal(20, 9).requires_grad_(), normal(20, 9, seed=1)
    ours, theirs = build("bsq", dim=9, entropy_weight=0.3, gamma0=0.8, gamma=0.4)(z), bsq.quantize(z)
    assert torch.allclose(ours.vectors, theirs, atol=1e-6)
    assert torch.equal(*(torch.autograd.grad((v * weight).sum(), z)[0] for v in (ours.vectors, theirs)))
    assert ours.loss.item() == pytest.approx(0.3 * bsq.entropy_loss(z, gamma0=0.8, gamma=0.4).loss.item(), abs=1e-6)


def enumerated(z, *, scale, temperature):
    """Both entropies of q(c|z) ~ exp(-|z - c|^2 / temperature), all codes listed."""
    codes = scale * torch.tensor(list(itertools.product([-1.0, 1.0], repeat=z.shape[-1])))
    q = torch.softmax(-(z[:, None] - codes).pow(2).sum(-1) / temperature, -1)
    mean = q.mean(0)
    return -(q * q.log()).sum(-1).mean().item(), -(mean * mean.log()).sum().item()


def lfq_diversity(z, group_bits):
    settings = {"scale": 0.8, "temperature": 2.0, "entropy_weight": 1.0, "commitment": 0.0, "group_bits": group_bits}
    losses = [build("lfq", dim=z.shape[-1], gamma=gamma, **settings)(z).loss.item() for gamma in (0.0, 1.0)]
    return losses[0], losses[0] - losses[1]


def test_lfq_entropies_equal_the_enumeration():
    z = normal(11, 5) + 0.3
    certainty, diversity = lfq_diversity(z, 5)
    wanted = enumerated(z, scale=0.8, temperature=2.0)
    assert (certainty, diversity) == (pytest.approx(wanted[0], abs=1e-5), pytest.approx(wanted[1], abs=1e-5))


def test_lfq_groups_bound_the_joint_entropy_from_above():
    # Correlated bits: what the first says, the others repeat.
    z = 3 * normal(400, 1).expand(400, 4).contiguous()
    exact, halves, bits = (lfq_diversity(z, g)[1] for g in (4, 2, 1))
    assert exact < halves - 0.1 < bits - 0.2
    first = enumerated(z[:, :2], scale=0.8, temperature=2.0)[1]
    second = enumerated(z[:, 2:], scale=0.8, temperature=2.0)[1]
    assert halves == pytest.approx(first + second, abs=1e-5)
    # A group that does not divide the bits: 3 and 1.
    assert exact < lfq_diversity(z, 3)[1] < bits


@pytest.mark.parametrize("far", [1.0, 1e4])
def test_64_bits_have_a_finite_loss_and_gradient(far):
    z = (far * normal(100, 64)).requires_grad_()
    loss = build("lfq", dim=64)(z).loss
    loss.backward()
    assert loss.isfinite() and z.grad.isfinite().all() and z.grad.abs().max() > 0


def test_lfq_rewards_certain_and_used_bits():
    quantizer = build("lfq", dim=2, commitment=0.0)
    certain = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    assert quantizer(certain).loss < quantizer(torch.ones(4, 2)).loss
    assert quantizer(certain).loss < quantizer(0.1 * certain).loss
    # 50 stands for the border of certainty: no entropy a sample, and all four codes used alike.
    assert quantizer(50 * certain).loss.item() == pytest.approx(-0.1 * math.log(4), abs=1e-6)


@pytest.mark.parametrize("kind", ["bsq", "lfq"])
def test_random_bits_are_used_both_ways(kind):
    quantizer = build(kind, dim=64)
    usage = quantizer.usage(quantizer.encode(normal(4000, 64)))
    assert usage.marginal > 0.999
    assert usage.entropy == pytest.approx(math.log2(4000), abs=1e-9)
    assert usage.used == 1.0
