"""The settings of a GRPO run: the published ones, and the sentences for those that cannot be used."""

from __future__ import annotations

import pytest

from uniar.errors import ConfigError
from uniar.training.adapters import LoraSettings
from uniar.training.grpo.config import GrpoConfig
from uniar.training.grpo.rewards import RewardUse
from uniar.training.grpo.trainer import GrpoStage

# peft asks transformers by names that it now deprecates.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:`{name}` is deprecated and will be removed in v6:FutureWarning")
    for name in ("gradient_checkpointing_enable", "is_gradient_checkpointing")
]


def test_the_defaults_are_the_published_settings():
    c = GrpoConfig(rewards=(RewardUse(name="x"),))
    assert (c.group_size, c.temperature, c.clip, c.beta) == (16, 1.0, 0.2, 0.01)
    assert (c.height, c.width, c.decoder_steps, c.decoder_guidance_scale, c.rewards[0].weight) == (512, 512, 14, 1.0, 1.0)
    assert (c.inner_epochs, c.upscale, c.exact, c.lora) == (1, 1.0, False, None)


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
        GrpoStage(tiny_model(), config, prompts=4, rewards={"white": toy.white()}, **toy.parts)
    with pytest.raises(ConfigError, match=r'rewards: got "black"; expected an entry point of the group uniar\.rewards'):
        GrpoStage(tiny_model(), config, prompts=4, **toy.parts)


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0.0}, {"targets": ()}])
def test_adapters_that_cannot_be_used(settings):
    with pytest.raises(ConfigError, match=r"lora\."):
        LoraSettings(**settings)
