"""Binary spherical quantisation: bits, integers, gradients, flips, entropy."""

from __future__ import annotations

import math

import pytest
import torch

from uniar.vision import bsq


@pytest.mark.parametrize("bits", range(1, 65))
def test_indices_round_trip(bits):
    codes = torch.randint(0, 2, (3, 5, bits), generator=torch.Generator().manual_seed(bits), dtype=torch.uint8)
    codes[0, 0], codes[0, 1] = 0, 1
    indices = bsq.indices_of(codes)
    assert indices.dtype == torch.int64
    assert torch.equal(bsq.codes_of_indices(indices, bits), codes)
    # Python's integers have no width, so they tell the big-endian value; 64 bits wrap into the sign.
    for code, index in zip(codes.reshape(-1, bits).tolist(), indices.flatten().tolist(), strict=True):
        value = int("".join(map(str, code)), 2)
        assert index == (value - 2**64 if value >= 2**63 else value)


def test_negative_indices_are_64_bit_codes():
    indices = torch.tensor([-1, -(2**63), -2, 2**63 - 1])
    codes = bsq.codes_of_indices(indices, 64)
    assert codes[0].tolist() == [1] * 64
    assert codes[1].tolist() == [1] + [0] * 63
    assert codes[2].tolist() == [1] * 63 + [0]
    assert codes[3].tolist() == [0] + [1] * 63
    assert torch.equal(bsq.indices_of(codes), indices)


def test_zero_is_bit_zero_and_vectors_lie_on_the_sphere():
    codes = bsq.codes_of(torch.tensor([[0.0, 1e-9, -1e-9, 3.0]]))
    assert codes.tolist() == [[0, 1, 0, 1]]
    assert bsq.vectors_of(codes, dtype=torch.float32).tolist() == [[-0.5, 0.5, -0.5, 0.5]]


def test_quantize_is_straight_through():
    z = torch.tensor([[3.0, -4.0], [-1.0, 0.5]], requires_grad=True)
    weight = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    out = bsq.quantize(z)
    corner = 1 / math.sqrt(2)
    assert torch.allclose(out, torch.tensor([[corner, -corner], [-corner, corner]]))
    (out * weight).sum().backward()
    # Identity on z / |z|, so the gradient is the one of the normalisation: (w - u (u.w)) / |z|.
    u = z.detach() / z.detach().norm(dim=-1, keepdim=True)
    expected = (weight - u * (u * weight).sum(-1, keepdim=True)) / z.detach().norm(dim=-1, keepdim=True)
    assert torch.allclose(z.grad, expected, atol=1e-6)
    assert z.grad.abs().max() > 0.1


def test_flip_bits_draws_a_rate_from_the_grid_and_keeps_to_it():
    z = torch.randn(200, 100, generator=torch.Generator().manual_seed(0))
    shares = []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        rate = torch.randint(0, 11, (), generator=torch.Generator().manual_seed(seed)).item() / 100
        flipped = bsq.flip_bits(z, max_rate=0.1, generator=generator)
        share = (flipped != z).double().mean().item()
        assert torch.equal(flipped.abs(), z.abs())
        assert share == pytest.approx(rate, abs=5 * math.sqrt(0.1 * 0.9 / z.numel()))
        shares.append(share)
    assert min(shares) == 0.0
    assert max(shares) > 0.095
    assert sum(shares) / len(shares) == pytest.approx(0.05, abs=0.015)


def test_flip_bits_is_a_function_of_its_generator():
    z = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    first, again, other = (bsq.flip_bits(z, max_rate=0.5, generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(bsq.flip_bits(z, max_rate=0.0), z)


def test_entropy_loss_by_hand():
    # Two samples of two bits, normalised (1, 0) and (0, -1). With D = 2 the probability of a negative sign is
    # sigmoid(-4 u / sqrt 2): q = sigmoid(-2.8284271) = 0.0558072, 1/2 for u = 0, and 1 - q.
    q = 1 / (1 + math.exp(2 * math.sqrt(2)))

    def h(p: float) -> float:
        return -(p * math.log(p) + (1 - p) * math.log(1 - p))

    result = bsq.entropy_loss(torch.tensor([[5.0, 0.0], [0.0, -0.1]]), gamma0=1.0, gamma=0.5)
    per_sample, codebook = h(q) + h(0.5), h((q + 0.5) / 2) + h((1 - q + 0.5) / 2)
    assert h(q) == pytest.approx(0.2153, abs=1e-3)
    assert result.per_sample.item() == pytest.approx(per_sample, abs=1e-6)
    assert result.codebook.item() == pytest.approx(codebook, abs=1e-6)
    assert result.loss.item() == pytest.approx(per_sample - 0.5 * codebook, abs=1e-6)


def test_entropy_loss_rewards_certain_and_used_bits():
    certain = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    one_code = torch.ones(4, 2)
    assert bsq.entropy_loss(certain).loss < bsq.entropy_loss(one_code).loss
    assert bsq.entropy_loss(certain).codebook.item() == pytest.approx(2 * math.log(2), abs=1e-6)
