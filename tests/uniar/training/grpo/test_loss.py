"""The loss by hand: ratio and clipping per bit, the divergence, means over bits, then samples."""

from __future__ import annotations

import math

import pytest
import torch

from uniar.training.grpo.loss import grpo_loss, k3


def logs(*ratios: float) -> torch.Tensor:
    return torch.tensor([list(ratios)]).log().requires_grad_()


def zeros(logprobs: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(logprobs).detach()


@pytest.mark.parametrize(
    ("ratio", "advantage", "surrogate", "clipped", "slope"),
    [
        (1.0, 2.0, 2.0, 0, 2.0),
        (1.1, 2.0, 2.2, 0, 2.2),
        # Beyond the bounds the gradient ends only where going on would be rewarded.
        (1.5, 2.0, 2.4, 1, 0.0),
        (0.5, 2.0, 1.0, 0, 1.0),
        (1.5, -2.0, -3.0, 0, -3.0),
        (0.5, -2.0, -1.6, 1, 0.0),
        (1.5, 0.0, 0.0, 0, 0.0),
    ],
)
def test_one_bit(ratio, advantage, surrogate, clipped, slope):
    new = logs(ratio)
    made = grpo_loss(new, zeros(new), None, torch.tensor([advantage]), clip=0.2)
    made.loss.backward()
    assert made.loss.item() == pytest.approx(-surrogate)
    assert new.grad.item() == pytest.approx(-slope, abs=1e-6)
    assert (made.clip_fraction.item(), made.ratio.item()) == (clipped, pytest.approx(ratio))
    assert made.kl is None


def test_ratio_and_clip_are_per_bit():
    # A ratio of the whole sample (here 2 * 0.5 = 1) would clip nothing.
    new = logs(2.0, 0.5)
    made = grpo_loss(new, zeros(new), None, torch.tensor([1.0]), clip=0.2)
    assert made.loss.item() == pytest.approx(-(1.2 + 0.5) / 2)
    assert made.clip_fraction.item() == 0.5
    assert made.ratio.item() == pytest.approx(1.25)


def test_k3_by_hand():
    # Policy 3/4, reference 1/4: r = 1/3, r - 1 - log r = -2/3 + log 3; the other way round r = 3: 2 - log 3.
    p = torch.tensor([0.75, 0.25, 0.5]).log()
    q = torch.tensor([0.25, 0.75, 0.5]).log()
    assert k3(p, q).tolist() == pytest.approx([math.log(3) - 2 / 3, 2 - math.log(3), 0.0], abs=1e-6)


@pytest.mark.parametrize(("p", "q"), [(0.3, 0.6), (0.9, 0.5), (0.2, 0.2)])
def test_k3_is_the_divergence_in_the_mean_and_never_negative(p, q):
    policy, reference = torch.tensor([p, 1 - p]), torch.tensor([q, 1 - q])
    each = k3(policy.log(), reference.log())
    assert (each >= 0).all()
    exact = (policy * (policy / reference).log()).sum()
    assert (policy * each).sum().item() == pytest.approx(exact.item(), abs=1e-6)


def test_the_divergence_is_weighted_per_bit():
    new = torch.tensor([[0.75, 0.25]]).log()
    reference = torch.tensor([[0.25, 0.25]]).log()
    made = grpo_loss(new, new, reference, torch.tensor([0.0]), beta=0.01)
    expected = (math.log(3) - 2 / 3) / 2
    assert made.kl.item() == pytest.approx(expected)
    assert made.loss.item() == pytest.approx(0.01 * expected)


def test_mean_over_bits_then_over_samples_and_absent_samples_take_no_part():
    new = torch.tensor([[1.1, 0.9], [1.0, 1.0], [50.0, 50.0]]).log().requires_grad_()
    present = torch.tensor([True, True, False])
    made = grpo_loss(new, zeros(new), new.detach(), torch.tensor([1.0, -3.0, 0.0]), present=present)
    assert made.loss.item() == pytest.approx(-((1.1 + 0.9) / 2 - 3.0) / 2)
    assert made.ratio.item() == pytest.approx(1.0)
    made.loss.backward()
    assert new.grad[2].abs().sum() == 0
    assert new.grad[0].tolist() == pytest.approx([-1.1 / 4, -0.9 / 4])


def test_a_batch_without_a_present_sample_moves_nothing():
    new = logs(1.3, 0.4)
    made = grpo_loss(new, zeros(new), zeros(new), torch.tensor([0.0]), present=torch.tensor([False]))
    made.loss.backward()
    assert made.loss.item() == 0 and new.grad.abs().sum() == 0


def test_at_the_first_step_the_gradient_is_that_of_reinforce():
    # With old = new the ratio is 1 and the gradient is -advantage * d log p, whatever the shape of a sample's bits.
    stream = torch.Generator().manual_seed(0)
    new = (-torch.rand(3, 2, 2, 4, 5, generator=stream)).requires_grad_()
    advantage = torch.tensor([1.0, -2.0, 0.5])
    made = grpo_loss(new, new.detach(), None, advantage)
    made.loss.backward()
    expected = -advantage[:, None, None, None, None] / (3 * 2 * 2 * 4 * 5)
    assert torch.allclose(new.grad, expected.expand_as(new))
    assert made.ratio.item() == 1 and made.clip_fraction.item() == 0
