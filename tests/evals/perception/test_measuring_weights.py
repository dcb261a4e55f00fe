"""FID's Inception by its own facts; published pickles become safetensors through one restricted door; what is told when they are absent."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from evals.errors import ModelError
from evals.perception import inception, weight_file


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return inception.build()


def test_resize_reads_at_i_times_scale_without_antialiasing() -> None:
    row = torch.tensor([0.0, 10.0, 20.0, 90.0]).reshape(1, 1, 1, 4)
    # 4 -> 3 columns: 0, 4/3 and 8/3; rows are one, so all equal.
    assert torch.allclose(inception.resized(row, 3)[0, 0, 0], torch.tensor([0.0, 10 + 10 / 3, 20 + 70 * 2 / 3]))
    # Beyond the last pixel nothing is extrapolated.
    assert torch.allclose(inception.resized(row, 8)[0, 0, 0], torch.tensor([0.0, 5, 10, 15, 20, 55, 90, 90]))


def test_pools_leave_padding_out_and_the_last_block_pools_by_maximum(network) -> None:
    captured = {}
    for name, channels, side in (("Mixed_5b", 192, 35), ("Mixed_6b", 768, 17), ("Mixed_7b", 1280, 8), ("Mixed_7c", 2048, 8)):
        block = getattr(network, name)
        hook = block.branch_pool.register_forward_pre_hook(lambda module, given, name=name: captured.update({name: given[0]}))
        x = torch.zeros(1, channels, side, side)
        x[:, :, 0, 0] = 9.0
        with torch.no_grad():
            block(x)
        hook.remove()
    # A corner window holds four real pixels: 9/4, not 9/9; the maximum is 9.
    assert {name: float(value[0, 0, 0, 0]) for name, value in captured.items()} == {
        "Mixed_5b": 2.25, "Mixed_6b": 2.25, "Mixed_7b": 2.25, "Mixed_7c": 9.0,
    }  # fmt: skip


def test_names_and_forms_are_those_of_the_published_file(network) -> None:
    state = network.state_dict()
    forms = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6b.branch7x7dbl_5.bn.running_mean": (192,),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }
    assert {name: tuple(state[name].shape) for name in forms} == forms
    assert not [name for name in state if "Aux" in name]
    assert network.Conv2d_1a_3x3.bn.eps == 0.001


def test_features_come_from_a_converted_file_and_logits_have_no_bias(network, tmp_path: Path) -> None:
    # The published file has no step counters.
    path = tmp_path / "inception.safetensors"
    save_file({k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}, path)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))
    extractor = inception.InceptionFeatures(checkpoint=str(path), device="cpu")
    seen = extractor.look([picture])
    assert seen.features.shape == (1, extractor.dimension)
    assert np.allclose(seen.logits, seen.features @ network.fc.weight.double().numpy().T, atol=1e-4)
    pixels = torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        assert np.allclose(inception.look(network, pixels)[0].numpy(), seen.features, atol=1e-5)


def test_a_published_pickle_becomes_safetensors_by_the_command(cli, tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    torch.save({"state_dict": {"a": shared[:3], "module.b": shared.reshape(2, 3).T}, "epoch": 3}, tmp_path / "net.pt")
    done = cli("convert-weights", str(tmp_path / "net.pt"), str(tmp_path / "out" / "net.safetensors"), "--json")
    assert done.exit_code == 0 and '"tensors": 2' in done.stdout
    state = load_file(tmp_path / "out" / "net.safetensors")
    assert torch.equal(state["a"], shared[:3]) and torch.equal(state["b"], shared.reshape(2, 3).T)
    again = cli("convert-weights", str(tmp_path / "net.pt"), str(tmp_path / "out" / "net.safetensors"))
    assert again.exit_code == 2 and "there already" in again.stderr


class Harm:
    """A pickle that would run a command."""

    def __reduce__(self):
        return os.system, ("true",)


def test_a_file_with_code_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "harm.pt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "more": Harm()}, path)
    with pytest.raises(ModelError, match="restricted reader does not take"):
        weight_file.convert(path, tmp_path / "out.safetensors")
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(ModelError, match="restricted reader does not take"):
        weight_file.convert(path, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    with pytest.raises(ModelError, match=r"ends in \.safetensors"):
        weight_file.convert(path, tmp_path / "out.pt")
    with pytest.raises(ModelError, match=r"got no \.pt"):
        weight_file.convert(tmp_path / "absent.pt", tmp_path / "out.safetensors")


@pytest.mark.parametrize("name", sorted(weight_file.PUBLISHED))
def test_absent_weights_tell_file_source_and_command(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    published = weight_file.PUBLISHED[name]
    with pytest.raises(ModelError) as told:
        weight_file.find(name, None, asked="scorer x: checkpoint")
    for part in ("scorer x: checkpoint: got no file", published.file, published.where, f"convert-weights {published.file} {tmp_path}"):
        assert part in str(told.value)
    # What the sentence tells to do is what is looked for.
    target = Path(str(told.value).rsplit(" ", 1)[1].rstrip("`."))
    target.parent.mkdir()
    save_file({"a": torch.zeros(1)}, target)
    assert weight_file.find(name, None, asked="scorer x: checkpoint") == target
