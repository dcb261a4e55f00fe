"""The GRPO stage: the reward rises, a resumed run is an unbroken run, frozen is frozen, every failure is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import uniar
from uniar.errors import ConfigError, TrainingError
from uniar.generation.codes import generate_codes
from uniar.training.grpo.config import GrpoConfig, LoraSettings
from uniar.training.grpo.logprobs import bit_logprobs
from uniar.training.grpo.loss import k3
from uniar.training.grpo.records import ShapesRecords
from uniar.training.grpo.rewards import RewardUse
from uniar.training.grpo.trainer import GrpoStage
from uniar.training.loop import run_stage
from uniar.training.optim import LoopConfig

# peft asks transformers by names that it now deprecates.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:`{name}` is deprecated and will be removed in v6:FutureWarning")
    for name in ("gradient_checkpointing_enable", "is_gradient_checkpointing")
]

LORA = LoraSettings(rank=8, alpha=16.0)
SHAPE = {"rows": 2, "columns": 3}


@pytest.fixture
def stage_of(tiny_model, toy):
    """Build a stage of the toy task on the tiny model; keywords go to the settings, `parts` and `rewards` to the stage."""

    def build(*, rewards=None, parts=None, model=None, **settings) -> GrpoStage:
        given = rewards or {"white": toy.white()}
        uses = tuple(RewardUse(name=name) for name in given)
        config = GrpoConfig(**({"rewards": uses, "prompts_per_step": 4, "group_size": 8, **toy.size} | settings))
        return GrpoStage(model or tiny_model(), config, rewards=given, **(toy.parts | (parts or {})))

    return build


def train(stage: GrpoStage, folder: Path, *, max_seconds: float | None = None, **settings) -> bool:
    loop = {"batch_size": 32, "lr": 0.003, "warmup": 1, "final_lr": 1.0, "weight_decay": 0.0, "log_every": 1, "save_every": 1000}
    config = LoopConfig(**(loop | settings))
    return run_stage("grpo", stage, stage.step, config, folder=folder, seed=0, say=lambda _: None, max_seconds=max_seconds)


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def mean(records: list[dict[str, float]], key: str) -> float:
    return sum(r[key] for r in records) / len(records)


def one(stage: GrpoStage, index: int = 0) -> dict[str, torch.Tensor]:
    return dict(stage.step(index, torch.Generator()))


# -- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"inner_epochs": 2}, {"lora": LORA, "lr": 0.01}, {"precision": "bfloat16"}], ids=["full", "reused", "lora", "bfloat16"]
)
def test_the_mean_reward_rises(stage_of, tmp_path, settings):
    loop = {key: settings.pop(key) for key in ("lr", "precision") if key in settings}
    assert train(stage_of(**settings), tmp_path, steps=40, **loop)
    records = log_of(tmp_path)
    assert mean(records[:4], "reward_white") < 0.56
    assert mean(records[-4:], "reward_white") > 0.70


def test_the_opposite_reward_is_learnt_too(stage_of, toy, tmp_path):
    assert train(stage_of(rewards={"black": toy.black()}), tmp_path, steps=40)
    records = log_of(tmp_path)
    assert mean(records[:4], "reward_black") < 0.56 and mean(records[-4:], "reward_black") > 0.70


def test_two_opposed_rewards_teach_nothing(stage_of, toy, tmp_path):
    stage = stage_of(rewards={"white": toy.white(), "black": toy.black()}, beta=0.0)
    before = {n: p.clone() for n, p in stage.named_parameters()}
    assert train(stage, tmp_path, steps=3)
    assert all(r["flat_share"] == 1.0 and r["loss"] == 0.0 and "kl" not in r for r in log_of(tmp_path))
    assert all(torch.equal(p, before[n]) for n, p in stage.named_parameters())


# -- resume ----------------------------------------------------------------------------------------------------------


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    # As bytes, since a missing reward is not equal to itself.
    assert [k for k in a if a[k].numpy().tobytes() != b[k].numpy().tobytes()] == []


@pytest.mark.parametrize(
    "settings", [{}, {"lora": LORA}, {"inner_epochs": 3}, {"lora": LORA, "inner_epochs": 2}], ids=["full", "lora", "reused", "lora reused"]
)
def test_a_run_stopped_after_every_step_is_an_unbroken_run(stage_of, toy, tmp_path, settings):
    rewards = {"white": toy.white(failing=[3]), "other": toy.white(task="none")}
    assert train(stage_of(rewards=rewards, **settings), tmp_path / "unbroken", steps=7)
    for done in range(1, 8):
        assert train(stage_of(rewards=rewards, **settings), tmp_path / "stopped", steps=7, max_seconds=0.0) == (done == 7)
        # The process that goes on has a random state of its own; nothing here draws from it.
        torch.manual_seed(done)
    unbroken, stopped = (load_file(tmp_path / name / "state.safetensors") for name in ("unbroken", "stopped"))
    unbroken.pop("rng"), stopped.pop("rng")
    same(unbroken, stopped)
    told = [{k: v for k, v in r.items() if k != "step"} for r in log_of(tmp_path / "unbroken")]
    assert told == [{k: v for k, v in r.items() if k != "step"} for r in log_of(tmp_path / "stopped")]
    assert told[0]["reward_white_failed"] == 1 and told[0]["reward_other_not_applicable"] == 32


def test_the_callers_random_stream_is_untouched(stage_of):
    before = torch.get_rng_state()
    stage = stage_of(lora=LORA)
    one(stage)["loss"].backward()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_of_other_weights_is_refused(stage_of, tiny_model, tmp_path):
    train(stage_of(lora=LORA), tmp_path, steps=1)
    with pytest.raises(TrainingError, match=r"state.safetensors: does not fit.*started from other weights"):
        train(stage_of(lora=LORA, model=tiny_model(seed=9)), tmp_path, steps=2)
    with pytest.raises(TrainingError, match="does not fit"):
        train(stage_of(), tmp_path, steps=2)


# -- what is trained, kept and frozen ---------------------------------------------------------------------------------


def test_the_state_holds_what_training_changes_and_nothing_else(stage_of, tiny_model):
    model = tiny_model()
    trained = {f"policy.{n}" for n, _ in model.named_parameters() if not n.startswith("model.visual.")}
    assert set(stage_of().state_dict()) == trained | {"start"}
    kept = set(stage_of(inner_epochs=2).state_dict()) - trained
    assert kept == {"start", "codes", "old", "values", "outcomes", "decoded"}
    adapters = set(stage_of(lora=LORA).state_dict()) - {"start"}
    # Seven layers in each of three decoder layers and in the head's one, two factors each.
    assert len(adapters) == 2 * 7 * 4 and all(".lora_A." in n or ".lora_B." in n for n in adapters)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_the_divergence_is_from_the_model_that_training_found(stage_of, tiny_model, toy, tmp_path, lora):
    stage, found = stage_of(lora=lora), tiny_model()
    first = one(stage)
    assert first["kl"] == 0 and first["ratio"] == 1
    assert train(stage, tmp_path, steps=5, lr=0.01)
    later = one(stage, 5)
    records = toy.parts["records"].draw(0, 5, 4)
    prefixes = [toy.parts["prefix_of"](r) for r in records for _ in range(8)]
    with torch.no_grad():
        new, old = (bit_logprobs(m, prefixes, stage.codes, **SHAPE) for m in (stage.merged(), found))
    assert later["kl"] > 1e-3
    assert later["kl"].item() == pytest.approx(k3(new, old).mean().item(), rel=1e-3)


@pytest.mark.parametrize("beta", [0.01, 0.0])
def test_the_vision_stack_is_frozen(stage_of, tiny_model, tmp_path, beta):
    stage = stage_of(beta=beta)
    assert train(stage, tmp_path, steps=3)
    fresh = dict(tiny_model().named_parameters())
    moved = {n for n, p in stage.policy.named_parameters() if not torch.equal(p, fresh[n])}
    assert moved and not any(n.startswith("model.visual.") for n in moved)
    # The text classifier has no part in making images.
    assert not any(n.startswith("lm_head") for n in moved)
    assert any(n.startswith("visual_decoder") for n in moved) and any("language_model.layers.0" in n for n in moved)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_merged_is_a_plain_model_of_the_policy(stage_of, tiny_model, toy, tmp_path, lora):
    stage = stage_of(lora=lora)
    assert train(stage, tmp_path / "run", steps=3, lr=0.01)
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
    one(stage, 3)["loss"].backward()


def test_adapters_are_the_seeds_own(stage_of):
    a, b, c = (stage_of(lora=LORA, seed=seed).state_dict() for seed in (0, 0, 1))
    same(a, b)
    assert any(not torch.equal(a[n], c[n]) for n in a)


# -- one step --------------------------------------------------------------------------------------------------------


def gradients(stage: GrpoStage) -> dict[str, torch.Tensor]:
    one(stage)["loss"].backward()
    return {n: p.grad for n, p in stage.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_micro_batches_change_nothing(stage_of, lora):
    whole, parts = (gradients(stage_of(lora=lora, micro_batch=size)) for size in (64, 5))
    assert whole.keys() == parts.keys()
    for name, grad in whole.items():
        assert torch.allclose(grad, parts[name], atol=1e-5), name


def test_a_rollout_serves_its_inner_epochs(stage_of, tmp_path):
    stage = stage_of(inner_epochs=2)
    rollouts = []

    def step(index, stream):
        out = stage.step(index, stream)
        rollouts.append(stage.codes.clone())
        return out

    config = LoopConfig(steps=4, batch_size=32, lr=0.05, warmup=1, final_lr=1.0, log_every=1)
    assert run_stage("grpo", stage, step, config, folder=tmp_path, seed=0, say=lambda _: None)
    assert torch.equal(rollouts[0], rollouts[1]) and torch.equal(rollouts[2], rollouts[3])
    assert not torch.equal(rollouts[1], rollouts[2])
    records = log_of(tmp_path)
    # The weights that drew the codes have ratio one; those after a step do not, and some of their bits are clipped.
    assert [r["ratio"] == 1.0 for r in records] == [True, False, True, False]
    assert [r["clip_fraction"] > 0 for r in records] == [False, True, False, True]


def test_an_image_does_not_depend_on_the_other_prompts(stage_of, toy):
    stage, other = stage_of(), stage_of(prompts_per_step=2, micro_batch=3)
    one(stage), one(other)
    assert torch.equal(stage.codes[:16], other.codes)


def losing(which: int, toy) -> dict[str, object]:
    """The toy decoder with one image that cannot be made."""

    def decode(codes, seeds):
        images = toy.parts["decode"](codes, seeds)
        return [None if i == which else image for i, image in enumerate(images)]

    return {"decode": decode}


def test_a_missing_image_is_counted_and_takes_no_part(stage_of, toy):
    whole, holed = stage_of(beta=0.0), stage_of(beta=0.0, parts=losing(3, toy))
    one(whole), one(holed)
    assert torch.equal(whole.codes, holed.codes)
    made = one(holed)
    assert (made["images_missing"], made["reward_white_n"], made["reward_white_failed"]) == (1, 31, 1)
    assert holed.values[0, 3].isnan()
    assert made["reward_white"] == whole.values[0][torch.arange(32) != 3].mean()


def test_the_bits_of_a_missing_image_do_not_matter(stage_of, toy):
    stage = stage_of(inner_epochs=2, parts=losing(3, toy))
    one(stage)
    # Off the reference, so that every bit that takes part has a divergence.
    with torch.no_grad():
        stage.policy.output_layer_vistok[-1].weight.mul_(1.2)
    before = one(stage, 1)["loss"]
    stage.codes[3] ^= 1
    assert one(stage, 1)["loss"] == before
    stage.codes[4] ^= 1
    assert one(stage, 1)["loss"] != before


def test_too_many_missing_images_stop_the_run(stage_of, tmp_path):
    def decode(codes, seeds):
        raise RuntimeError("no weights")

    with pytest.raises(TrainingError, match=r"decoder: 32 of 32 failed in one step; expected at most 25%.*no weights"):
        train(stage_of(parts={"decode": decode}), tmp_path, steps=1)


def test_too_many_failed_values_stop_the_run(stage_of, toy, tmp_path):
    rewards = {"white": toy.white(), "dark": toy.white(failing=range(9))}
    with pytest.raises(TrainingError, match=r"reward dark: 9 of 32 failed in one step; expected at most 25%. First: no light\."):
        train(stage_of(rewards=rewards), tmp_path, steps=1)
    assert train(stage_of(rewards=rewards, max_failed=0.3), tmp_path, steps=1)


def test_missing_images_are_not_held_against_a_reward(stage_of, toy):
    rewards = {"white": toy.white(failing=range(8))}
    made = one(stage_of(rewards=rewards, parts=losing(20, toy), max_failed=8 / 31 + 1e-9))
    assert (made["reward_white_failed"], made["images_missing"]) == (9, 1)


def test_a_reward_that_applies_to_nothing_has_no_mean(stage_of, toy):
    made = one(stage_of(rewards={"other": toy.white(task="none")}))
    assert "reward_other" not in made
    assert (made["reward_other_n"], made["reward_other_not_applicable"], made["sparse_share"]) == (0, 32, 1.0)
    assert made["loss"] == 0


# -- settings --------------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_published_settings():
    c = GrpoConfig(rewards=(RewardUse(name="x"),))
    assert (c.prompts_per_step, c.group_size, c.temperature, c.clip, c.beta) == (32, 16, 1.0, 0.2, 0.01)
    assert (c.height, c.width, c.decoder_steps, c.decoder_guidance_scale, c.rewards[0].weight) == (512, 512, 14, 1.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rewards": ()}, "rewards: got none"),
        ({"rewards": (RewardUse(name="x"), RewardUse(name="x"))}, "rewards: got x, x; expected different names"),
        ({"group_size": 1}, "group_size: got 1"),
        ({"temperature": 0.0}, "temperature: got 0.0"),
        ({"upscale": 3.0}, "upscale: got 3.0"),
        ({"clip": 1.0}, "clip, beta, max_failed: got 1.0"),
        ({"beta": -0.1}, "clip, beta, max_failed: got 0.2, -0.1"),
        ({"max_failed": 2.0}, "clip, beta, max_failed: got 0.2, 0.01, 2.0"),
        ({"inner_epochs": 0}, "inner_epochs: got 0"),
        ({"micro_batch": 0}, "micro_batch: got 0"),
    ],
)
def test_settings_that_cannot_be_used(settings, told):
    with pytest.raises(ConfigError, match=told):
        GrpoConfig(**({"rewards": (RewardUse(name="x"),)} | settings))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"height": 20}, r"height, width: got 20 x 24; expected multiples of 8"),
        ({"lora": LoraSettings(targets=("nothing",))}, r"lora\.targets: got nothing; expected linear layers"),
        ({"lora": LoraSettings(targets=("qkv",))}, r"lora\.targets: got qkv; expected no layer of the vision stack"),
    ],
)
def test_settings_that_do_not_fit_the_model(stage_of, settings, told):
    with pytest.raises(ConfigError, match=told):
        stage_of(**settings)


def test_given_rewards_are_those_of_the_settings(tiny_model, toy):
    config = GrpoConfig(rewards=(RewardUse(name="black"),), **toy.size)
    with pytest.raises(ConfigError, match="rewards: got white; expected those of the config: black"):
        GrpoStage(tiny_model(), config, rewards={"white": toy.white()}, **toy.parts)
    with pytest.raises(ConfigError, match=r'rewards: got "black"; expected an entry point of the group uniar\.rewards'):
        GrpoStage(tiny_model(), config, **toy.parts)


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0.0}, {"targets": ()}])
def test_adapters_that_cannot_be_used(settings):
    with pytest.raises(ConfigError, match=r"lora\."):
        LoraSettings(**settings)


# -- a real checkpoint -----------------------------------------------------------------------------------------------


def test_a_step_on_the_bundled_checkpoint_with_the_scorer_as_reward(tmp_path):
    from evals.rewards import geneval

    checkpoint = uniar.load("uniar-mini")
    config = GrpoConfig(
        rewards=(RewardUse(name="geneval"),),
        height=64,
        width=64,
        prompts_per_step=2,
        group_size=3,
        decoder_steps=2,
        temperature=0.5,
        lora=LORA,
    )
    rewards = {"geneval": geneval(detector="shapes")}
    stage = GrpoStage.from_checkpoint(checkpoint, config, records=ShapesRecords(), rewards=rewards)
    assert train(stage, tmp_path, steps=1)
    (record,) = log_of(tmp_path)
    assert (record["reward_geneval_n"], record["images_missing"], record["kl"]) == (6, 0, 0.0)
    assert record["grad_norm"] > 0 or record["flat_share"] == 1.0
    assert not any("decoder." in name and "visual_decoder" not in name for name in load_file(tmp_path / "state.safetensors"))
