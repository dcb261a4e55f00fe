"""ImageReward: the published names and forms through transformers' BLIP against a plain statement of the model; what refuses."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from evals.errors import CanaryError, ModelError
from evals.perception import image_reward as ir
from evals.scorers.imagereward import ImageRewardScorer
from evals.types import Outcome

# [CLS] a red star [SEP], by their lines in vocab.txt.
IDS = [2, 5, 7, 10, 3]


def _attend(s, name, x, over, heads, mask=None):
    """Softmax attention of x over another sequence, by the published names of BERT."""

    def parts(kind, given):
        y = F.linear(given, s[f"{name}.self.{kind}.weight"], s[f"{name}.self.{kind}.bias"])
        return y.reshape(len(given), heads, -1).transpose(0, 1)

    q, k, v = parts("query", x), parts("key", over), parts("value", over)
    weights = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if mask is not None:
        weights = weights.masked_fill(~mask, -math.inf)
    out = (weights.softmax(-1) @ v).transpose(0, 1).reshape(len(x), -1)
    out = F.linear(out, s[f"{name}.output.dense.weight"], s[f"{name}.output.dense.bias"])
    return _norm(s, f"{name}.output.LayerNorm", out + x, 1e-12)


def _norm(s, name, x, eps):
    return F.layer_norm(x, x.shape[-1:], s[f"{name}.weight"], s[f"{name}.bias"], eps)


def _plain(s: dict[str, torch.Tensor], pixels: torch.Tensor, ids: list[int], length: int) -> float:
    """ViT with qkv in one matrix and norms before; BERT with norms after, cross-attention between; linear head on the first token."""
    e = {k.removeprefix("blip.visual_encoder."): v for k, v in s.items()}
    x = F.conv2d(pixels[None], e["patch_embed.proj.weight"], e["patch_embed.proj.bias"], stride=16)[0].flatten(1).T
    x = torch.cat([e["cls_token"][0], x]) + e["pos_embed"][0]
    for k in range(2):
        y = _norm(e, f"blocks.{k}.norm1", x, 1e-6)
        qkv = F.linear(y, e[f"blocks.{k}.attn.qkv.weight"], e[f"blocks.{k}.attn.qkv.bias"]).reshape(len(x), 3, 2, 64)
        q, key, v = qkv.permute(1, 2, 0, 3)
        y = ((q @ key.transpose(1, 2) / 8.0).softmax(-1) @ v).transpose(0, 1).reshape(len(x), -1)
        x = x + F.linear(y, e[f"blocks.{k}.attn.proj.weight"], e[f"blocks.{k}.attn.proj.bias"])
        y = _norm(e, f"blocks.{k}.norm2", x, 1e-6)
        y = F.gelu(F.linear(y, e[f"blocks.{k}.mlp.fc1.weight"], e[f"blocks.{k}.mlp.fc1.bias"]))
        x = x + F.linear(y, e[f"blocks.{k}.mlp.fc2.weight"], e[f"blocks.{k}.mlp.fc2.bias"])
    seen = _norm(e, "norm", x, 1e-6)
    t = {k.removeprefix("blip.text_encoder."): v for k, v in s.items()}
    padded = torch.tensor(ids + [0] * (length - len(ids)))
    mask = torch.arange(length) < len(ids)
    h = t["embeddings.word_embeddings.weight"][padded] + t["embeddings.position_embeddings.weight"][:length]
    h = _norm(t, "embeddings.LayerNorm", h, 1e-12)
    for k in range(2):
        layer = f"encoder.layer.{k}"
        h = _attend(t, f"{layer}.attention", h, h, 1, mask)
        h = _attend(t, f"{layer}.crossattention", h, seen, 1)
        y = F.gelu(F.linear(h, t[f"{layer}.intermediate.dense.weight"], t[f"{layer}.intermediate.dense.bias"]))
        h = _norm(
            t, f"{layer}.output.LayerNorm", F.linear(y, t[f"{layer}.output.dense.weight"], t[f"{layer}.output.dense.bias"]) + h, 1e-12
        )
    y = h[0]
    for k in (0, 2, 4, 6, 7):
        y = F.linear(y, s[f"mlp.layers.{k}.weight"], s[f"mlp.layers.{k}.bias"])
    return float(y)


@pytest.fixture
def saved(tmp_path, reward_state):
    path = tmp_path / "ImageReward.safetensors"
    save_file(reward_state, path)
    return path


def test_reward_equals_the_plain_statement(saved, reward_state, word_pieces, asked, picture) -> None:
    scorer = ImageRewardScorer(roles={}, checkpoint=str(saved), tokenizer=str(word_pieces), device="cpu")
    score = scorer.score(*asked("A red STAR"), picture)
    raw = _plain(reward_state, ir.pixels_of(picture, 32), IDS, 35)
    wanted = (raw - 0.16717362830052426) / 1.0333394966054072
    assert score.values == {"imagereward": pytest.approx(wanted, abs=1e-4), "truncated": 0.0}
    # A mask that is not applied, or a prompt that is not read, would show.
    assert abs(_plain(reward_state, ir.pixels_of(picture, 32), IDS, 5) - raw) < 1e-4
    assert abs(_plain(reward_state, ir.pixels_of(picture, 32), [2, 5, 8, 10, 3], 35) - raw) > 1e-3


def test_the_attention_over_the_text_looks_both_ways(reward_state) -> None:
    network = ir.build(reward_state, path="x")
    pixels = torch.zeros(1, 3, 32, 32)
    one, other = (ir.raw(network, pixels, torch.tensor([ids]), torch.ones(1, 5, dtype=torch.int64)) for ids in (IDS, [2, 5, 7, 11, 3]))
    # The first token sees a later one: a causal mask would make these equal.
    assert abs(float(one - other)) > 1e-4


def test_a_long_prompt_is_cut_at_35_tokens_and_counted(saved, reward_state, word_pieces, asked, picture) -> None:
    scorer = ImageRewardScorer(roles={}, checkpoint=str(saved), tokenizer=str(word_pieces), device="cpu")
    values = scorer.score(*asked("red " * 40), picture).values
    wanted = _plain(reward_state, ir.pixels_of(picture, 32), [2, *[7] * 33, 3], 35)
    assert values["truncated"] == 1.0
    assert values["imagereward"] == pytest.approx((wanted - ir.MEAN) / ir.DEVIATION, abs=1e-4)


def test_pixels_are_the_centre_of_the_resized_shorter_side(picture) -> None:
    got = ir.pixels_of(picture, 32)
    # 70 x 40 -> 56 x 32; the middle 32 columns begin at 12.
    resized = picture.resize((56, 32), Image.Resampling.BICUBIC).crop((12, 0, 44, 32))
    first = torch.tensor(resized.getpixel((0, 0))) / 255
    wanted = (first - torch.tensor(ir.PIXEL_MEAN)) / torch.tensor(ir.PIXEL_STD)
    assert torch.allclose(got[:, 0, 0], wanted, atol=1e-5)


def test_every_published_name_is_placed_and_none_may_lack(reward_state) -> None:
    parts = ir.renamed(reward_state)
    assert len(parts.vision) + len(parts.text) + len(parts.head) == len(reward_state) - 1  # position_ids
    assert ir.renamed({"blip.vision_proj.weight": torch.zeros(1)}) == ({}, {}, {})
    with pytest.raises(ModelError, match="not known"):
        ir.renamed({"blip.visual_encoder.head.weight": torch.zeros(1)})
    short = {k: v for k, v in reward_state.items() if k != "blip.text_encoder.encoder.layer.1.crossattention.self.key.bias"}
    with pytest.raises(ModelError, match=r"crossattention\.self\.key\.bias: got nothing"):
        ir.build(short, path="x.safetensors")
    with pytest.raises(ModelError, match="no ImageReward"):
        ir.build({"mlp.layers.0.weight": torch.zeros(1)}, path="x.safetensors")


def test_what_refuses(tmp_path, saved, word_pieces, monkeypatch, asked, picture) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    with pytest.raises(ModelError, match=r"ImageReward\.pt .*uniar-eval convert-weights"):
        ImageRewardScorer(roles={})
    with pytest.raises(ModelError, match=r"vocab\.txt"):
        ImageRewardScorer(roles={}, checkpoint=str(saved), tokenizer=str(tmp_path))
    scorer = ImageRewardScorer(roles={}, checkpoint=str(saved), tokenizer=str(word_pieces), device="cpu")
    assert scorer.score(*asked(""), picture).outcome is Outcome.NOT_APPLICABLE
    own = scorer.model.reward
    signs = []
    for sign in (1, -1):
        scorer.model.reward = lambda image, text, sign=sign: (sign * own(image, text)[0], False)
        try:
            scorer.canary()
        except CanaryError:
            signs.append(sign)
    # Of a network and its mirror image exactly one prefers red.
    assert len(signs) == 1
