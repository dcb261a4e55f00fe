"""One GRPO step: what an image depends on, inner epochs, and every failure counted as a share of what was asked."""

from __future__ import annotations

import pytest
import torch

from uniar.errors import TrainingError
from uniar.training.adapters import LoraSettings
from uniar.training.grpo.rollout import seeds_of
from uniar.training.grpo.trainer import GrpoStage

# peft asks transformers by names that it now deprecates.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:`{name}` is deprecated and will be removed in v6:FutureWarning")
    for name in ("gradient_checkpointing_enable", "is_gradient_checkpointing")
]

LORA = LoraSettings(rank=8, alpha=16.0)


def gradients(stage: GrpoStage, toy) -> dict[str, torch.Tensor]:
    toy.one(stage).loss.backward()
    return {n: p.grad for n, p in stage.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_micro_batches_change_nothing(stage_of, toy, lora):
    whole, parts = (gradients(stage_of(lora=lora, micro_batch=size), toy) for size in (64, 5))
    assert whole.keys() == parts.keys()
    for name, grad in whole.items():
        assert torch.allclose(grad, parts[name], atol=1e-5), name


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_rollout_serves_its_inner_epochs(stage_of, toy, tmp_path, accumulate):
    stage = stage_of(inner_epochs=2)
    prepare, rollouts = stage.prepare, {}

    def prepared(step, numbers):
        made = prepare(step, numbers)
        rollouts.setdefault(step, []).append(made.data.rollout.codes.clone())
        return made

    stage.prepare = prepared
    assert toy.train(stage, tmp_path, steps=4, lr=0.05, accumulate=accumulate)
    assert all(len(own) == accumulate for own in rollouts.values())
    first, again, second, once_more = (torch.cat(rollouts[step]) for step in range(4))
    assert torch.equal(first, again) and torch.equal(second, once_more)
    assert not torch.equal(again, second)
    records = toy.log_of(tmp_path)
    # The weights that drew the codes have ratio one; those after a step do not, and some of their bits are clipped.
    assert [r["ratio"] == 1.0 for r in records] == [True, False, True, False]
    assert [r["clip_fraction"] > 0 for r in records] == [False, True, False, True]


def test_an_image_does_not_depend_on_the_other_prompts(stage_of, toy):
    codes = toy.one(stage_of()).rollout.codes
    assert torch.equal(codes[:16], toy.one(stage_of(prompts=2, micro_batch=3), prompts=2).rollout.codes)
    # The second of two processes takes every second prompt.
    theirs = stage_of().prepare(0, range(4)[1::2]).data.rollout.codes
    assert torch.equal(theirs, torch.cat([codes[8:16], codes[24:32]]))


def losing(which: int, toy) -> dict[str, object]:
    """The toy decoder with one image that cannot be made."""

    def decode(codes, seeds):
        images = toy.parts["decode"](codes, seeds)
        return [None if i == which else image for i, image in enumerate(images)]

    return {"decode": decode}


def test_a_missing_image_is_counted_and_takes_no_part(stage_of, toy):
    whole, holed = toy.one(stage_of(beta=0.0)), toy.one(stage_of(beta=0.0, parts=losing(3, toy)))
    assert torch.equal(whole.rollout.codes, holed.rollout.codes)
    assert holed.pairs["images_missing"] == (1, 32)
    # It is the decoder's failure: the reward failed at none of the 31 images that there are.
    assert holed.pairs["reward_white"][1] == 31 and holed.pairs["reward_white_failed"] == (0, 31)
    assert holed.pairs["reward_white_applies"] == (32, 32)
    assert holed.rollout.values[0, 3].isnan() and not holed.rollout.worth.present[0, 3]
    others = whole.rollout.values[0][torch.arange(32) != 3]
    assert holed.values["reward_white"] == pytest.approx(others.mean().item(), abs=1e-12)


def test_a_step_counts_the_images_that_have_a_value(stage_of, toy):
    prepared = stage_of(parts=losing(3, toy)).prepare(0, range(4))
    assert prepared.counts == {"policy": 31.0}


def test_the_bits_of_a_missing_image_do_not_matter(stage_of, toy):
    stage = stage_of(inner_epochs=2, parts=losing(3, toy))
    codes = toy.one(stage).rollout.codes
    # Off the reference, so that every bit that takes part has a divergence.
    with torch.no_grad():
        stage.policy.output_layer_vistok[-1].weight.mul_(1.2)
    before = toy.one(stage, 1).loss
    codes[3] ^= 1
    assert toy.one(stage, 1).loss == before
    codes[4] ^= 1
    assert toy.one(stage, 1).loss != before


# -- failures --------------------------------------------------------------------------------------------------------


def test_too_many_missing_images_stop_the_run(stage_of, toy, tmp_path):
    def decode(codes, seeds):
        raise RuntimeError("no weights")

    stage = stage_of(parts={"decode": decode})
    before = {n: p.clone() for n, p in stage.named_parameters()}
    with pytest.raises(
        TrainingError, match=r"decoder: 100\.0% failed in one step; expected at most 25%.*First: RuntimeError: no weights\."
    ):
        toy.train(stage, tmp_path, steps=1)
    assert all(torch.equal(p, before[n]) for n, p in stage.named_parameters())


def test_too_many_failed_values_stop_the_run(stage_of, toy, tmp_path):
    rewards = {"white": toy.white(), "dark": toy.white(failing=range(9))}
    with pytest.raises(TrainingError, match=r"reward dark: 28\.1% failed in one step; expected at most 25%. First: no light\."):
        toy.train(stage_of(rewards=rewards), tmp_path, steps=1)
    assert toy.train(stage_of(rewards=rewards, max_failed=0.3), tmp_path, steps=1)


def test_the_limit_is_on_the_whole_step_and_not_on_a_micro_batch(stage_of, toy, tmp_path):
    lost = set(seeds_of(0, 0, toy.parts["records"].draw(0, 0, 1), 8))

    def decode(codes, seeds):
        images = toy.parts["decode"](codes, seeds)
        return [None if seed in lost else image for seed, image in zip(seeds, images, strict=True)]

    # All images of one prompt of four: half of the first micro-batch, a quarter of the step.
    assert toy.train(stage_of(parts={"decode": decode}), tmp_path / "at", steps=1, accumulate=2)
    assert toy.log_of(tmp_path / "at")[0]["images_missing"] == 0.25
    with pytest.raises(TrainingError, match=r"decoder: 25\.0% failed in one step; expected at most 24%"):
        toy.train(stage_of(parts={"decode": decode}, max_failed=0.24), tmp_path / "above", steps=1, accumulate=2)


def test_missing_images_are_not_held_against_a_reward(stage_of, toy):
    rewards = {"white": toy.white(failing=range(8))}
    parts = losing(20, toy)
    made = toy.one(stage_of(rewards=rewards, parts=parts))
    assert (made.pairs["reward_white_failed"], made.pairs["images_missing"]) == ((8, 31), (1, 32))
    stage_of(rewards=rewards, parts=parts, max_failed=8 / 31 + 1e-9).refuse(made.values)
    with pytest.raises(TrainingError, match=r"reward white: 25\.8% failed"):
        stage_of(rewards=rewards, parts=parts, max_failed=8 / 31 - 1e-9).refuse(made.values)


def test_a_failure_that_another_process_met_is_told_as_such(stage_of):
    with pytest.raises(TrainingError, match=r"reward white: 50\.0% failed in one step; expected at most 25%. Another process met it\."):
        stage_of().refuse({"images_missing": 0.0, "reward_white_failed": 0.5})


def test_a_reason_is_told_of_its_own_step_only(stage_of, toy):
    stage = stage_of(rewards={"white": toy.white(failing=[3])})
    stage.refuse(toy.one(stage).values)
    with pytest.raises(TrainingError, match="Another process met it"):
        stage.refuse({"reward_white_failed": 0.5})


def test_a_reward_that_applies_to_nothing_has_no_mean(stage_of, toy, tmp_path):
    rewards = {"other": toy.white(task="none")}
    made = toy.one(stage_of(rewards=rewards))
    assert made.loss == 0 and "reward_other" not in made.values and "reward_other_failed" not in made.values
    assert (made.pairs["reward_other"], made.pairs["reward_other_applies"]) == ((0, 0), (0, 32))
    assert made.values["sparse_share"] == 1.0
    # The engine goes on from a step that teaches nothing.
    assert toy.train(stage_of(rewards=rewards), tmp_path, steps=1)
    (record,) = toy.log_of(tmp_path)
    assert (record["loss"], record["grad_norm"], record["n_policy"]) == (0, 0, 0)
    assert not {"policy", "reward_other", "reward_other_failed", "kl", "ratio", "clip_fraction"} & record.keys()


def test_a_reward_of_some_of_the_prompts_has_their_mean(stage_of, toy):
    class Odd(toy.white):
        """White, asked of odd numbers only."""

        def rewards(self, images, records):
            tasks = [{**record, "task": "toy" if record["number"] % 2 else "none"} for record in records]
            return super().rewards(images, tasks)

    made = toy.one(stage_of(rewards={"white": toy.white(), "odd": Odd()}))
    assert (made.values["reward_odd_applies"], made.pairs["reward_odd_failed"]) == (0.5, (0, 16))
    asked = made.rollout.values[0].unflatten(0, (4, 8))[1::2]
    assert made.values["reward_odd"] == pytest.approx(asked.mean().item(), abs=1e-12)
