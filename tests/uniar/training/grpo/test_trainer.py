"""The GRPO stage in the engine: the reward rises, a resumed run is an unbroken run, frozen is frozen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import uniar
from uniar.errors import TrainingError
from uniar.generation.codes import generate_codes
from uniar.training.adapters import LoraSettings
from uniar.training.grpo.config import GrpoConfig
from uniar.training.grpo.logprobs import bit_logprobs
from uniar.training.grpo.loss import k3
from uniar.training.grpo.records import ShapesRecords
from uniar.training.grpo.rewards import RewardUse
from uniar.training.grpo.trainer import GrpoStage

# peft asks transformers by names that it now deprecates.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:`{name}` is deprecated and will be removed in v6:FutureWarning")
    for name in ("gradient_checkpointing_enable", "is_gradient_checkpointing")
]

LORA = LoraSettings(rank=8, alpha=16.0)
SHAPE = {"rows": 2, "columns": 3}


def mean(records: list[dict[str, float]], key: str) -> float:
    return sum(r[key] for r in records) / len(records)


# -- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"inner_epochs": 2}, {"lora": LORA, "lr": 0.01}, {"precision": "bfloat16"}, {"accumulate": 2}],
    ids=["full", "reused", "lora", "bfloat16", "micro-batches"],
)
def test_the_mean_reward_rises(stage_of, toy, tmp_path, settings):
    engine = {key: settings[key] for key in ("lr", "precision", "accumulate") if key in settings}
    stage = stage_of(**{k: v for k, v in settings.items() if k not in engine})
    assert toy.train(stage, tmp_path, steps=40, **engine)
    records = toy.log_of(tmp_path)
    assert mean(records[:4], "reward_white") < 0.56
    assert mean(records[-4:], "reward_white") > 0.70


def test_the_opposite_reward_is_learnt_too(stage_of, toy, tmp_path):
    assert toy.train(stage_of(rewards={"black": toy.black()}), tmp_path, steps=40)
    records = toy.log_of(tmp_path)
    assert mean(records[:4], "reward_black") < 0.56 and mean(records[-4:], "reward_black") > 0.70


def test_two_opposed_rewards_teach_nothing(stage_of, toy, tmp_path):
    stage = stage_of(rewards={"white": toy.white(), "black": toy.black()}, beta=0.0)
    before = {n: p.clone() for n, p in stage.named_parameters()}
    assert toy.train(stage, tmp_path, steps=3)
    assert all(r["flat_share"] == 1.0 and r["loss"] == 0.0 and "kl" not in r for r in toy.log_of(tmp_path))
    assert all(torch.equal(p, before[n]) for n, p in stage.named_parameters())


# -- resume ----------------------------------------------------------------------------------------------------------


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    # As bytes: not a bit may differ.
    assert [k for k in a if a[k].numpy().tobytes() != b[k].numpy().tobytes()] == []


def states_of(folder: Path) -> list[int]:
    return sorted(int(p.name.removeprefix("step-")) for p in folder.iterdir() if p.is_dir())


@pytest.mark.parametrize(
    "settings", [{}, {"lora": LORA}, {"inner_epochs": 3}, {"lora": LORA, "inner_epochs": 2}], ids=["full", "lora", "reused", "lora reused"]
)
def test_a_run_stopped_after_every_round_is_an_unbroken_run(stage_of, toy, tmp_path, settings):
    rewards = {"white": toy.white(failing=[3]), "other": toy.white(task="none")}
    whole, stopped = tmp_path / "unbroken", tmp_path / "stopped"
    assert toy.train(stage_of(rewards=rewards, **settings), whole, steps=7)
    epochs = settings.get("inner_epochs", 1)
    for done in [*range(epochs, 7, epochs), 7]:
        assert toy.train(stage_of(rewards=rewards, **settings), stopped, steps=7, max_seconds=0.0) == (done == 7)
        # Not within a round, whose rollout would be lost.
        assert states_of(stopped)[-1] == done
        # The process that goes on has a random state of its own; nothing here draws from it.
        torch.manual_seed(done)
    for name in ("module", "optimizer"):
        same(*(load_file(folder / "step-00000007" / f"{name}.safetensors") for folder in (whole, stopped)))
    told = toy.log_of(whole)
    assert [r["step"] for r in told] == [1, 2, 3, 4, 5, 6, 7] and told == toy.log_of(stopped)
    assert told[0]["reward_white_failed"] == 1 / 32 and told[0]["reward_other_applies"] == 0


def test_states_are_saved_between_rounds_only(stage_of, toy, tmp_path):
    assert toy.train(stage_of(inner_epochs=3), tmp_path, steps=11, save_every=4, keep=9)
    # The first ends of a round at or after steps 4 and 8, and the end.
    assert states_of(tmp_path) == [6, 9, 11]


def test_the_callers_random_stream_is_untouched(stage_of, toy):
    before = torch.get_rng_state()
    stage = stage_of(lora=LORA)
    toy.one(stage).loss.backward()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_a_state_of_other_weights_is_refused(stage_of, tiny_model, toy, tmp_path, lora):
    toy.train(stage_of(lora=lora), tmp_path, steps=1)
    with pytest.raises(TrainingError, match=r"step-00000001: does not fit.*started from other weights"):
        toy.train(stage_of(lora=lora, model=tiny_model(seed=9)), tmp_path, steps=2)
    with pytest.raises(TrainingError, match=r"step-00000001: does not fit this recipe \(missing policy\."):
        toy.train(stage_of(lora=LORA if lora is None else None), tmp_path, steps=2)


# -- what is trained, kept and frozen ---------------------------------------------------------------------------------


def test_the_state_holds_what_training_changes_and_nothing_else(stage_of, tiny_model, toy, tmp_path):
    model = tiny_model()
    trained = {f"policy.{n}" for n, _ in model.named_parameters() if not n.startswith("model.visual.")}
    for name, settings in (("full", {}), ("reused", {"inner_epochs": 2})):
        stage = stage_of(**settings)
        toy.train(stage, tmp_path / name, steps=1)
        assert set(stage.state_dict()) == trained | {"start"}
        assert set(load_file(tmp_path / name / "step-00000001" / "module.safetensors")) == trained | {"start"}


def test_the_state_of_adapters_is_adapters(stage_of, toy, tmp_path):
    toy.train(stage_of(lora=LORA), tmp_path, steps=1)
    kept, slots = (load_file(tmp_path / "step-00000001" / f"{name}.safetensors") for name in ("module", "optimizer"))
    adapters = set(kept) - {"start"}
    # Seven layers in each of three decoder layers and in the head's one, two factors each.
    assert len(adapters) == 2 * 7 * 4 and all(".lora_A." in n or ".lora_B." in n for n in adapters)
    assert {n.rsplit("/", 1)[0] for n in slots} == adapters


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_the_divergence_is_from_the_model_that_training_found(stage_of, tiny_model, toy, tmp_path, lora):
    stage, found = stage_of(lora=lora), tiny_model()
    first = toy.one(stage).values
    assert first["kl"] == 0 and first["ratio"] == 1
    assert toy.train(stage, tmp_path, steps=5, lr=0.01)
    later = toy.one(stage, 5)
    records = toy.parts["records"].draw(0, 5, 4)
    prefixes = [toy.parts["prefix_of"](r) for r in records for _ in range(8)]
    with torch.no_grad():
        new, old = (bit_logprobs(m, prefixes, later.rollout.codes, **SHAPE) for m in (stage.merged(), found))
    assert later.values["kl"] > 1e-3
    assert later.values["kl"] == pytest.approx(k3(new, old).mean().item(), rel=1e-3)


@pytest.mark.parametrize("beta", [0.01, 0.0])
def test_the_vision_stack_is_frozen(stage_of, tiny_model, toy, tmp_path, beta):
    stage = stage_of(beta=beta)
    assert toy.train(stage, tmp_path, steps=3)
    fresh = dict(tiny_model().named_parameters())
    moved = {n for n, p in stage.policy.named_parameters() if not torch.equal(p, fresh[n])}
    assert moved and not any(n.startswith("model.visual.") for n in moved)
    # The text classifier has no part in making images.
    assert not any(n.startswith("lm_head") for n in moved)
    assert any(n.startswith("visual_decoder") for n in moved) and any("language_model.layers.0" in n for n in moved)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_merged_is_a_plain_model_of_the_policy(stage_of, tiny_model, toy, tmp_path, lora):
    stage = stage_of(lora=lora)
    assert toy.train(stage, tmp_path / "run", steps=3, lr=0.01)
    plain = stage.merged()
    assert plain.state_dict().keys() == tiny_model().state_dict().keys()
    plain.save_pretrained(tmp_path / "saved")
    again = type(plain).from_pretrained(tmp_path / "saved", dtype=torch.float32).eval()
    prefixes = [toy.parts["prefix_of"](r) for r in toy.parts["records"].draw(0, 0, 4)]
    settings = {"seeds": [1, 2, 3, 4], "guidance_scale": 1.0, **SHAPE}
    codes = generate_codes(again, prefixes, **settings)
    with torch.no_grad():
        ours, saved, before = (bit_logprobs(m, prefixes, codes, **SHAPE) for m in (stage.policy, again, tiny_model()))
    assert (ours - saved).abs().max() < 1e-4 < (ours - before).abs().max()
    # A copy: the stage can go on.
    toy.one(stage, 3).loss.backward()


def test_adapters_are_the_seeds_own(stage_of):
    a, b, c = (stage_of(lora=LORA, seed=seed).state_dict() for seed in (0, 0, 1))
    same(a, b)
    assert any(not torch.equal(a[n], c[n]) for n in a)


# -- a real checkpoint -----------------------------------------------------------------------------------------------


def test_a_step_on_the_bundled_checkpoint_with_the_scorer_as_reward(toy, tmp_path):
    from evals.rewards import geneval

    checkpoint = uniar.load("uniar-mini")
    config = GrpoConfig(
        rewards=(RewardUse(name="geneval"),),
        height=64,
        width=64,
        group_size=3,
        decoder_steps=2,
        temperature=0.5,
        lora=LORA,
    )
    rewards = {"geneval": geneval(detector="shapes")}
    stage = GrpoStage.from_checkpoint(checkpoint, config, prompts=2, records=ShapesRecords(), rewards=rewards)
    assert toy.train(stage, tmp_path, steps=1, batch_size=2)
    (record,) = toy.log_of(tmp_path)
    assert (record["n_policy"], record["reward_geneval_applies"], record["reward_geneval_failed"]) == (6, 1.0, 0.0)
    assert (record["images_missing"], record["kl"]) == (0.0, 0.0) and 0 <= record["reward_geneval"] <= 1
    assert record["grad_norm"] > 0 or record["flat_share"] == 1.0
    kept = load_file(tmp_path / "step-00000001" / "module.safetensors")
    assert not any("decoder." in name and "visual_decoder" not in name for name in kept)


def test_going_on_in_the_middle_of_a_round_is_refused(stage_of):
    stage = stage_of(inner_epochs=2)
    with pytest.raises(TrainingError, match="step 3: the rollout that it goes on with is not part of the state"):
        stage.prepare(3, range(12, 16))
