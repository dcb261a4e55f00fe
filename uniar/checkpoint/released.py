"""Configuration of a checkpoint without its weights: from a folder, from the hub's local cache, or as known of the release.

The sizes of the release let its parameters be counted where its 74 GB are not: `tests/uniar/training/test_dry_run.py` holds the
counts to the published ones. Only keys that decide sizes are here; a folder's own files always win. Sources: UniAR
(arXiv 2606.18249) and its released config.json; Qwen3-8B; SigLIP2-So400m in its Qwen3-VL form; Stable Diffusion 3.5 medium.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from uniar.checkpoint.layout import cached_hub_folder, is_hub_id, resolve
from uniar.checkpoint.weights import read_json
from uniar.errors import CheckpointError

RELEASED = ("ShareLab-SII/UniAR-SFT", "ShareLab-SII/UniAR-RL")
"""Hub ids of the released checkpoints; they differ in weights alone."""

MODEL: dict[str, Any] = {
    "model_type": "uniar",
    "text_config": {
        "model_type": "qwen3_vl_text",
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "attention_bias": False,
        "rms_norm_eps": 1e-6,
        "rope_theta": 5000000.0,
        "rope_scaling": {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [24, 20, 20]},
    },
    "vision_config": {
        "model_type": "uniar_vision",
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 4096,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24],
        "use_bsq": True,
        "bsq_dim": 64,
        "bsq_hidden_dim": 8192,
        "bsq_skip_final_layernorm": True,
    },
    "image_token_id": 151655,
    "video_token_id": 151656,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "tie_word_embeddings": False,
    "vistok_pred": True,
    "vistok_pred_layernorm": True,
    "vistok_pred_use_mlp": False,
    "visual_transformer_decoder": True,
    "visual_transformer_decoder_depth": 4,
}
TRANSFORMER: dict[str, Any] = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 384,
    "dual_attention_layers": list(range(13)),
    "qk_norm": "rms_norm",
    # Four levels of 1152 channels; the release is run with outputs of up to twice the rollout's size, which needs super_resolution.
    "siglip_channels": 4608,
    "super_resolution": True,
    "upscale_factor": 2,
}
VAE: dict[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 16,
    "norm_num_groups": 32,
    "sample_size": 1024,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
PROMPT_WORDS = 333
"""Length of the constant prompt's embeddings: 77 of CLIP and 256 of T5 (Stable Diffusion 3)."""
_FILES = {"model": Path("config.json"), "transformer": Path("sd3_transformer/config.json"), "vae": Path("sd3_pipeline/vae/config.json")}
_KNOWN = {"model": MODEL, "transformer": TRANSFORMER, "vae": VAE}


def configuration(checkpoint: str, part: str) -> dict[str, Any]:
    """The configuration of a part of a checkpoint; nothing is fetched.

    Args:
        checkpoint: folder, bundled name or hub id.
        part: `model`, `transformer` (the pixel decoder's) or `vae`.

    Raises:
        CheckpointError: no such folder or file, or a hub id that is neither in the local cache nor of the release.
    """
    folder = _folder(checkpoint)
    return copy.deepcopy(_KNOWN[part]) if folder is None else read_json(folder / _FILES[part])


def prompt_words(checkpoint: str) -> int:
    """Length of the constant prompt's embeddings, from the header of their file where there is one.

    Raises:
        CheckpointError: see `configuration`.
    """
    folder = _folder(checkpoint)
    file = None if folder is None else folder / "sd3_pipeline" / "prompt_embeds.safetensors"
    if file is None or not file.is_file():
        return PROMPT_WORDS
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        return tensors.get_slice("prompt_embeds").get_shape()[1]


def _folder(checkpoint: str) -> Path | None:
    folder = cached_hub_folder(checkpoint) if is_hub_id(checkpoint) else resolve(checkpoint)
    if folder is not None or checkpoint in RELEASED:
        return folder
    raise CheckpointError(
        f"{checkpoint}: no such folder, and not in the local cache of the hub; from memory only the sizes of {' and '.join(RELEASED)} "
        f"are known. Run `hf download {checkpoint} --local-dir DIR` where there is a network, then give DIR."
    )
