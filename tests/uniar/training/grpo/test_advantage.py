"""Advantages by hand: missing values, several scales, groups that teach nothing."""

from __future__ import annotations

import math

import pytest
import torch

from uniar.training.grpo.advantage import advantages, standardize

NAN = math.nan
HALF = 1 / math.sqrt(2)  # Two values lie 1/sqrt(2) unbiased deviations from their mean.


def of(*rewards: list[list[float]], weights: list[float] | None = None):
    return advantages(torch.tensor(rewards), weights or [1.0] * len(rewards))


def close(tensor: torch.Tensor, expected: list) -> None:
    assert torch.allclose(tensor, torch.tensor(expected, dtype=tensor.dtype), atol=1e-6), tensor


def test_one_reward():
    made = of([[1, 2, 3], [10, 30, 20]])
    close(made.values, [[-1, 0, 1], [-1, 1, 0]])
    assert made.present.all() and not made.sparse.any() and not made.flat.any()
    assert made.values.dtype == torch.float32


def test_a_missing_value_is_absent_and_not_zero():
    # Were the missing one a zero, the others would look better than they are: mean 2 of three, not 1.5 of four.
    made = of([[1, NAN, 2, 3]])
    close(made.values, [[-1, 0, 0, 1]])
    assert made.present.tolist() == [[True, False, True, True]]


def test_groups_that_teach_nothing_have_zero_advantage_and_are_told_apart():
    made = of([[5, NAN, NAN], [NAN, NAN, NAN], [4, 4, 4], [0.1, NAN, 0.1], [1, 2, 3]])
    close(made.values, [[0, 0, 0]] * 4 + [[-1, 0, 1]])
    assert made.sparse.tolist() == [True, True, False, False, False]
    assert made.flat.tolist() == [False, False, True, True, False]
    assert made.present.tolist()[:2] == [[True, False, False], [False, False, False]]


def test_each_reward_counts_on_its_own_scale():
    # The second reward is a thousand times as large and turned round: at equal weight they cancel.
    small, large = [[0.001, 0.003]], [[30.0, 10.0]]
    assert of(small, large).flat.tolist() == [True]
    close(of(small, large, weights=[2, 1]).values, [[-HALF, HALF]])
    close(of(small, large, weights=[1, 2]).values, [[HALF, -HALF]])


def test_two_rewards_by_hand():
    # z of the first: -1 0 1; of the second: -1/sqrt3 (twice), 2/sqrt3.
    # Sum: -1.5774, -0.5774, 2.1547; variance 7.4641 / 2, deviation 1.93185.
    made = of([[1, 2, 3]], [[0, 0, 6]])
    total = torch.tensor([-1 - 1 / math.sqrt(3), -1 / math.sqrt(3), 1 + 2 / math.sqrt(3)])
    close(made.values, [(total / total.std()).tolist()])
    close(made.values, [[-0.816497, -0.298858, 1.115355]])


def test_a_reward_that_does_not_apply_leaves_the_other_alone():
    first = [[1, 2, 3], [1, 2, 3]]
    made = of(first, [[NAN] * 3, [3, 2, 1]], weights=[1, 0.5])
    close(made.values, [[-1, 0, 1], [-1, 0, 1]])


def test_a_reward_that_failed_once_counts_as_its_groups_mean_there():
    # The second reward speaks for members 0 and 1 only; member 2 keeps what the first says.
    made = of([[1, 2, 3]], [[0, 1, NAN]])
    total = torch.tensor([-1 - HALF, 0 + HALF, 1.0])
    close(made.values, [((total - total.mean()) / total.std()).tolist()])
    assert made.present.all()


@pytest.mark.parametrize("seed", range(5))
def test_properties(seed):
    stream = torch.Generator().manual_seed(seed)
    rewards = torch.randn(3, 6, 8, generator=stream)
    rewards[torch.rand(rewards.shape, generator=stream) < 0.3] = NAN
    weights = [1.0, 0.5, 2.0]
    made = advantages(rewards, weights)
    for group, present in zip(made.values, made.present, strict=True):
        assert group[present].mean().abs() < 1e-6
        assert abs(group[present].std().item() - 1) < 1e-5
        assert (group[~present] == 0).all()
    # Unit and origin of each reward do not matter, nor does the order of the images.
    moved = rewards * torch.tensor([3.0, 0.01, 50.0])[:, None, None] + torch.tensor([7.0, -2.0, 0.0])[:, None, None]
    assert torch.allclose(advantages(moved, weights).values, made.values, atol=1e-4)
    order = torch.randperm(8, generator=stream)
    assert torch.allclose(advantages(rewards[..., order], weights).values, made.values[:, order], atol=1e-6)


def test_standardize_keeps_what_is_missing():
    made = standardize(torch.tensor([[NAN, 1.0, 3.0], [NAN, NAN, 2.0]]))
    assert made.values.isnan().tolist() == [[True, False, False], [True, True, False]]
    assert (made.sparse.tolist(), made.flat.tolist()) == ([False, True], [False, False])


def test_rounding_is_no_spread_in_any_unit():
    for unit in (1e-6, 1.0, 1e6):
        group = unit * torch.tensor([[[0.1 + 0.2, 0.3, 0.3]]], dtype=torch.float64)
        assert group.std() > 0 and advantages(group, [1.0]).flat.tolist() == [True]
        close(advantages(group + unit * torch.tensor([0.0, 1.0, 2.0]), [1.0]).values, [[-1, 0, 1]])


def test_rewards_that_contradict_each_other_cancel_to_nothing():
    white = torch.rand(1, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = advantages(torch.cat([white, 1 - white]), [1.0, 1.0])
    assert made.flat.all() and (made.values == 0).all()


def test_weights_must_fit():
    with pytest.raises(ValueError, match="weights: got 1; expected one for each of the 2"):
        of([[1.0]], [[2.0]], weights=[1])
