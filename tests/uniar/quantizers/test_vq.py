"""The learned codebook: averages by hand, first batch, collapse, revival, exact resumption."""

from __future__ import annotations

import copy

import pytest
import torch

from uniar.quantizers import build


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def planted(codebook, **settings):
    """A quantiser whose first batch is behind it."""
    quantizer = build("vq", dim=len(codebook[0]), size=len(codebook), **settings).train()
    quantizer.codebook.copy_(torch.tensor(codebook))
    quantizer.updates.fill_(1)
    return quantizer


def test_moving_averages_by_hand():
    quantizer = planted([[0.0], [10.0], [50.0]], decay=0.5, revive_below=0.0)
    out = quantizer(torch.tensor([[1.0], [2.0], [9.0]]))
    assert out.codes.tolist() == [0, 0, 1]
    assert out.vectors.tolist() == [[0.0], [0.0], [10.0]]
    assert out.loss.item() == pytest.approx(0.25 * (1 + 4 + 1) / 3)
    # N: 0.5 + 0.5 * (2, 1, 0); m: 0.5 * N e + 0.5 * (3, 9, 0); e = m / N.
    assert quantizer.uses.tolist() == [1.5, 1.0, 0.5]
    assert quantizer.codebook.tolist() == [[1.0], [9.5], [50.0]]
    assert quantizer.updates.item() == 2


def test_first_batch_becomes_the_codebook():
    quantizer, z = build("vq", dim=3, size=8, decay=0.999).train(), normal(20, 3)
    before = quantizer.codebook.clone()
    out = quantizer(z)
    used = out.vectors[(out.vectors == z).all(-1)]
    assert len(used.unique(dim=0)) == 8
    assert not torch.isin(out.vectors, before).any()
    assert quantizer.updates.item() == 1
    # Every code began with an equal share, 20 / 8, and the averages keep the number of rows.
    assert quantizer.uses.sum().item() == pytest.approx(20, abs=1e-4)
    assert quantizer.uses.min().item() > 0.99 * 20 / 8


def test_near_ties_far_from_the_origin_are_decided_by_distance():
    quantizer = planted([[4096.0 + i / 64, 4096.0] for i in range(40)]).eval()
    z = torch.tensor([[4096.0 + i / 64 + 1 / 1024, 4096.0] for i in range(40)])
    assert quantizer.encode(z).tolist() == list(range(40))


def test_a_first_batch_smaller_than_the_codebook_spreads_later():
    quantizer = build("vq", dim=2, size=16, decay=0.8).train()
    quantizer(normal(5, 2))
    for i in range(60):
        quantizer(normal(64, 2, seed=i))
    assert quantizer.usage(quantizer.encode(normal(500, 2, seed=99))).used == 1.0


def test_normal_inputs_use_most_codes():
    quantizer = build("vq", dim=4, size=32, decay=0.9).train()
    errors = [(quantizer(z).vectors - z).pow(2).mean().item() for z in (normal(256, 4, seed=i) for i in range(40))]
    usage = quantizer.usage(quantizer.encode(normal(2000, 4, seed=99)))
    assert usage.used >= 0.9
    assert usage.entropy > 0.9 * quantizer.bits
    assert sum(errors[-5:]) < 0.9 * sum(errors[:5])


@pytest.mark.parametrize("revive_below, used", [(0.1, 1.0), (0.0, 0.125)])
def test_dead_codes_come_into_use_only_by_revival(revive_below, used):
    far = [[1000.0 + i, 1000.0] for i in range(7)]
    quantizer = planted([[0.0, 0.0], *far], decay=0.7, revive_below=revive_below)
    for i in range(40):
        quantizer(normal(64, 2, seed=i))
    assert quantizer.usage(quantizer.encode(normal(1000, 2, seed=99))).used == used
    if not revive_below:
        assert quantizer.codebook[1:].tolist() == far


def test_revived_codes_are_inputs_of_the_batch_and_no_two_alike():
    quantizer = planted([[0.0, 0.0], *[[1000.0, float(i)] for i in range(5)]], decay=0.0, revive_below=0.5)
    z = normal(30, 2)
    quantizer(z)
    revived = quantizer.codebook[1:]
    assert len(revived.unique(dim=0)) == 5
    assert all((z == row).all(-1).any() for row in revived)
    # An equal share, or they would die at once.
    assert quantizer.uses[1:].tolist() == [5.0] * 5


def test_an_unused_code_survives_many_batches_unchanged():
    quantizer = planted([[0.1, 0.0], [1000.3, 7.7]], decay=0.1, revive_below=0.0)
    for i in range(100):
        quantizer(normal(4, 2, seed=i))
    assert quantizer.uses[1].item() == 0.0
    assert torch.equal(quantizer.codebook[1], torch.tensor([1000.3, 7.7]))
    assert quantizer.codebook.isfinite().all()


RUNS = {
    "vq": {"size": 24, "decay": 0.3, "revive_below": 0.6},
    "residual": {"depth": 2, "size": 24, "decay": 0.3, "revive_below": 0.6},
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_resumed_run_goes_on_exactly(kind):
    straight = build(kind, dim=3, **RUNS[kind]).train()
    for i in range(3):
        straight(normal(30, 3, seed=i))
    saved = copy.deepcopy(straight.state_dict())
    resumed = build(kind, dim=3, **RUNS[kind]).train()
    resumed.load_state_dict(saved)
    without = build(kind, dim=3, **RUNS[kind]).train()
    without.load_state_dict({k: torch.ones_like(v) if k.endswith("updates") else v for k, v in saved.items()})
    for i in range(3, 6):
        outs = [q(normal(30, 3, seed=i)) for q in (straight, resumed, without)]
        assert torch.equal(outs[0].codes, outs[1].codes)
        assert torch.equal(outs[0].loss, outs[1].loss)
    states = [q.state_dict() for q in (straight, resumed, without)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in saved)
    # The draws did happen and the count of updates did seed them.
    assert not all(torch.equal(states[0][k], states[2][k]) for k in saved if k.endswith("codebook"))


def test_seeds_draw_differently():
    first, again, other = (build("vq", dim=3, size=8, seed=s).train() for s in (0, 0, 1))
    assert torch.equal(first.codebook, again.codebook) and not torch.equal(first.codebook, other.codebook)
    for quantizer in (first, again, other):
        quantizer(normal(20, 3))
    assert torch.equal(first.codebook, again.codebook) and not torch.equal(first.codebook, other.codebook)


def test_commitment_pulls_only_the_input():
    quantizer = planted([[0.0, 0.0], [4.0, 4.0]], commitment=0.5).eval()
    z = torch.tensor([[1.0, -1.0], [4.0, 2.0]], requires_grad=True)
    quantizer(z).loss.backward()
    # 0.5 * d/dz mean over 4 coordinates of (z - e)^2.
    assert torch.allclose(z.grad, 0.5 * 2 * torch.tensor([[1.0, -1.0], [0.0, -2.0]]) / 4)
