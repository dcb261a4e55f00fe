"""The two networks that OneIG-Bench sees style with: CSD's ViT-L (Somepalli et al. 2024) and OneIG-StyleEncoder.

Source: OneIG-Benchmark 41b4983, `scripts/style`. CSD is OpenAI's CLIP vision tower with a projection of its own (`last_layer_style`),
in float32 behind torchvision's transforms; OneIG-StyleEncoder is a transformers CLIP vision model with projection, in bfloat16 behind
CLIP's image processor. Both give features of length 1. Weights are read as safetensors; nothing is fetched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import ModelError
from evals.perception import weight_file
from evals.perception.device import device_of
from evals.perception.on_disk import is_here

if TYPE_CHECKING:
    import torch
    from PIL import Image

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
CSD_FILE = "csd-vit-large.safetensors"
"""Name under which the converted checkpoint is looked for."""
SE = "xingpng/OneIG-StyleEncoder"
DTYPES = ("bfloat16", "float32", "float16")
_HEAD = 64
"""Width of an attention head, in every CLIP of OpenAI's."""
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
_OUTSIDE = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    **{f"ln_{a}.{end}": f"{b}.{end}" for a, b in (("pre", "pre_layrnorm"), ("post", "post_layernorm")) for end in ("weight", "bias")},
}
_INSIDE = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


class CsdEncoder:
    """CSD's style features.

    Args:
        checkpoint: safetensors of the published checkpoint, or a folder with that one file; None looks where `uniar-eval convert-weights`
            is told to put it.
        device: torch device; `auto` is cuda where there is one.
        asked: who needs it and by which setting, for messages.

    Raises:
        ModelError: it is not on this machine.
    """

    name = "csd"

    def __init__(self, *, checkpoint: str | None = None, device: str = "auto", asked: str = "csd") -> None:
        self._device = device
        path = weight_file.folder() / CSD_FILE if checkpoint is None else Path(checkpoint)
        inside = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        if len(inside) != 1 or not inside[0].is_file() or inside[0].suffix != ".safetensors":
            raise ModelError(
                f"{asked}: got {path}, which is no safetensors file and no folder with one; expected CSD's ViT-L. Download checkpoint.pth "
                f"(github.com/learn2phoenix/CSD) and run `uniar-eval convert-weights checkpoint.pth {weight_file.folder() / CSD_FILE}`."
            )
        self._file = inside[0]
        self._network: Any = None

    def embed(self, image: Image.Image) -> torch.Tensor:
        """float32 (E,), length 1, of an RGB image."""
        import torch
        from torchvision import transforms

        if self._network is None:
            self._network = build_csd(weight_file.read(self._file), path=self._file).to(device_of(self._device))
        side = self._network.config.image_size
        prepare = transforms.Compose(
            [
                transforms.Resize(side, interpolation=transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(side),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )
        pixels = prepare(image.convert("RGB"))[None].to(self._network.device)
        with torch.no_grad():
            return torch.nn.functional.normalize(self._network(pixel_values=pixels).image_embeds, dim=-1)[0]


class StyleEncoder:
    """OneIG-StyleEncoder's features.

    Args:
        checkpoint: folder in the transformers layout, or a Hub name in the local cache.
        dtype: of the network and its features, one of `DTYPES`; officially bfloat16.
        device: torch device; `auto` is cuda where there is one.
        asked: who needs it and by which setting, for messages.

    Raises:
        ModelError: it is not on this machine, or no such dtype.
    """

    name = "se"

    def __init__(self, *, checkpoint: str = SE, dtype: str = "bfloat16", device: str = "auto", asked: str = "se") -> None:
        if dtype not in DTYPES:
            raise ModelError(f"{asked}: dtype: got {dtype}; expected one of {', '.join(DTYPES)}.")
        if not is_here(checkpoint):
            raise ModelError(
                f"{asked}: got {checkpoint}, which is neither a folder with config.json nor in the local cache; expected "
                f"OneIG-StyleEncoder in safetensors. Run `hf download {SE}` where there is a network, or give a folder."
            )
        self._checkpoint, self._dtype, self._device, self._asked = checkpoint, dtype, device, asked
        self._loaded: tuple[Any, Any] | None = None

    def _load(self) -> tuple[Any, Any]:
        # (network, image processor).
        if self._loaded is None:
            import torch
            from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

            try:
                network, told = CLIPVisionModelWithProjection.from_pretrained(
                    self._checkpoint, local_files_only=True, use_safetensors=True, output_loading_info=True
                )
            # Wrong files make transformers raise almost anything; all of it means this checkpoint cannot be used.
            except Exception as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ModelError(
                    f"{self._asked}: got {self._checkpoint}, which does not load ({reason}); expected a CLIP vision model with projection "
                    "in safetensors. Fetch it again, or another revision of it."
                ) from error
            lacking = sorted(told["missing_keys"])
            if lacking:
                # transformers fills what is lacking with random numbers.
                raise ModelError(
                    f"{self._asked}: {self._checkpoint}: {lacking[0]}: got nothing; expected a whole CLIP vision model with projection. "
                    "Fetch it again."
                )
            side = network.config.image_size
            # The benchmark takes the processor's defaults; only the side follows the network.
            processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
            network = network.to(device_of(self._device), dtype=getattr(torch, self._dtype)).eval()
            self._loaded = (network, processor)
        return self._loaded

    def embed(self, image: Image.Image) -> torch.Tensor:
        """(E,) in the network's dtype, length 1, of an RGB image."""
        import torch

        network, processor = self._load()
        pixels = processor(images=[image.convert("RGB")], return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            found = network(pixel_values=pixels.to(network.device, dtype=network.dtype)).image_embeds
            return torch.nn.functional.normalize(found, dim=-1)[0]


def build_csd(state: Mapping[str, torch.Tensor], *, path: Path) -> Any:
    """Build transformers' vision model of CSD's tensors, float32, in eval mode; its `image_embeds` are the style features.

    Args:
        state: names as published (`backbone.` in OpenAI's names, `last_layer_style`), `module.` before them or not.
        path: of the file, for messages.

    Raises:
        ModelError: a name that is lacking, or shapes that are not a CLIP vision tower's.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    named = {name.removeprefix("module."): tensor.float() for name, tensor in state.items()}
    tower = {name.removeprefix("backbone."): tensor for name, tensor in named.items() if name.startswith("backbone.")}
    for name, tensors, rank in (
        ("conv1.weight", tower, 4), ("positional_embedding", tower, 2), ("last_layer_style", named, 2),
    ):  # fmt: skip
        if name not in tensors or tensors[name].dim() != rank:
            got = f"a tensor of {tensors[name].dim()} axes" if name in tensors else "nothing"
            raise ModelError(f"{path}: {name}: got {got}; expected CSD's weights (github.com/learn2phoenix/CSD). Convert them again.")
    width, _, patch, _ = tower["conv1.weight"].shape
    layers = 1 + max((int(match[1]) for name in tower if (match := _BLOCK.match(name))), default=-1)
    inner = tower.get("transformer.resblocks.0.mlp.c_fc.bias")
    ours = {"visual_projection.weight": named["last_layer_style"].T.contiguous()}
    for name, tensor in tower.items():
        for new, part in _renamed(name, tensor):
            ours[f"vision_model.{new}"] = part
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width if inner is None else len(inner),
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // _HEAD),
        image_size=patch * math.isqrt(len(tower["positional_embedding"]) - 1),
        patch_size=patch,
        projection_dim=named["last_layer_style"].shape[1],
        hidden_act="quick_gelu",
    )
    network = CLIPVisionModelWithProjection(config)
    weight_file.load_into(network, ours, path=path, what="CSD")
    return network.eval().requires_grad_(False)


def _renamed(name: str, tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    # OpenAI's name -> transformers' names with their tensors; an unknown name stays, and is found foreign on loading.
    if name in _OUTSIDE:
        return [(_OUTSIDE[name], tensor)]
    match = _BLOCK.fullmatch(name)
    if match is None:
        return [(name, tensor)]
    layer, rest = f"encoder.layers.{match[1]}", match[2]
    if rest in ("attn.in_proj_weight", "attn.in_proj_bias"):
        end = rest.rpartition("_")[2]
        return [(f"{layer}.self_attn.{which}_proj.{end}", part.contiguous()) for which, part in zip("qkv", tensor.chunk(3), strict=True)]
    part, _, end = rest.rpartition(".")
    return [(f"{layer}.{_INSIDE.get(part, part)}.{end}", tensor)]
