"""Rollouts: seeds belong to prompt and member, failures are missing images with a reason, nothing becomes black."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from uniar.generation.codes import Prefix, generate_codes
from uniar.training.grpo.records import Record
from uniar.training.grpo.rewards import RewardValue
from uniar.training.grpo.rollout import CheckpointDecode, Decoded, decode_all, judge, sample, seeds_of

SIZE = {"rows": 2, "columns": 2, "temperature": 1.0}


def record(number: int) -> Record:
    return Record(key=f"k{number}", instruction="x", number=number, task="t", metadata={"n": number})


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model(seed=2)


def test_seeds_belong_to_run_step_prompt_and_member():
    base = seeds_of(0, 0, [record(0), record(1)], 4)
    assert len(set(base)) == 8
    # Neither the other prompts nor the place among them matter.
    assert seeds_of(0, 0, [record(1), record(7), record(0)], 4)[8:] == base[:4]
    assert set(base).isdisjoint(seeds_of(0, 1, [record(0), record(1)], 4))
    assert set(base).isdisjoint(seeds_of(1, 0, [record(0), record(1)], 4))
    assert seeds_of(0, 0, [record(0)], 6)[:4] == base[:4]


def test_samples_are_those_of_generate_codes_and_the_mode_stays(model):
    prefixes = [Prefix(input_ids=torch.tensor([*ids, 62])) for ids in ([5], [7, 8, 9], [4, 4])]
    model.train()
    codes = sample(model, prefixes, [1, 2, 3], batch=2, **SIZE)
    assert model.training
    model.eval()
    assert torch.equal(codes, sample(model, prefixes, [1, 2, 3], batch=3, **SIZE))
    assert not model.training
    settings = {"exact": True, "guidance_scale": 1.0} | SIZE
    assert torch.equal(codes, generate_codes(model, prefixes, seeds=[1, 2, 3], **settings))


def test_training_in_bfloat16_right_after_a_rollout_has_gradients(model):
    # Autocast keeps the weights it has cast; those of the rollout carry no gradient.
    with torch.autocast("cpu", torch.bfloat16):
        sample(model, [Prefix(input_ids=torch.tensor([5, 62]))], [0], batch=1, **SIZE)
        positions = model.positions(torch.tensor([[5, 62]]), None)
        states = model.states(position_ids=positions, input_ids=torch.tensor([[5, 62]]))
        model.bit_logits(states, position_ids=positions).float().sum().backward()
    weight = model.output_layer_vistok[-1].weight
    assert weight.grad is not None and weight.grad.abs().sum() > 0
    model.zero_grad()


CODES = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1, 1)


def test_one_image_that_cannot_be_decoded_does_not_take_the_others_with_it():
    def decode(codes, seeds):
        if 2 in codes.flatten().tolist():
            raise RuntimeError("out of\nmemory")
        return [Image.new("RGB", (1, 1), (int(c), int(s), 0)) for c, s in zip(codes.flatten(), seeds, strict=True)]

    made = decode_all(decode, CODES, [10, 11, 12, 13])
    assert [None if i is None else i.getpixel((0, 0)) for i in made.images] == [(0, 10, 0), (1, 11, 0), None, (3, 13, 0)]
    assert made.reasons == [None, None, "RuntimeError: out of memory", None]


def test_missing_and_miscounted_images_have_a_reason():
    image = Image.new("RGB", (1, 1))
    made = decode_all(lambda codes, seeds: [image, None, image, image], CODES, [0] * 4)
    assert made.reasons == [None, "the decoder made no image", None, None]
    made = decode_all(lambda codes, seeds: [image], CODES, [0] * 4)
    assert made.images == [image] * 4
    made = decode_all(lambda codes, seeds: [], CODES, [0] * 4)
    assert made.images == [None] * 4 and made.reasons[0] == "ValueError: the decoder made 0 images of 1 codes"


class Numbered:
    """Values from the record and the image's width."""

    def rewards(self, images, records):
        return [
            RewardValue(value=None, outcome="not_applicable")
            if r["metadata"]["n"] == 1
            else RewardValue(value=10.0 * r["metadata"]["n"] + (0 if image is None else image.width), outcome="ok")
            for image, r in zip(images, records, strict=True)
        ]


class Broken:
    """A reward whose service is down."""

    def rewards(self, images, records):
        raise ConnectionError("down")


def test_rewards_are_joined_to_their_images_and_prompts():
    images = [Image.new("RGB", (w, 1)) for w in (1, 2, 3)] + [None] + [Image.new("RGB", (w, 1)) for w in (5, 6)]
    made = judge({"a": Numbered(), "b": Broken()}, Decoded(images, [None] * 6), [record(0), record(1), record(2)])
    assert made.values[0].tolist()[:2] == [1.0, 2.0] and made.values[0].tolist()[4:] == [25.0, 26.0]
    assert made.values[0, 2:4].isnan().all() and made.values[1].isnan().all()
    assert made.outcomes.tolist() == [[0, 0, 1, 1, 0, 0], [2] * 6]
    assert made.reasons[1] == ["ConnectionError: down"] * 6


class Checkpoint:
    """Feature encoder and decoder with the shapes of the real ones; the third image of a batch comes out as no number."""

    def __init__(self) -> None:
        self.feature_encoder = SimpleNamespace(config=SimpleNamespace(patch_size=4), feature_map=lambda codes, h, w: codes)
        self.decoder = self
        self.asked: list[dict[str, object]] = []

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        return 1, height, width

    def decode(self, features, **settings):
        self.asked.append(settings)
        pixels = torch.linspace(-2, 2, settings["height"]).reshape(1, 1, -1, 1).expand(len(features), 3, -1, settings["width"]).clone()
        pixels[2:3, :, 0, 0] = torch.nan
        return pixels


def test_an_image_with_a_pixel_that_is_no_number_is_missing_and_not_black():
    decode = CheckpointDecode(Checkpoint(), height=8, width=16, upscale=1.5, steps=14, guidance_scale=1.0, batch=3)
    images = decode(torch.zeros(5, 2, 1, 4, 7), [1, 2, 3, 4, 5])
    assert [image is None for image in images] == [False, False, True, False, False]
    assert images[0].size == (24, 12)
    assert np.asarray(images[0])[[0, -1], 0, 0].tolist() == [0, 255]


def test_the_decoder_is_asked_for_the_published_settings():
    checkpoint = Checkpoint()
    decode = CheckpointDecode(checkpoint, height=8, width=16, upscale=1.0, steps=14, guidance_scale=1.0, batch=3)
    decode(torch.zeros(5, 2, 1, 4, 7), [1, 2, 3, 4, 5])
    assert [call["seeds"] for call in checkpoint.asked] == [[1, 2, 3], [4, 5]]
    assert all((c["steps"], c["guidance_scale"], c["feature_grid"]) == (14, 1.0, (2, 4)) for c in checkpoint.asked)
