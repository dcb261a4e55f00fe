"""`uniar verify`: the golden checkpoint agrees, a damaged one is told apart, a broken one is one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


def _change(file: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def test_the_golden_checkpoint_agrees_as_a_program(golden):
    ran = subprocess.run(
        [sys.executable, "-c", "from uniar.cli.main import main; main()", "verify", str(golden)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = ran.stdout.splitlines()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    recorded = {k for f in ("golden", "golden_decoder") for k in load_file(golden / f"{f}.safetensors")}
    checked = {line.split()[1] for line in lines[:-1]}
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert {"tok.codes", "und.logits", "t2i.codes_cfg1.0", "tf.logits", "dec.final_latents", "dec.image", "dit.out"} <= checked
    assert checked <= recorded
    assert lines[-1] == f"{len(checked)} of {len(checked)} tensors agree."


@pytest.mark.parametrize(
    ("file", "tensor", "missed"),
    [
        ("model.safetensors", "lm_head.weight", {"und.logits"}),
        ("sd3_transformer/diffusion_pytorch_model.safetensors", "proj_out.bias", {"dit.out", "dec.image"}),
    ],
)
def test_one_changed_weight_is_a_miss(golden_copy, uniar_cli, file, tensor, missed):
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[tensor].view(-1)[0] += 0.5

    _change(golden_copy / file, change)
    ran = uniar_cli("verify", golden_copy, "--json")
    checks = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 1
    bad = {c["name"] for c in checks if not c["ok"]}
    assert missed <= bad
    assert all(c["ok"] for c in checks if c["name"].startswith("tok."))
    assert f"{len(checks) - len(bad)} of {len(checks)} tensors agree." in ran.err


def test_a_miss_is_a_line_with_its_error(golden_copy, uniar_cli):
    _change(golden_copy / "golden_decoder.safetensors", lambda t: t["dec.image"].view(-1)[:1].add_(1.0))
    (golden_copy / "golden.safetensors").unlink()
    ran = uniar_cli("verify", golden_copy)
    misses = [line for line in ran.out.splitlines() if line.startswith("MISS")]
    assert ran.code == 1
    assert len(misses) == 1
    assert "dec.image" in misses[0]
    assert "max abs error 1.00e+00" in misses[0]


def _sentence(ran, *names: str) -> str:
    assert ran.code == 2, ran.out
    assert ran.err.startswith("Error: ")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    for name in names:
        assert name in ran.err
    return ran.err


def test_a_missing_folder(uniar_cli, tmp_path):
    _sentence(uniar_cli("verify", tmp_path / "nothing"), "nothing", "no such checkpoint folder")


def test_a_folder_without_records(golden_copy, uniar_cli):
    for name in ("golden", "golden_decoder"):
        (golden_copy / f"{name}.safetensors").unlink()
    _sentence(uniar_cli("verify", golden_copy), "nothing to verify against")


def test_a_file_that_is_no_safetensors(golden_copy, uniar_cli):
    (golden_copy / "golden.safetensors").write_bytes(b"nonsense")
    _sentence(uniar_cli("verify", golden_copy), "golden.safetensors", "not a readable safetensors file")


def _misfit(tensors: dict[str, Tensor], gone: list[str], extra: list[str], shaped: list[str]) -> None:
    for name in gone:
        del tensors[name]
    for name in extra:
        tensors[name] = torch.zeros(3)
    for name in shaped:
        tensors[name] = torch.zeros(5, 2)


@pytest.mark.parametrize(
    ("file", "gone", "extra", "shaped"),
    [
        ("model.safetensors", ["model.language_model.norm.weight", "lm_head.weight"], [], []),
        ("model.safetensors", [], ["model.stranger", "other.stranger"], []),
        ("model.safetensors", [], [], ["lm_head.weight", "model.visual.patch_embed.proj.bias"]),
        ("model.safetensors", ["lm_head.weight"], ["stranger"], ["model.language_model.norm.weight"]),
        ("bsq_encoder/model.safetensors", ["patch_embed.proj.bias", "merger.norm.bias"], ["a.b", "c.d"], ["pos_embed.weight"]),
        ("sd3_transformer/diffusion_pytorch_model.safetensors", ["proj_out.bias"], ["x.y"], ["siglip_embed_add_latent.weight"]),
    ],
)
def test_tensors_that_do_not_fit_are_all_named(golden_copy, uniar_cli, file, gone, extra, shaped):
    _change(golden_copy / file, lambda tensors: _misfit(tensors, gone, extra, shaped))
    counts = [f"{len(n)} {t}: " for t, n in (("missing", gone), ("unexpected", extra), ("mis-shaped", shaped)) if n]
    _sentence(uniar_cli("verify", golden_copy), *gone, *extra, *shaped, *counts)
