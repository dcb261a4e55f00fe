"""ImageReward-v1.0's model: BLIP's ViT-L reads the image, a BERT with cross-attention reads the prompt over it, a linear head rates.

Source: THUDM/ImageReward (package image-reward 1.5), Xu et al. 2023; BLIP: Li et al. 2022. transformers' BLIP classes hold the layers;
`renamed` brings the published names to them. Sizes are read off the tensors, so a small model of the same form loads as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.errors import ModelError
from evals.perception import reward_head, weight_file
from evals.perception.device import device_of

if TYPE_CHECKING:
    import torch
    from PIL import Image

MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072
"""Of the raw rewards on the authors' validation set: what is published is (raw - MEAN) / DEVIATION."""
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
LONGEST = 35
"""Tokens of the prompt, padded up to."""
HEAD = 64
"""Width of an attention head, in both encoders."""

_VISION = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^norm\.", "post_layernorm."),
    (r"^blocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.\1.self_attn.qkv."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.projection."),
    (r"^blocks\.(\d+)\.norm([12])\.", r"encoder.layers.\1.layer_norm\2."),
    (r"^blocks\.(\d+)\.mlp\.", r"encoder.layers.\1.mlp."),
)


class Parts(NamedTuple):
    """The three state dicts, under the names of transformers (the text encoder's are the same) and of `reward_head`."""

    vision: dict[str, torch.Tensor]
    text: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor]


def renamed(state: Mapping[str, torch.Tensor]) -> Parts:
    """Split and rename the tensors of `ImageReward.pt`; what belongs to no part is left out, as the package loads it.

    Raises:
        ModelError: a tensor of the image encoder under a name that is not known.
    """
    parts = Parts({}, {}, {})
    for name, value in state.items():
        if name.startswith("blip.visual_encoder."):
            own = name.removeprefix("blip.visual_encoder.")
            for pattern, replacement in _VISION:
                new, changed = re.subn(pattern, replacement, own)
                if changed:
                    parts.vision[new] = value
                    break
            else:
                raise ModelError(f"{name}: got a tensor of BLIP's image encoder that is not known; expected ImageReward-v1.0's names.")
        elif name.startswith("blip.text_encoder."):
            own = name.removeprefix("blip.text_encoder.")
            # A constant table of numbers, which transformers computes itself.
            if own != "embeddings.position_ids":
                parts.text[own] = value
        elif name.startswith("mlp."):
            parts.head[name.removeprefix("mlp.")] = value
    return parts


class Network(NamedTuple):
    """The three parts with their weights, in eval mode."""

    vision: Any
    text: Any
    head: Any
    side: int
    """Of the image, pixels."""


def build(state: Mapping[str, torch.Tensor], *, path: Any) -> Network:
    """Build the network that a published state dict describes.

    Raises:
        ModelError: names or shapes that do not fit.
    """
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    try:
        parts = renamed(state)
        patches = parts.vision["embeddings.patch_embedding.weight"]
        positions = parts.vision["embeddings.position_embedding"].shape[1]
        vocabulary, width = parts.text["embeddings.word_embeddings.weight"].shape
        # Keys of the cross-attention read the image encoder's width.
        cross = parts.text["encoder.layer.0.crossattention.self.key.weight"].shape[1]
        inner = parts.text["encoder.layer.0.intermediate.dense.weight"].shape[0]
        longest = parts.text["embeddings.position_embeddings.weight"].shape[0]
        seen = patches.shape[0]
        wide = parts.vision["encoder.layers.0.mlp.fc1.weight"].shape[0]
    except (KeyError, ModelError) as error:
        raise ModelError(f"{path}: got no ImageReward-v1.0 ({error}); expected the tensors of ImageReward.pt. Convert it again.") from error
    side = round((positions - 1) ** 0.5) * patches.shape[-1]
    vision = BlipVisionModel(
        BlipVisionConfig(
            hidden_size=seen, intermediate_size=wide, num_hidden_layers=_depth(parts.vision, "encoder.layers."),
            num_attention_heads=seen // HEAD, image_size=side, patch_size=patches.shape[-1],
            # BLIP's own ViT has 1e-6; transformers' default is another.
            layer_norm_eps=1e-6,
        )
    )  # fmt: skip
    text = BlipTextModel(
        BlipTextConfig(
            vocab_size=vocabulary, hidden_size=width, encoder_hidden_size=cross, intermediate_size=inner,
            num_hidden_layers=_depth(parts.text, "encoder.layer."), num_attention_heads=width // HEAD, max_position_embeddings=longest,
            # Only a "decoder" gets cross-attention; the attention over the text stays in both directions (see `raw`).
            is_decoder=True,
        ),
        add_pooling_layer=False,
    )  # fmt: skip
    head = reward_head.build(width)
    for part, own, what in ((vision, parts.vision, "image encoder"), (text, parts.text, "text encoder"), (head, parts.head, "head")):
        weight_file.load_into(part, own, path=path, what=f"ImageReward's {what}")
        part.eval().requires_grad_(False)
    return Network(vision, text, head, side)


def _depth(state: Mapping[str, Any], prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in state if name.startswith(prefix))


def raw(network: Network, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The head's number before it is normalised.

    Args:
        pixels: float32 (B, 3, side, side), normalised.
        ids: int64 (B, T), padded.
        mask: int64 (B, T), 1 where there is text.

    Returns:
        float32 (B,).
    """
    import torch

    seen = network.vision(pixel_values=pixels).last_hidden_state
    everything = torch.ones(seen.shape[:2], dtype=torch.int64, device=seen.device)
    read = network.text(
        input_ids=ids, attention_mask=mask, encoder_hidden_states=seen, encoder_attention_mask=everything, is_decoder=False
    ).last_hidden_state
    return network.head.layers(read[:, 0])[:, 0]


class ImageRewardModel:
    """Reward of an image for a prompt.

    Args:
        checkpoint: safetensors with the tensors of `ImageReward.pt`; None looks where `uniar-eval convert-weights` is told to put it.
        tokenizer: `bert-base-uncased`, folder or Hub name in the local cache.
        device: torch device; `auto` is cuda where there is one.

    Raises:
        ModelError: one of them is not on this machine.
    """

    def __init__(self, *, checkpoint: str | None = None, tokenizer: str = "google-bert/bert-base-uncased", device: str = "auto") -> None:
        self._file = weight_file.find("imagereward", checkpoint, asked="scorer imagereward: checkpoint")
        self._words = _vocabulary(tokenizer)
        self._device = device
        self._loaded: tuple[Network, Any] | None = None

    def _load(self) -> tuple[Network, Any]:
        if self._loaded is None:
            from transformers import BertTokenizer

            network = build(weight_file.read(self._file), path=self._file)
            device = device_of(self._device)
            for part in network[:3]:
                part.to(device)
            self._loaded = (network, BertTokenizer(vocab=self._words, do_lower_case=True))
        return self._loaded

    def reward(self, image: Image.Image, prompt: str) -> tuple[float, bool]:
        """The published, normalised reward of an RGB image, and whether the prompt is longer than 35 tokens and was cut."""
        import torch

        network, tokenizer = self._load()
        device = next(network.head.parameters()).device
        given = tokenizer([prompt], padding="max_length", truncation=True, max_length=LONGEST, return_tensors="pt")
        length = len(tokenizer([prompt], truncation=False, verbose=False)["input_ids"][0])
        shown = pixels_of(image, network.side)[None]
        with torch.no_grad():
            found = raw(network, shown.to(device), given["input_ids"].to(device), given["attention_mask"].to(device))
        return (float(found[0]) - MEAN) / DEVIATION, length > LONGEST


def pixels_of(image: Image.Image, side: int) -> torch.Tensor:
    """Shorter side to `side` by Pillow's bicubic, centre cut out, CLIP's mean and deviation: float32 (3, side, side)."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F

    x = F.center_crop(F.resize(image.convert("RGB"), side, InterpolationMode.BICUBIC), side)
    return F.normalize(F.to_tensor(x), PIXEL_MEAN, PIXEL_STD)


def _vocabulary(tokenizer: str) -> str:
    from pathlib import Path

    path = Path(tokenizer) / "vocab.txt"
    if path.is_file():
        return str(path)
    if tokenizer.count("/") == 1 and tokenizer[0] not in "./~":
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(tokenizer, "vocab.txt")
        if isinstance(found, str):
            return found
    raise ModelError(
        f"scorer imagereward: tokenizer: got {tokenizer}, which is neither a folder with vocab.txt nor in the local cache; expected BERT's "
        "uncased word pieces. Run `hf download google-bert/bert-base-uncased vocab.txt` where there is a network, or give the folder."
    )
