"""Small networks of the published forms with random weights, on disk where the scorers look for the real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from evals.types import Outcome, Output, Sample

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "plain", "red", "blue", "image", "star", "of", "##s"]


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP folder in the transformers layout, 24 text positions, which happens to tell red from blue."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    pieces = [c + end for end in ("", "</w>") for c in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {piece: k for k, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[])
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**size, "vocab_size": len(vocabulary), "max_position_embeddings": 24, "bos_token_id": 52, "eos_token_id": 53},
        vision_config={**size, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    # Some seed of random weights fits "red" better; the canary has to let that one pass.
    for seed in range(20):
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(folder)
        images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
        if _passes(folder):
            return folder
    raise AssertionError("no seed tells red from blue")


def _passes(folder: Path) -> bool:
    from evals.errors import CanaryError
    from evals.perception.clip_pair import ClipPair, prefers_red

    try:
        prefers_red(ClipPair(str(folder), asked="test", device="cpu").cosine, asked="test")
    except CanaryError:
        return False
    return True


@pytest.fixture(scope="session")
def tiny_hps(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(name of an open_clip architecture, safetensors of it) that tells red from blue."""
    import open_clip

    from evals.errors import CanaryError
    from evals.scorers.hpsv2 import HpsScorer

    folder = tmp_path_factory.mktemp("hps")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (folder / "hps-tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    path = folder / "hps.safetensors"
    for seed in range(20):
        torch.manual_seed(seed)
        save_file(open_clip.create_model("hps-tiny").state_dict(), path)
        try:
            HpsScorer(roles={}, checkpoint=str(path), model="hps-tiny", device="cpu").canary()
        except CanaryError:
            continue
        return "hps-tiny", path
    raise AssertionError("no seed tells red from blue")


@pytest.fixture(scope="session")
def reward_state() -> dict[str, torch.Tensor]:
    """The tensors of `ImageReward.pt` at a small size: names and forms of the published file."""
    draw = torch.Generator().manual_seed(0)
    state: dict[str, torch.Tensor] = {}

    def linear(name: str, out: int, given: int) -> None:
        state[f"{name}.weight"] = torch.randn(out, given, generator=draw) / given**0.5
        state[f"{name}.bias"] = torch.randn(out, generator=draw) * 0.1

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 1 + torch.randn(width, generator=draw) * 0.1
        state[f"{name}.bias"] = torch.randn(width, generator=draw) * 0.1

    v, t = 128, 64
    eye, text = "blip.visual_encoder", "blip.text_encoder"
    state[f"{eye}.cls_token"] = torch.randn(1, 1, v, generator=draw)
    state[f"{eye}.pos_embed"] = torch.randn(1, 5, v, generator=draw)
    state[f"{eye}.patch_embed.proj.weight"] = torch.randn(v, 3, 16, 16, generator=draw) / 28
    state[f"{eye}.patch_embed.proj.bias"] = torch.randn(v, generator=draw)
    for k in range(2):
        norm(f"{eye}.blocks.{k}.norm1", v)
        norm(f"{eye}.blocks.{k}.norm2", v)
        linear(f"{eye}.blocks.{k}.attn.qkv", 3 * v, v)
        linear(f"{eye}.blocks.{k}.attn.proj", v, v)
        linear(f"{eye}.blocks.{k}.mlp.fc1", 160, v)
        linear(f"{eye}.blocks.{k}.mlp.fc2", v, 160)
    norm(f"{eye}.norm", v)
    state[f"{text}.embeddings.position_ids"] = torch.arange(40)[None]
    state[f"{text}.embeddings.word_embeddings.weight"] = torch.randn(len(WORDS), t, generator=draw)
    state[f"{text}.embeddings.position_embeddings.weight"] = torch.randn(40, t, generator=draw)
    norm(f"{text}.embeddings.LayerNorm", t)
    for k in range(2):
        layer = f"{text}.encoder.layer.{k}"
        for kind, width in (("attention", t), ("crossattention", v)):
            linear(f"{layer}.{kind}.self.query", t, t)
            linear(f"{layer}.{kind}.self.key", t, width)
            linear(f"{layer}.{kind}.self.value", t, width)
            linear(f"{layer}.{kind}.output.dense", t, t)
            norm(f"{layer}.{kind}.output.LayerNorm", t)
        linear(f"{layer}.intermediate.dense", 96, t)
        linear(f"{layer}.output.dense", t, 96)
        norm(f"{layer}.output.LayerNorm", t)
    width = t
    for place, out in ((0, 1024), (2, 128), (4, 64), (6, 16), (7, 1)):
        linear(f"mlp.layers.{place}", out, width)
        width = out
    return state


@pytest.fixture(scope="session")
def word_pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with BERT's `vocab.txt`, a few words long."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.fixture
def asked() -> Callable[..., tuple[Sample, Output]]:
    """(sample, output) of a prompt."""

    def make(prompt: str = "a red star") -> tuple[Sample, Output]:
        return (
            Sample(sample_id="s", task="t", prompt=prompt),
            Output(sample_id="s", task="t", repeat=0, seed=0, outcome=Outcome.OK, image="x"),
        )

    return make


@pytest.fixture
def picture() -> Image.Image:
    """A wide RGB picture without symmetry."""
    draw = torch.Generator().manual_seed(3)
    return Image.fromarray(torch.randint(0, 256, (40, 70, 3), generator=draw, dtype=torch.uint8).numpy())
