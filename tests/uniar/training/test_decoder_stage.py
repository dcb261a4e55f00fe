"""The decoder stage: draws that belong to the image, honest upscaling, crops inside the table, an export that loads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import uniar
from uniar.data.mix import Mix
from uniar.data.pictures import PictureEncoder
from uniar.data.shapes import render, sample_scene
from uniar.data.sizing import Sizing
from uniar.errors import ConfigError
from uniar.training.decoder import DecoderConfig, DecoderStage
from uniar.training.engine import Engine
from uniar.training.optim import EngineConfig
from uniar.training.recipe_file import OURS
from uniar.training.recipes import locate_data, read
from uniar.training.running import train_stage

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
WORLD = "mix/mini-images.yaml"


@pytest.fixture(scope="module")
def base():
    return uniar.load("uniar-mini", dtype=torch.float32)


@pytest.fixture
def stage_of(base):
    """Build a stage on a fresh copy of the bundled decoder; keywords go to its settings."""

    def build(data: Path | None = None, **settings) -> DecoderStage:
        checkpoint = uniar.load("uniar-mini", dtype=torch.float32)
        sizing = replace(Sizing.from_processor(base.processor.image_processor), keep_original=True)
        return DecoderStage(
            checkpoint.decoder,
            base.feature_encoder,
            draw=Mix.open(data or locate_data(WORLD), sizing=sizing, seed=0).load,
            encode_pictures=PictureEncoder(base.model.visual, base.processor.image_processor),
            config=DecoderConfig(**settings),
            seed=7,
        )

    return build


def test_an_image_has_the_same_draws_in_any_batch(stage_of):
    stage = stage_of()
    (alone,), (among,) = stage.prepare(3, [101]).data, stage.prepare(3, [100, 101, 102]).data
    for name in ("flips", "targets", "noise", "sigma", "kept"):
        assert torch.equal(getattr(alone, name)[0], getattr(among, name)[1]), name
    assert alone.crop == among.crop


def test_micro_batches_add_up(stage_of):
    stage = stage_of(feature_dropout=0.5).eval()
    with torch.no_grad():
        whole = stage(stage.prepare(0, range(6)).data).sums["velocity"]
        parts = sum(stage(stage.prepare(0, n).data).sums["velocity"] for n in ([0, 1, 2], [3, 4, 5]))
    assert whole.item() == pytest.approx(parts.item(), rel=1e-5)


def test_sizes_reach_from_once_to_twice_what_the_tokenizer_saw(stage_of):
    stage = stage_of(upscale_share=0.6)
    sides = [stage.prepare(step, [step]).data[0].targets.shape[-1] for step in range(60)]
    assert set(sides) <= {64, 72, 80, 88, 96, 104, 112, 120, 128}
    assert len(set(sides)) > 5 and 0.2 < np.mean([s == 64 for s in sides]) < 0.65
    assert {stage_of(upscale_share=0.0).prepare(step, [step]).data[0].targets.shape[-1] for step in range(9)} == {64}


def test_an_image_without_finer_detail_does_not_teach_upscaling(stage_of, tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("small", 64), ("large", 128)):
        Image.fromarray(render(sample_scene(rng), size)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"prompt": "a shape", "image": f"{name}.png"}) + "\n", "utf-8")
        (tmp_path / f"{name}.yaml").write_text(f"datasets: [{{name: mine, path: {name}.jsonl}}]\n", "utf-8")
    small = stage_of(tmp_path / "small.yaml", upscale_share=1.0)
    assert {small.prepare(step, [step]).data[0].targets.shape[-1] for step in range(9)} == {64}
    # The checkpoint's processor leaves 128 pixels as they are, so nothing finer is known of that image either.
    large = stage_of(tmp_path / "large.yaml", upscale_share=1.0)
    assert {large.prepare(step, [step]).data[0].targets.shape[-1] for step in range(9)} == {128}


def test_the_targets_are_the_worlds_own_pixels_at_either_size(stage_of):
    stage = stage_of(upscale_share=1.0)
    (group,) = stage.prepare(0, [5]).data
    picture = group.pictures[0]
    wanted = picture.original.resize(group.targets.shape[-2:], Image.Resampling.BICUBIC)
    assert torch.equal(((group.targets[0] + 1) * 127.5).round().permute(1, 2, 0).byte(), torch.from_numpy(np.array(wanted)))
    assert picture.image.size == (64, 64) and picture.original.size == (128, 128)


def test_corners_are_drawn_inside_the_position_table(stage_of):
    stage = stage_of(upscale_share=0.5)
    table = stage.transformer.config.pos_embed_max_size
    seen = set()
    for step in range(80):
        (group,) = stage.prepare(step, [step]).data
        rows, columns = (side // 8 for side in group.targets.shape[-2:])
        assert 0 <= group.crop[0] <= table - rows and 0 <= group.crop[1] <= table - columns
        seen.add(group.crop)
    assert len(seen) > 20
    assert stage_of(random_crop=False).prepare(0, [0]).data[0].crop is None


def test_dropped_features_teach_their_projection_nothing(stage_of):
    gradients = []
    for rate in (1.0, 0.0):
        stage = stage_of(feature_dropout=rate)
        stage(stage.prepare(0, [0, 1]).data).sums["velocity"].backward()
        gradients.append(float(stage.transformer.siglip_embed_add_latent.weight.grad.abs().sum()))
    assert gradients[0] == 0 < gradients[1]


def test_features_make_the_velocity_easier(stage_of):
    errors = []
    for rate in (1.0, 0.0):
        stage = stage_of(feature_dropout=rate, upscale_share=0.0, flip_rate=0.0).eval()
        with torch.no_grad():
            errors.append(float(stage(stage.prepare(0, range(16)).data).sums["velocity"]))
    assert errors[1] < 0.7 * errors[0]


def test_fresh_weights_learn(stage_of, tmp_path):
    stage = stage_of(upscale_share=0.25)
    stage.restart(1)
    config = EngineConfig(steps=40, batch_size=8, lr=0.004, warmup=4, optimizer="muon", ema=0.9, save_every=100, log_every=1)
    assert Engine(stage, config, folder=tmp_path, seed=0, say=lambda _: None).run()
    log = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert np.mean(log[-8:]) < 0.8 * np.mean(log[:4])


def test_settings_that_cannot_be_used(stage_of):
    with pytest.raises(ConfigError, match="max_upscale: got 3.0; expected 1 to 2"):
        DecoderConfig(max_upscale=3.0)
    with pytest.raises(ConfigError, match="feature_dropout: got 1.5; expected 0 to 1"):
        DecoderConfig(feature_dropout=1.5)
    with pytest.raises(ConfigError, match="noise_shift: got 0"):
        DecoderConfig(noise_shift=0.0)


def test_the_recipe_trains_and_exports_the_averaged_transformer_alone(base, tmp_path):
    changes = ("data=mix/mini-images.yaml", "train.steps=3", "train.batch_size=2", "train.ema=0.5", "train.precision=float32")
    # Other settings than those that the bundled decoder was trained with, so that the configuration must change.
    recipe = read(OURS / "decoder.yaml", (*changes, "decoder.random_crop=false", "decoder.feature_dropout=0.2"))
    made = train_stage(recipe, tmp_path, say=lambda _: None)
    old, new = ({f.relative_to(d): f.read_bytes() for f in d.rglob("*") if f.is_file()} for d in (base.folder, made))
    assert old.keys() == new.keys()
    changed = {str(f) for f in old if old[f] != new[f]}
    assert changed == {"sd3_transformer/config.json", "sd3_transformer/diffusion_pytorch_model.safetensors"}
    config = json.loads(new[Path("sd3_transformer/config.json")])
    assert config["train_use_random_crop_pos_embed"] is False and config["drop_image_token_prob_for_cfg"] == 0.2
    average = load_file(tmp_path / "step-00000003" / "average.safetensors")
    stored = load_file(made / "sd3_transformer" / "diffusion_pytorch_model.safetensors")
    for name, tensor in stored.items():
        if f"transformer.{name}" in average:
            assert torch.equal(tensor, average[f"transformer.{name}"].to(tensor.dtype)), name
    images = uniar.load(made).generate(["a photo of a red star"], height=64, width=64, seeds=[0], upscale=2.0, decoder_steps=2)
    assert images[0].image.size == (128, 128)


def test_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    changes = ("data=mix/mini-images.yaml", "train.batch_size=2", "train.steps=4", "train.save_every=2", "train.precision=float32")
    recipe = read(OURS / "decoder.yaml", changes)
    whole = train_stage(recipe, tmp_path / "whole", say=lambda _: None)
    assert train_stage(recipe, tmp_path / "parts", say=lambda _: None, max_minutes=0) is None
    parts = train_stage(recipe, tmp_path / "parts", say=lambda _: None)
    weights = [(m / "sd3_transformer" / "diffusion_pytorch_model.safetensors").read_bytes() for m in (whole, parts)]
    assert weights[0] == weights[1]
