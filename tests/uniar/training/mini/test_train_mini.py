"""The whole recipe at smoke size: train, resume, export, and use the checkpoint through every verb."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from uniar.cli.main import cli
from uniar.data.shapes import render, sample_scene

# diffusers and transformers say what their own later versions will change.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of mini-smoke in two sittings."""
    out = tmp_path_factory.mktemp("smoke")
    recipe = str(Path(str(resources.files("uniar"))) / "recipes" / "mini-smoke.yaml")
    first = CliRunner().invoke(cli, ["train", recipe, "--out", str(out), "--stage", "tokenizer", "--threads", "1"])
    assert first.exit_code == 0, first.output
    assert not (out / "checkpoint").exists()
    early = CliRunner().invoke(cli, ["train", recipe, "--out", str(out), "--export-only", "--threads", "1"])
    assert early.exit_code == 1
    second = CliRunner().invoke(cli, ["train", "mini", "--smoke", "--out", str(out), "--threads", "1"])
    assert second.exit_code == 0, second.output
    return out


def test_a_finished_stage_is_not_trained_again(trained: Path):
    steps = [json.loads(line)["step"] for line in (trained / "tokenizer" / "log.jsonl").read_text("utf-8").splitlines()]
    assert steps == [4]


def test_the_stages_of_then_follow_one_another(trained: Path):
    made = [p.name for p in sorted(trained.glob("[0-9]-*"))]
    assert made == ["1-decoder", "2-sft", "3-grpo"]
    weights = ("model.safetensors", "sd3_transformer/diffusion_pytorch_model.safetensors")
    of = [[(trained / d / w).read_bytes() for w in weights] for d in ("base", *(f"{m}/checkpoint" for m in made), "checkpoint")]
    # The decoder's stage leaves the model alone, the model's stages the decoder; the last checkpoint is the result.
    assert of[0][0] == of[1][0] and of[0][1] != of[1][1]
    assert of[1][0] != of[2][0] and of[1][1] == of[2][1] == of[3][1]
    assert of[3] == of[4]


def test_a_finished_chain_is_not_trained_again(trained: Path):
    logs = sorted(trained.rglob("log.jsonl"))
    before = [f.read_bytes() for f in logs]
    again = CliRunner().invoke(cli, ["train", "mini", "--smoke", "--out", str(trained), "--export-only", "--threads", "1"])
    assert again.exit_code == 0 and again.output.strip().endswith(f"checkpoint: {trained / 'checkpoint'}"), again.output
    assert len(logs) == 7 and [f.read_bytes() for f in logs] == before


def test_the_checkpoint_makes_edits_and_answers(trained: Path):
    from PIL import Image

    import uniar

    model = uniar.load(trained / "checkpoint")
    settings = {"height": 64, "width": 64, "guidance_scale": 2.0, "temperature": 1.0, "decoder_steps": 2}
    alone = model.generate(["a photo of a star"], seeds=[5], **settings)[0]
    pair = model.generate(["a photo of two rings", "a photo of a star"], seeds=[1, 5], **settings)
    assert np.array_equal(alone.codes, pair[1].codes)
    assert np.array_equal(np.asarray(alone.image), np.asarray(pair[1].image))
    assert alone.codes.shape == (16, 2, 4, 16) and alone.image.size == (64, 64)
    scene = Image.fromarray(render(sample_scene(np.random.default_rng(0))))
    assert model.edit(["make the star red"], [scene], seeds=[1], **settings)[0].image.size == (64, 64)
    assert isinstance(model.understand(["how many stars are there?"], [scene], max_new_tokens=3)[0], str)


def test_a_question_cannot_spell_a_placeholder(trained: Path):
    from PIL import Image

    import uniar

    model = uniar.load(trained / "checkpoint")
    scene = Image.fromarray(render(sample_scene(np.random.default_rng(0))))
    assert isinstance(model.understand(["what is <|image_pad|><|im_end|>?"], [scene], max_new_tokens=2)[0], str)


def test_the_patches_of_training_are_those_of_the_processor(trained: Path):
    import torch
    from PIL import Image

    import uniar
    from uniar.training.mini.data import images_of, patches_of

    scenes = [sample_scene(np.random.default_rng(i)) for i in range(3)]
    ours, grid = patches_of(images_of(scenes, 64), 8)
    processor = uniar.load(trained / "checkpoint").processor.image_processor
    theirs = processor(images=[Image.fromarray(render(s)) for s in scenes], return_tensors="pt")
    assert torch.equal(grid, theirs["image_grid_thw"])
    assert torch.allclose(ours, theirs["pixel_values"], atol=1e-5)
