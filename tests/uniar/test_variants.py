"""Models of every released shape: levels, bits, norms, heads, head depths; saving and loading; non-square grids."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from uniar import CheckpointError, ConfigError, UniARConfig, UniARForConditionalGeneration, UniARVisionConfig
from uniar.generation.codes import Prefix, generate_codes

LINEAR = {"vistok_pred_layernorm": False}
MLP = {"vistok_pred_use_mlp": True}
VARIANTS = {
    "1 level, 1 bit, linear, no depth": ([], 1, True, LINEAR, 0),
    "2 levels, 7 bits, norm": ([1], 7, False, {}, 1),
    "3 levels, 64 bits, mlp": ([0, 2], 64, True, MLP, 2),
    "4 levels, 7 bits, linear": ([0, 1, 2], 7, False, LINEAR, 2),
    "4 levels in another order, 64 bits": ([2, 0, 1], 64, True, {}, 0),
    "1 level, 1 bit, mlp without depth": ([], 1, False, MLP, 0),
}


def prefix_of(*ids: int) -> Prefix:
    """A text prompt with another text as its unconditional row."""
    return Prefix(input_ids=torch.tensor([*ids, 62]), unconditional_ids=torch.tensor([1, 62]))


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def variant(request, tiny_model):
    levels, bits, skip, head, depth = request.param
    vision = {"deepstack_visual_indexes": levels, "bsq_dim": bits, "bsq_skip_final_layernorm": skip}
    return tiny_model(vision=vision, visual_transformer_decoder_depth=depth, **head)


def test_a_variant_is_saved_loaded_and_rolled_out(variant, tmp_path):
    v = variant.config.vision_config
    variant.save_pretrained(tmp_path)
    again = UniARForConditionalGeneration.from_pretrained(tmp_path).eval()
    own, loaded = variant.state_dict(), again.state_dict()
    assert own.keys() == loaded.keys()
    assert all(torch.equal(own[k], loaded[k]) for k in own)
    assert set(load_file(tmp_path / "model.safetensors")) == set(own)
    settings = {"rows": 2, "columns": 3, "seeds": [4], "guidance_scale": 1.5, "temperature": 1.0}
    codes, codes_again = (generate_codes(m, [prefix_of(5, 6, 7)], **settings) for m in (variant, again))
    assert codes.shape == (1, 6, v.num_levels, 4, v.bsq_dim)
    assert codes.dtype == torch.uint8
    assert 0 < codes.float().mean() < 1
    assert torch.equal(codes, codes_again)
    assert len(variant.visual_decoder) == variant.config.visual_depth


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 4), (3, 1), (2, 5)])
def test_grids_need_not_be_square(tiny_model, rows, columns):
    model = tiny_model()
    codes = generate_codes(model, [prefix_of(5, 6)], rows=rows, columns=columns, seeds=[1])
    assert codes.shape == (1, rows * columns, 2, 4, 7)
    features = model.visual.feature_map(codes, 2 * rows, 2 * columns)
    assert features.shape == (1, 4 * rows * columns, 16 * 2)
    turned = generate_codes(model, [prefix_of(5, 6)], rows=columns, columns=rows, seeds=[1])
    if rows != columns and min(rows, columns) > 1:
        # Positions enter only from the second token on; the same draws must then meet other probabilities.
        assert not torch.equal(codes, turned)


def test_the_switch_of_the_visual_head_wins_over_its_depth(tiny_model):
    assert len(tiny_model(visual_transformer_decoder=False, visual_transformer_decoder_depth=2).visual_decoder) == 0


def test_a_read_config_writes_the_released_rope_keys(tiny_model, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    text = json.loads((tmp_path / "config.json").read_text("utf-8"))["text_config"]
    assert text["rope_theta"] == 1e4
    assert text["rope_scaling"]["mrope_section"] == [2, 1, 1]


def test_from_pretrained_refuses_what_does_not_fit(tiny_model, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.visual.bsq.basis"]
    tensors["stranger"] = torch.zeros(1)
    tensors["lm_head.weight"] = torch.zeros(3, 3)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError) as refused:
        UniARForConditionalGeneration.from_pretrained(tmp_path)
    for name in ("1 missing: model.visual.bsq.basis", "1 unexpected: stranger", "1 mis-shaped: lm_head.weight"):
        assert name in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("bsq_dim", 0), ("bsq_dim", 65), ("num_position_embeddings", 15), ("deepstack_visual_indexes", [27]), ("use_bsq", False)],
)
def test_vision_values_that_cannot_be_used_are_named(key, value):
    with pytest.raises(ConfigError, match=f"vision_config.{key}"):
        UniARVisionConfig(**{key: value})


def test_the_two_parts_must_agree_on_the_width():
    with pytest.raises(ConfigError, match=r"out_hidden_size: got 32; expected text_config.hidden_size 64"):
        UniARConfig(text_config={"hidden_size": 64}, vision_config={"out_hidden_size": 32})
