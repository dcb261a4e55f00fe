"""Fresh modules of a recipe's sizes, and the processor that belongs to them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uniar.configuration import UniARConfig, UniARVisionConfig
from uniar.diffusion.decoder import PixelDecoder, PromptEmbeds
from uniar.diffusion.transformer import FeatureConditionedSD3
from uniar.model import UniARForConditionalGeneration
from uniar.seeding import derive_seed
from uniar.training.mini.recipe import MiniRecipe
from uniar.vision.tokenizer import UniARVisionModel

SPECIAL_TOKENS = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    "<image_gen>",
]
# The user's turn carries the image first, then the question; the same shape as the base model's template.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif part.type == 'text' %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def vision_config(recipe: MiniRecipe) -> UniARVisionConfig:
    """Config of the tokenizer."""
    v, side = recipe.vision, recipe.canvas // recipe.vision.patch
    return UniARVisionConfig(
        depth=v.depth,
        hidden_size=v.hidden,
        intermediate_size=v.mlp,
        num_heads=v.heads,
        patch_size=v.patch,
        out_hidden_size=recipe.language.hidden,
        num_position_embeddings=side * side,
        deepstack_visual_indexes=v.levels,
        bsq_dim=v.bits,
        bsq_hidden_dim=v.projection,
        bsq_skip_final_layernorm=True,
    )


def model_config(recipe: MiniRecipe, tokenizer: Any) -> UniARConfig:
    """Config of the whole AR model for a tokenizer's special ids."""
    s = recipe.language
    head_dim = s.hidden // s.heads
    # Release proportions 24:20:20 of the frequencies for time, row, column.
    row = head_dim // 2 * 20 // 64
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL_TOKENS}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": s.hidden,
        "intermediate_size": s.mlp,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "num_key_value_heads": s.kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": 4096,
        "rope_theta": 10000.0,
        "rope_scaling": {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [head_dim // 2 - 2 * row, row, row]},
        "attention_bias": False,
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    return UniARConfig(
        text_config=text,
        vision_config=vision_config(recipe).to_dict(),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        visual_transformer_decoder_depth=s.visual_depth,
    )


def fresh_vision(recipe: MiniRecipe) -> UniARVisionModel:
    """A tokenizer with random weights of the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "init", "vision"))
        return UniARVisionModel(vision_config(recipe))


def fresh_model(recipe: MiniRecipe, tokenizer: Any) -> UniARForConditionalGeneration:
    """An AR model with random weights of the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "init", "model"))
        return UniARForConditionalGeneration(model_config(recipe, tokenizer))


def fresh_decoder(recipe: MiniRecipe) -> PixelDecoder:
    """VAE, DiT and scheduler with random weights; the constant prompt is one zero vector (the DiT has no text here)."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler

    p, v = recipe.pixels, recipe.vision
    factor = 2 ** (len(p.vae_widths) - 1)
    # The DiT's patch grid at upscale 1 is the tokenizer's patch grid.
    dit_patch = max(1, v.patch // factor)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "init", "pixels"))
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * len(p.vae_widths),
            up_block_types=("UpDecoderBlock2D",) * len(p.vae_widths),
            block_out_channels=p.vae_widths,
            layers_per_block=1,
            latent_channels=p.latents,
            norm_num_groups=8,
            sample_size=recipe.canvas,
            mid_block_add_attention=False,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=1.0,
            shift_factor=0.0,
        )
        transformer = FeatureConditionedSD3(
            sample_size=recipe.canvas // factor,
            patch_size=dit_patch,
            in_channels=p.latents,
            out_channels=p.latents,
            num_layers=p.layers,
            attention_head_dim=p.hidden // p.heads,
            num_attention_heads=p.heads,
            joint_attention_dim=32,
            caption_projection_dim=p.hidden,
            pooled_projection_dim=32,
            pos_embed_max_size=2 * recipe.canvas // (factor * dit_patch),
            qk_norm="rms_norm",
            siglip_channels=v.hidden * (1 + len(v.levels)),
            drop_image_token_prob_for_cfg=0.1,
            super_resolution=True,
            upscale_factor=2,
        )
    prompt = PromptEmbeds(torch.zeros(1, 1, 32), torch.zeros(1, 32))
    return PixelDecoder(transformer, vae, FlowMatchEulerDiscreteScheduler(shift=1.0), prompt)


def build_processor(recipe: MiniRecipe, folder: Path) -> Any:
    """Train the text tokenizer on the world's own sentences, join it with the image processor and save both.

    Byte-level BPE: any text can be written, the world's words are short.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoProcessor, PreTrainedTokenizerFast, Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    from uniar.data.shapes import all_text

    if (folder / "tokenizer.json").is_file():
        return AutoProcessor.from_pretrained(folder)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.language.vocabulary - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rng = np.random.default_rng(derive_seed(recipe.seed, "text"))
    grids = [f" generate image {r} {c}" for r in range(1, 13) for c in range(1, 13)]
    bpe.train_from_iterator([*all_text(20000, rng), *grids, *(["user", "assistant"] * 50)], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=SPECIAL_TOKENS
    )
    tokenizer.image_token, tokenizer.video_token = "<|image_pad|>", "<|video_pad|>"
    p = recipe.vision.patch
    unit = 2 * p
    sizes = {"size": {"shortest_edge": unit * unit, "longest_edge": (recipe.canvas * 4) ** 2}, "patch_size": p, "merge_size": 2}
    sizes |= {"temporal_patch_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**sizes),
        chat_template=CHAT_TEMPLATE,
    )
    # Whole or absent: a folder that is half written, by a run that was killed or by one beside this one, would be read as it is.
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    processor.save_pretrained(fresh)
    try:
        os.rename(fresh, folder)
    except OSError:
        shutil.rmtree(fresh)
        # Whoever was first made the same.
        if not (folder / "tokenizer.json").is_file():
            raise
    return AutoProcessor.from_pretrained(folder)
