"""mmdet's Mask2Former weights in transformers: names, layouts, and the same answers as the official code gave."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evals.errors import ModelError
from evals.perception.mask2former import Mask2FormerDetector
from evals.perception.mask2former_convert import convert_file, convert_state, detector_config, read_state
from evals.perception.mask2former_names import UNUSED, dims_of, links, merged_order

GOLDEN = Path(__file__).parents[2] / "data/golden/mask2former"
FORWARD = json.loads((GOLDEN / "forward.json").read_text())
OFFICIAL = {name: tuple(shape) for name, shape in json.loads((GOLDEN / "swin_s_shapes.json").read_text())["shapes"].items()}


def weights() -> dict[str, torch.Tensor]:
    """The recorded detector's tensors, remade from the recipe in the golden file's notes."""
    state = {}
    for name, shape in FORWARD["shapes"].items():
        if name.endswith("relative_position_index"):
            # mmdet: steps of both axes, added, then turned round.
            steps = torch.cat([torch.arange(i, i + 7) for i in range(0, 13 * 7, 13)])
            state[name] = (steps[None] + steps[:, None]).flip(1)
            continue
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
        value = rng.standard_normal(shape) * (0.08 if len(shape) > 1 else 0.05)
        scale = name.endswith("weight") and ("norm" in name or ".gn." in name)
        state[name] = torch.from_numpy((value + scale).astype(np.float32))
    return state


@pytest.fixture(scope="module")
def converted():
    return convert_state(weights())


@pytest.mark.parametrize("case", FORWARD["cases"], ids=lambda case: case["id"])
def test_same_logits_as_mmdet(converted, case) -> None:
    height, width = case["inputs"]["size"]
    pixels = torch.from_numpy(np.random.default_rng(height).standard_normal((1, 3, height, width)).astype(np.float32))
    with torch.inference_mode():
        found = converted(pixel_values=pixels, pixel_mask=torch.ones(1, height, width).long())
    want = case["expected"]
    torch.testing.assert_close(found.class_queries_logits[0], torch.tensor(want["class_logits"]), rtol=0, atol=2e-5)
    torch.testing.assert_close(found.masks_queries_logits[0], torch.tensor(want["mask_logits"]), rtol=0, atol=2e-5)


def test_official_sizes_use_every_name_and_fill_every_parameter() -> None:
    from transformers import Mask2FormerForUniversalSegmentation

    dims = dims_of(OFFICIAL)
    assert (dims.embed, dims.depths, dims.heads, dims.window) == (96, (2, 2, 18, 2), (3, 6, 12, 24), 7)
    assert (dims.hidden, dims.encoder_layers, dims.decoder_layers, dims.queries, dims.classes) == (256, 6, 9, 100, 80)
    assert (dims.attention_heads, dims.encoder_ffn, dims.decoder_ffn) == (8, 1024, 2048)
    table = list(links(dims))
    learned = [name for name in OFFICIAL if not name.endswith("relative_position_index")]
    assert sorted(link.theirs for link in table) == sorted(learned) and len(learned) == 649 - 24
    with torch.device("meta"):
        model = Mask2FormerForUniversalSegmentation(detector_config(dims))
    ours = {name: tuple(p.shape) for name, p in model.named_parameters()}
    filled = {}
    for link in table:
        first, *rest = OFFICIAL[link.theirs]
        assert len(link.ours) == (3 if link.how == "split" else 1)
        filled |= {name: (first // len(link.ours), *rest) for name in link.ours}
    assert {name: shape for name, shape in ours.items() if not name.startswith(UNUSED)} == filled
    assert sorted(set(ours) - set(filled)) == [f"{UNUSED}bias", f"{UNUSED}weight"]


def test_patch_merging_with_unfold_equals_the_reordered_one(converted) -> None:
    # mmdet's module in plain torch: unfold 2x2, norm, reduce.
    state = weights()
    picture = torch.randn(2, 6 * 4, 12, generator=torch.Generator().manual_seed(1))
    name = "backbone.stages.0.downsample"
    unfolded = torch.nn.functional.unfold(picture.transpose(1, 2).reshape(2, 12, 6, 4), kernel_size=2, stride=2).transpose(1, 2)
    normed = torch.nn.functional.layer_norm(unfolded, (48,), state[f"{name}.norm.weight"], state[f"{name}.norm.bias"])
    want = normed @ state[f"{name}.reduction.weight"].T
    ours = converted.model.pixel_level_module.encoder.swin.encoder.layers[0].downsample
    with torch.inference_mode():
        torch.testing.assert_close(ours(picture, (6, 4)), want, rtol=1e-5, atol=1e-5)


def test_merged_order_by_hand() -> None:
    # One channel, pixels (0,0) (0,1) (1,0) (1,1): unfold lists rows, transformers takes columns first.
    assert merged_order(torch.tensor([0, 1, 2, 3])).tolist() == [0, 2, 1, 3]
    assert merged_order(torch.arange(8)).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]


def test_window_attention_thirds(converted) -> None:
    state = weights()
    name = "backbone.stages.1.blocks.1.attn.w_msa"
    ours = converted.model.pixel_level_module.encoder.swin.encoder.layers[1].blocks[1].attention
    windows = torch.randn(3, 49, 24, generator=torch.Generator().manual_seed(2))
    joint = windows @ state[f"{name}.qkv.weight"].T + state[f"{name}.qkv.bias"]
    q, k, v = joint.reshape(3, 49, 3, 2, 12).permute(2, 0, 3, 1, 4)
    bias = state[f"{name}.relative_position_bias_table"][state[f"{name}.relative_position_index"].reshape(-1)].reshape(49, 49, 2)
    attention = (q * 12**-0.5 @ k.transpose(-1, -2) + bias.permute(2, 0, 1)).softmax(-1)
    want = (attention @ v).transpose(1, 2).reshape(3, 49, 24) @ state[f"{name}.proj.weight"].T + state[f"{name}.proj.bias"]
    with torch.inference_mode():
        torch.testing.assert_close(ours(windows)[0], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "bare"])
def test_command_writes_a_folder_that_the_detector_loads(tmp_path: Path, cli, kind) -> None:
    state = weights()
    source = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in state.items()}, source)
    elif kind == "bare":
        torch.save(state, source)
    else:
        # mmdet publishes files of the old format, with notes beside the weights.
        whole = {"meta": {"epoch": 50, "CLASSES": ("person", "bicycle")}, "state_dict": OrderedDict(state)}
        torch.save(whole, source, _use_new_zipfile_serialization=kind == "zip")
    result = cli("convert-detector", str(source), str(tmp_path / "out"), "--json")
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert row["tensors"] == len(state) and row["official"] is False
    assert row["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    detector = Mask2FormerDetector(checkpoint=str(tmp_path / "out"), device="cpu")
    name = "model.transformer_module.decoder.layers.2.self_attn.k_proj.weight"
    joint = state["panoptic_head.transformer_decoder.layers.2.attentions.1.attn.in_proj_weight"]
    assert torch.equal(dict(detector.model.named_parameters())[name].detach(), joint[64:128])
    if kind == "zip":
        from evals.vocabulary import GENEVAL_CLASSES

        found = detector.detect(Image.new("RGB", (32, 24), (200, 30, 30)), GENEVAL_CLASSES)
        assert len(found) == 100 and found[0].mask.shape == (24, 32)
        assert not list((tmp_path / "out").glob("*.bin")) and (tmp_path / "out/model.safetensors").is_file()


def test_names_that_do_not_fit_are_told(tmp_path: Path) -> None:
    state = weights()
    lacking = {name: value for name, value in state.items() if "norms.2" not in name}
    with pytest.raises(ModelError, match=r"without panoptic_head\.transformer_decoder\.layers\.0\.norms\.2\.bias.* and 3 more"):
        convert_state(lacking)
    with pytest.raises(ModelError, match=r"with unknown backbone\.head\.fc\.weight"):
        convert_state({**state, "backbone.head.fc.weight": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"without panoptic_head\.pixel_decoder\.level_encoding\.weight"):
        convert_state({"backbone.conv1.weight": torch.zeros(1)})
    wrong = {**state, "panoptic_head.mask_embed.4.weight": torch.zeros(5, 64)}
    with pytest.raises(ModelError, match=r"mask_embed\.4\.weight: got \(5, 64\).*expected \(64, 64\)"):
        convert_state(wrong)
    table = "backbone.stages.0.blocks.0.attn.w_msa.relative_position_index"
    with pytest.raises(ModelError, match="another order of window positions"):
        convert_state({**state, table: state[table].T})


class _Evil:
    def __reduce__(self):
        import os

        return os.mkdir, ("owned",)


def test_hostile_and_damaged_files_run_nothing(tmp_path: Path, monkeypatch, cli) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "x": _Evil()}, "evil.pth")
    result = cli("convert-detector", "evil.pth", "out")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "cannot be read as plain tensors" in result.stderr
    assert not Path("owned").exists() and not Path("out").exists()
    Path("half.pth").write_bytes(Path("evil.pth").read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read as plain tensors"):
        read_state(Path("half.pth"))
    for name, text in (("nothing.pth", "no such file"), ("weights.bin", 'got ".bin"')):
        if text != "no such file":
            Path(name).write_bytes(b"")
        with pytest.raises(ModelError, match=text):
            read_state(Path(name))
    torch.save({"state_dict": {"a": 1}}, "odd.pth")
    with pytest.raises(ModelError, match="a: got int; expected a tensor"):
        read_state(Path("odd.pth"))


def test_out_must_be_new(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "w.pth")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    with pytest.raises(ModelError, match="expected a new or empty folder"):
        convert_file(tmp_path / "w.pth", tmp_path / "out")
