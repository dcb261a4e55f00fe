"""Losses of training, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from uniar.training.losses import bit_loss, grad_norm, reconstruction_loss, text_loss


def test_bit_loss_by_hand():
    # One token a level and a patch with two bits: P(1) = 3/4 and 1/2; the codes are 1 and 0.
    logits = torch.tensor([[0.0, math.log(3)], [2.0, 2.0]]).reshape(1, 1, 1, 2, 2)
    codes = torch.tensor([1, 0], dtype=torch.uint8).reshape(1, 1, 1, 2)
    assert bit_loss(logits, codes).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, abs=1e-6)
    assert bit_loss(logits, 1 - codes).item() == pytest.approx((math.log(4) + math.log(2)) / 2, abs=1e-6)


def test_bit_loss_weighs_tokens():
    logits = torch.zeros(3, 1, 1, 1, 2)
    logits[0, ..., 1] = math.log(3)
    codes = torch.ones(3, 1, 1, 1, dtype=torch.uint8)
    loss = bit_loss(logits, codes, torch.tensor([3.0, 1.0, 0.0]))
    assert loss.item() == pytest.approx((3 * math.log(4 / 3) + math.log(2)) / 4, abs=1e-6)
    assert bit_loss(logits, codes, torch.zeros(3)).item() == 0.0


def test_text_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [9.0, 0.0]], requires_grad=True)
    loss = text_loss(logits, torch.tensor([1, 0, -100]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, abs=1e-6)
    nothing = text_loss(logits, torch.tensor([-100, -100, -100]))
    nothing.backward()
    assert nothing.item() == 0.0
    assert logits.grad.abs().max() == 0


def test_reconstruction_loss_by_hand():
    assert reconstruction_loss(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 2.0])).item() == pytest.approx(2.0 + 5.0)


def test_grad_norm_tells_the_norm_before_clipping():
    p = torch.nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([3.0, 4.0])
    assert grad_norm([p], 1.0) == pytest.approx(5.0)
    assert p.grad.norm().item() == pytest.approx(1.0, abs=1e-5)
