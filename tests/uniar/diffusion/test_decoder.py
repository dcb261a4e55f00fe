"""The pixel decoder: output sizes, and samples that do not depend on their batch."""

from __future__ import annotations

import json

import pytest
import torch

from uniar import CheckpointError, InputError
from uniar.checkpoint.load import load_decoder
from uniar.diffusion.decoder import PixelDecoder, PromptEmbeds
from uniar.diffusion.features import resize_feature_map
from uniar.diffusion.flow import training_pair

# Two visual tokens by three of the golden checkpoint: 4 x 6 patches of 16 pixels, feature width 128.
GRID, HEIGHT, WIDTH = (4, 6), 64, 96


def _with_prompt(decoder: PixelDecoder) -> PixelDecoder:
    draw = torch.Generator().manual_seed(1)
    c = decoder.transformer.config
    prompt = PromptEmbeds(
        torch.randn(1, 5, c.joint_attention_dim, generator=draw), torch.randn(1, c.pooled_projection_dim, generator=draw)
    )
    return PixelDecoder(decoder.transformer, decoder.vae, decoder.scheduler, prompt)


@pytest.fixture
def decoder(golden):
    return _with_prompt(load_decoder(golden))


@pytest.fixture
def features():
    return torch.randn(3, GRID[0] * GRID[1], 128, generator=torch.Generator().manual_seed(0))


def _unit_latents(decoder: PixelDecoder, upscale: float) -> tuple[int, int]:
    return round(HEIGHT * upscale), round(WIDTH * upscale)


@pytest.mark.parametrize("upscale", [1, 2])
def test_both_scales_work_with_super_resolution(decoder, features, upscale):
    height, width = _unit_latents(decoder, upscale)
    image = decoder.decode(features[:1], feature_grid=GRID, height=height, width=width, seeds=[1], steps=2)
    assert image.shape == (1, 3, height, width)
    assert torch.isfinite(image).all()
    other = decoder.decode(features[1:2], feature_grid=GRID, height=height, width=width, seeds=[1], steps=2)
    assert not torch.equal(image, other)


def test_without_super_resolution_only_the_own_scale_works(golden_copy, features):
    file = golden_copy / "sd3_transformer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"super_resolution": False}), "utf-8")
    decoder = _with_prompt(load_decoder(golden_copy))
    unit = decoder.vae_factor * decoder.transformer.config.patch_size
    own = (GRID[0] * unit, GRID[1] * unit)
    assert decoder.decode(features[:1], feature_grid=GRID, height=own[0], width=own[1], seeds=[1], steps=1).shape[-2:] == own
    with pytest.raises(InputError, match=r"super_resolution false. Use upscale 1"):
        decoder.decode(features[:1], feature_grid=GRID, height=2 * own[0], width=2 * own[1], seeds=[1], steps=1)


def test_a_sample_does_not_depend_on_its_batch(decoder, features):
    settings = {"feature_grid": GRID, "height": HEIGHT, "width": WIDTH, "steps": 2}
    together = decoder.decode(features, seeds=[5, 6, 7], **settings)
    for i in range(3):
        assert torch.equal(decoder.decode(features[i : i + 1], seeds=[5 + i], **settings)[0], together[i])
    turned = decoder.decode(features[[2, 0]], seeds=[7, 5], **settings)
    assert torch.equal(turned, together[[2, 0]])
    batched = decoder.decode(features, seeds=[5, 6, 7], exact=False, **settings)
    assert torch.allclose(batched, together, atol=1e-4)


def test_the_seed_decides_the_noise(decoder):
    shape = decoder.latent_shape(HEIGHT, WIDTH)
    noise = decoder.noise([1, 2, 1], shape)
    assert torch.equal(noise[0], noise[2])
    assert not torch.equal(noise[0], noise[1])


def test_guidance_at_one_runs_one_branch(decoder, features):
    seen: list[int] = []
    hook = decoder.transformer.proj_out.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[0]))
    settings = {"feature_grid": GRID, "height": HEIGHT, "width": WIDTH, "steps": 2, "seeds": [5]}
    try:
        decoder.decode(features[:1], guidance_scale=1.0, **settings)
        decoder.decode(features[:1], guidance_scale=1.5, **settings)
    finally:
        hook.remove()
    assert seen == [1, 1, 2, 2]


def test_a_size_out_of_reach_or_between_patches_is_refused(decoder):
    unit = decoder.vae_factor * decoder.transformer.config.patch_size
    with pytest.raises(InputError, match=f"expected multiples of {unit}"):
        decoder.latent_shape(unit + 1, unit)
    limit = unit * decoder.transformer.config.pos_embed_max_size
    assert decoder.latent_shape(limit, unit)
    with pytest.raises(InputError, match=f"reaches {limit}. Lower upscale"):
        decoder.latent_shape(limit + unit, unit)


def test_a_decoder_without_prompt_embeddings_says_so(golden, features):
    with pytest.raises(CheckpointError, match=r"prompt_embeds.safetensors: not found"):
        load_decoder(golden).decode(features[:1], feature_grid=GRID, height=HEIGHT, width=WIDTH, seeds=[1], steps=1)


def test_resizing_keeps_rows_and_columns_apart():
    # A map that only changes along its rows still only changes along them, whatever its shape.
    columns = torch.arange(3.0).repeat(2)[None, :, None]
    big = resize_feature_map(columns, (2, 3), (4, 6)).reshape(4, 6)
    assert torch.equal(big[0], big[3])
    assert (big[0].diff() > 0).all()
    assert resize_feature_map(columns, (2, 3), (2, 3)) is columns


def test_training_pair_by_hand():
    latents, noise = torch.full((2, 1, 1, 1), 2.0), torch.full((2, 1, 1, 1), 6.0)
    noisy, velocity = training_pair(latents, noise, torch.tensor([0.25, 1.0]))
    assert noisy.flatten().tolist() == [3.0, 6.0]
    assert velocity.flatten().tolist() == [4.0, 4.0]
