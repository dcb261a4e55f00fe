"""The tokenizer stage: gradients through the quantiser, flips of an image's own, terms by weight, an export that loads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import uniar
from uniar.data.mix import Mix
from uniar.data.sizing import Sizing
from uniar.errors import ConfigError
from uniar.training.engine import Engine
from uniar.training.optim import EngineConfig
from uniar.training.recipe_file import OURS
from uniar.training.recipes import locate_data, read
from uniar.training.running import train_stage
from uniar.training.tokenizer import TokenizerConfig, TokenizerStage

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture
def stage_of():
    """Build a stage on the bundled checkpoint; keywords go to its settings."""

    def build(data: Path | None = None, **settings) -> TokenizerStage:
        base = uniar.load("uniar-mini", dtype=torch.float32)
        processor = base.processor
        sizing = Sizing.from_processor(processor.image_processor)
        return TokenizerStage(
            base.model,
            tokenizer=processor.tokenizer,
            image_processor=processor.image_processor,
            draw=Mix.open(data or locate_data("mix/mini-sft.yaml"), sizing=sizing, seed=0).load,
            config=TokenizerConfig(**({"packed_length": 256} | settings)),
            seed=7,
        )

    return build


def gradients(stage: TokenizerStage) -> dict[str, float]:
    out = stage(stage.prepare(0, range(4)).data)
    sum(stage.loss_weights[name] * total for name, total in out.sums.items()).backward()
    return {n: float(p.grad.abs().sum()) for n, p in stage.named_parameters() if p.grad is not None}


def test_the_language_models_loss_reaches_the_pixels_through_the_quantiser(stage_of):
    seen = gradients(stage_of(entropy_weight=0.0))
    for name in ("patch_embed.proj.weight", "bsq_input_proj", "bsq_output_proj", "merger", "deepstack_merger_list", "blocks.0"):
        assert any(g > 0 for n, g in seen.items() if n.startswith(f"model.model.visual.{name}")), name
    assert any(n.startswith("model.model.language_model") for n in seen) and "model.lm_head.weight" in seen
    # What only writes images has no part.
    assert not any("visual_decoder" in n or "output_layer_vistok" in n for n in seen)


def test_a_frozen_language_model_stays(stage_of):
    seen = gradients(stage_of(language="frozen"))
    assert seen and all(n.startswith("model.model.visual.") for n in seen)


def test_terms_are_there_by_their_weight(stage_of):
    assert set(stage_of(entropy_weight=0.0).loss_weights) == {"text"}
    stage = stage_of(reconstruction_weight=0.5, distillation_weight=0.25)
    made = stage.prepare(0, range(3))
    assert stage.loss_weights == {"text": 1.0, "entropy": 0.02, "reconstruction": 0.5, "distillation": 0.25}
    assert made.counts.keys() == stage(made.data).sums.keys() == stage.loss_weights.keys()
    # The head that reads pixels is thrown away: it is no part of the model.
    assert not any("pixels" in n for n, _ in stage.model.named_parameters())


def test_text_and_pixels_add_up_over_micro_batches(stage_of):
    stage = stage_of(reconstruction_weight=1.0, entropy_weight=0.0).eval()
    with torch.no_grad():
        whole = stage(stage.prepare(0, range(4)).data).sums
        parts = [stage(stage.prepare(0, n).data).sums for n in ([0, 1], [2, 3])]
    for name, total in whole.items():
        assert total.item() == pytest.approx(sum(p[name].item() for p in parts), rel=1e-4), name


def test_flips_are_the_images_own(stage_of):
    stage = stage_of(flip_rate=0.5)
    alone, among = stage.prepare(2, [9]).data, stage.prepare(2, [8, 9]).data
    keys = [e.sample.key for i in among.packed.order for e in [among.packed.sequences[i]] for _ in e.pictures]
    mine = torch.cat([among.flips[64 * i : 64 * (i + 1)] for i, key in enumerate(keys) if key == alone.packed.sequences[0].sample.key])
    assert torch.equal(alone.flips, mine) and alone.flips.any()
    assert not torch.equal(alone.flips, stage.prepare(3, [9]).data.flips)
    assert not stage_of(flip_rate=0.0).prepare(2, [9]).data.flips.any()


def test_strengths_are_the_papers_percent_steps(stage_of):
    stage = stage_of(flip_rate=0.03)
    rates = [float(stage._flips(0, str(i), 20000).float().mean()) for i in range(12)]
    nearest = {round(100 * r) for r in rates}
    assert nearest <= {0, 1, 2, 3} and len(nearest) > 2
    assert all(abs(100 * r - round(100 * r)) < 0.1 for r in rates)


def test_what_is_written_elsewhere_is_read_here(stage_of):
    stage = stage_of()
    batch = stage.prepare(0, range(8)).data.packed
    assert not batch.written.any() and batch.writers == 0
    assert batch.text_tokens > 0


def test_the_terms_are_learnt(stage_of, tmp_path):
    stage = stage_of(reconstruction_weight=1.0)
    config = EngineConfig(steps=24, batch_size=6, lr=0.002, warmup=2, save_every=100, log_every=1)
    assert Engine(stage, config, folder=tmp_path, seed=0, say=lambda _: None).run()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert np.mean([r["reconstruction"] for r in log[-5:]]) < 0.8 * np.mean([r["reconstruction"] for r in log[:3]])
    assert all(0 <= r["bit_entropy"] <= 0.6932 and 0 <= r["code_entropy"] <= 0.6932 for r in log)


def test_data_without_images_is_refused(stage_of, tmp_path):
    (tmp_path / "text.jsonl").write_text('{"text": "words alone"}\n', "utf-8")
    (tmp_path / "mix.yaml").write_text("datasets: [{name: text, path: text.jsonl}]\n", "utf-8")
    with pytest.raises(ConfigError, match="data: got a micro-batch without an image"):
        stage_of(tmp_path / "mix.yaml").prepare(0, [0])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"language": "half"}, "language: got 'half'"),
        ({"flip_rate": 0.7}, "flip_rate: got 0.7"),
        ({"text_weight": -1.0}, "text_weight: got -1.0"),
    ],
)
def test_settings_that_cannot_be_used(settings, told):
    with pytest.raises(ConfigError, match=told):
        TokenizerConfig(**settings)


def test_the_recipe_exports_model_and_encoder_with_one_tokenizer(tmp_path):
    changes = ("data=mix/mini-sft.yaml", "train.steps=2", "train.batch_size=3", "train.precision=float32", "tokenizer.packed_length=256")
    told = []
    made = train_stage(read(OURS / "tokenizer.yaml", changes), tmp_path, say=told.append)
    assert "must be trained again" in told[-1]
    model, encoder = load_file(made / "model.safetensors"), load_file(made / "bsq_encoder" / "model.safetensors")
    visual = {n.removeprefix("model.visual."): t for n, t in model.items() if n.startswith("model.visual.")}
    assert visual.keys() == encoder.keys() and all(torch.equal(visual[n], encoder[n]) for n in encoder)
    old = load_file(uniar.load("uniar-mini").folder / "bsq_encoder" / "model.safetensors")
    assert not torch.equal(encoder["patch_embed.proj.weight"], old["patch_embed.proj.weight"])
    checkpoint = uniar.load(made)
    (one,) = checkpoint.generate(["a photo of a red star"], height=64, width=64, seeds=[0], decoder_steps=2)
    assert one.image.size == (64, 64)


def test_a_fresh_start_forgets_the_vision_stack_and_nothing_else(tmp_path):
    changes = ("data=mix/mini-sft.yaml", "train.steps=1", "train.batch_size=1", "train.lr=0.0", "train.precision=float32", "fresh=true")
    made = train_stage(read(OURS / "tokenizer.yaml", (*changes, "tokenizer.packed_length=256")), tmp_path, say=lambda line: None)
    old, new = (load_file(folder / "model.safetensors") for folder in (uniar.load("uniar-mini").folder, made))
    changed = {name for name in new if not torch.equal(old[name], new[name])}
    assert "model.visual.patch_embed.proj.weight" in changed and all(name.startswith("model.visual.") for name in changed)


QUANTIZERS = {
    "lfq": {"kind": "lfq", "dim": 8},
    "fsq": {"kind": "fsq", "dim": 3, "levels": [8, 8, 4]},
    "vq": {"kind": "vq", "dim": 6, "size": 16},
    "residual": {"kind": "residual", "dim": 6, "size": 8, "depth": 2},
    "residual bits": {"kind": "residual", "dim": 4, "inner": "bsq", "depth": 2},
    "continuous": {"kind": "continuous", "dim": 8},
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_another_quantiser_is_trained_exported_and_read_with(name, tmp_path):
    """Its checkpoint answers as the trained model does, and refuses what needs the released bits."""
    asked = json.dumps(QUANTIZERS[name])
    changes = ("data=mix/mini-questions.yaml", "train.steps=2", "train.batch_size=3", "train.precision=float32", "fresh=true",
               "tokenizer.packed_length=256", "tokenizer.flip_rate=0.0", f"tokenizer.quantizer={asked}")  # fmt: skip
    made = train_stage(read(OURS / "tokenizer.yaml", changes), tmp_path, say=lambda line: None)
    (last,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()][-1:]
    assert last["quantizer"] == last["quantizer"] and "entropy" not in last and "used" in last
    loaded = uniar.load(made)
    trained = load_file(tmp_path / "step-00000002" / "module.safetensors")
    for key, value in loaded.model.state_dict().items():
        own = trained[f"model.{key}"]
        # The checkpoint it started from is stored in bfloat16.
        assert torch.equal(value, own.to(torch.bfloat16).to(value.dtype) if own.is_floating_point() else own), key
    grid = torch.tensor([[1, 8, 8]])
    pixels = torch.randn(64, 384, generator=torch.Generator().manual_seed(0))
    # Read in another way than it was built: no part may have been left as it was initialised.
    (again,) = (uniar.load(made).model.visual(pixels, grid),)
    assert torch.equal(again.main, loaded.model.visual(pixels, grid).main) and torch.isfinite(again.main).all()
    assert isinstance(loaded.understand(["how many stars are there?"], [Image.new("RGB", (64, 64), "gray")])[0], str)
    with pytest.raises(ConfigError, match="vision_config.quantizer: got .*; images can be read with it and not written"):
        loaded.encode([Image.new("RGB", (64, 64), "gray")])


def test_a_quantiser_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="flip_rate: got 0.05 with the quantizer vq, which has no bits. Use 0."):
        TokenizerConfig(quantizer={"kind": "vq", "size": 4})
    changes = ("data=mix/mini-questions.yaml", "tokenizer.flip_rate=0.0", 'tokenizer.quantizer={"kind": "vq", "size": 4}')
    with pytest.raises(ConfigError, match="tokenizer.quantizer: got one without fresh"):
        train_stage(read(OURS / "tokenizer.yaml", changes), Path("never"), say=lambda line: None)


@pytest.mark.parametrize("levels", [[], [1, 3, 4]])
def test_other_levels_are_trained_and_read_and_written_with(levels, tmp_path):
    changes = ("data=mix/mini-questions.yaml", "train.steps=1", "train.batch_size=2", "train.precision=float32", "fresh=true",
               "tokenizer.packed_length=256", f"tokenizer.levels={levels}")  # fmt: skip
    made = train_stage(read(OURS / "tokenizer.yaml", changes), tmp_path, say=lambda line: None)
    loaded = uniar.load(made)
    codes, _ = loaded.encode([Image.new("RGB", (64, 64), "gray")])[0]
    assert codes.shape == (16, 1 + len(levels), 4, 32)
    assert torch.equal(codes, loaded.feature_encoder.encode(*_pixels(loaded)))
    assert loaded.generate(["a photo of a star"], height=64, width=64, seeds=[0], decode=False)[0].codes.shape == codes.shape


def _pixels(loaded):
    told = loaded.processor.image_processor(images=[Image.new("RGB", (64, 64), "gray")], return_tensors="pt")
    return told["pixel_values"], told["image_grid_thw"]


@pytest.mark.parametrize("levels", ["[5]", "[1, 1]", "[-1]"])
def test_levels_that_are_no_blocks_are_refused(levels, tmp_path):
    changes = ("data=mix/mini-questions.yaml", "fresh=true", f"tokenizer.levels={levels}")
    with pytest.raises(ConfigError, match="levels: got"):
        train_stage(read(OURS / "tokenizer.yaml", changes), tmp_path, say=lambda line: None)


@pytest.mark.parametrize(
    ("own", "afresh"),
    [
        ({}, ("bsq_",)),
        ({"quantizer": {"kind": "vq", "dim": 6, "size": 16}}, ("bsq_", "bsq.basis", "quantizers.")),
        ({"levels": [1, 2]}, ("bsq_", "deepstack_merger_list.0.")),
    ],
)
def test_blocks_that_are_kept_are_those_of_the_checkpoint(own, afresh):
    from uniar.training.run_tokenizer import restart_vision

    old = uniar.load("uniar-mini").model.visual.state_dict()
    model = uniar.load("uniar-mini").model
    restart_vision(model, 5, keep_blocks=True, **own)
    new = model.visual.state_dict()
    # Where the levels are others, the merger of block 2 goes by another number.
    twins = {n: n.replace("deepstack_merger_list.1.", "deepstack_merger_list.0.") for n in new}
    kept = {n for n in new if twins[n] in old and old[twins[n]].shape == new[n].shape and torch.equal(old[twins[n]], new[n])}
    changed = {n for n in new if n not in kept}
    assert all(n.startswith(afresh) for n in changed), sorted(changed)[:5]
    # Norms and biases begin where they may have stood.
    weights = {n for n, t in new.items() if n.startswith(afresh) and n.endswith("weight") and t.dim() > 1}
    assert weights <= changed and weights


def test_kept_blocks_need_a_fresh_start(tmp_path):
    changes = ("data=mix/mini-questions.yaml", "tokenizer.keep_blocks=true")
    with pytest.raises(ConfigError, match="tokenizer.keep_blocks: got true without fresh"):
        train_stage(read(OURS / "tokenizer.yaml", changes), tmp_path, say=lambda line: None)
