"""`uniar train RECIPE --dry-run`: exact counts, memory that real optimisers have, and nothing fetched, loaded or written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import torch

import uniar
from uniar.data.mix import Mix
from uniar.data.pictures import PictureEncoder
from uniar.data.sizing import Sizing
from uniar.training.activations import language_kept
from uniar.training.dry_run import DryRun, as_data, dry_run, lines
from uniar.training.language import LanguageConfig, LanguageStage
from uniar.training.optim import EngineConfig, Optimizers, WeightAverage
from uniar.training.recipe_file import OURS
from uniar.training.recipes import read

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
RECIPES = sorted(path.stem for path in OURS.glob("*.yaml"))
LARGE = [name for name in RECIPES if name.startswith("uniar-8b")]
# No module may reach the network, whatever library asks.
OFFLINE = """
import json, socket, sys

def refused(*_, **__):
    raise AssertionError("the dry run asked for the network")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refused
from click.testing import CliRunner
from uniar.cli.main import cli

told = {}
for recipe in sys.argv[1:]:
    ran = CliRunner().invoke(cli, ["train", recipe, "--dry-run", "--json", "--out", "out"])
    if ran.exit_code:
        raise SystemExit(f"{recipe}: {ran.output} {ran.exception!r}")
    told[recipe] = json.loads(ran.stdout)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def offline(tmp_path_factory) -> dict[str, Any]:
    """What every recipe tells, from a process without a network, in a folder that stays empty."""
    here, home = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("home")
    root = Path(uniar.__file__).parents[1]
    environment = os.environ | {"HF_HOME": str(home), "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", OFFLINE, *RECIPES], capture_output=True, text=True, check=False, cwd=here, env=environment, timeout=900
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert list(here.iterdir()) == []
    return json.loads(ran.stdout)


def _stage(run: DryRun) -> dict[str, Any]:
    (stage,) = as_data(run)["stages"]
    return stage


# -- counts --------------------------------------------------------------------------------------------------------------


def test_every_recipe_is_told_without_a_network(offline):
    assert sorted(offline) == RECIPES
    assert {"tokenizer", "decoder", "pretrain", "sft", "grpo"} <= {s["stage"] for told in offline.values() for s in told["stages"]}


@pytest.mark.parametrize("name", [name for name in LARGE if name != "uniar-8b-decoder"])
def test_the_release_has_its_published_counts(offline, name):
    (stage,) = offline[name]["stages"]
    counts = stage["parameters"]
    assert counts["whole model"] == 9_627_074_032
    assert counts["vision tower"] == 656_160_240
    assert counts["generation part"] == 780_178_432
    assert counts["language model"] == 8_190_735_360
    assert counts["whole model"] == counts["vision tower"] + counts["generation part"] + counts["language model"]


def test_what_learns_of_the_release(offline):
    sft, grpo = (offline[name]["stages"][0]["parameters"] for name in ("uniar-8b-sft", "uniar-8b-grpo"))
    assert grpo["trained in this stage"] == grpo["whole model"] - grpo["vision tower"]
    # The mergers: one over 1152 wide patches, three over joined ones; two layers each.
    wide = 4 * 1152
    mergers = 4 * (wide * wide + wide + wide * 4096 + 4096) + 2 * 1152 + 3 * 2 * wide
    assert sft["trained in this stage"] == grpo["trained in this stage"] + mergers
    decoder = offline["uniar-8b-decoder"]["stages"][0]["parameters"]
    # Stable Diffusion 3.5 medium, its position table left out, and the projection of 4 x 1152 channels.
    assert decoder["pixel decoder (DiT)"] == 2_243_171_520 + 4608 * 1536 == decoder["trained in this stage"]
    assert decoder["vision tower"] == sft["vision tower"]


def test_the_bundled_checkpoint_has_the_counts_of_its_loaded_modules(offline):
    loaded = uniar.load("uniar-mini")

    def count(*modules: Any) -> int:
        return sum(p.numel() for m in modules for p in m.parameters())

    model = loaded.model
    counts = offline["sft"]["stages"][0]["parameters"]
    assert counts["whole model"] == count(model)
    assert counts["vision tower"] == count(model.visual)
    assert counts["generation part"] == count(model.visual_decoder, model.output_layer_vistok)
    assert counts["language model"] == count(model.model.language_model, model.lm_head)
    counts = offline["decoder"]["stages"][0]["parameters"]
    assert counts["pixel decoder (DiT)"] == counts["trained in this stage"] == count(loaded.decoder.transformer)
    assert counts["VAE"] == count(loaded.decoder.vae)
    assert counts["vision tower"] == count(loaded.feature_encoder)


def test_the_chain_tells_all_of_its_stages(offline):
    names = [stage["stage"] for stage in offline["mini"]["stages"]]
    assert names[:4] == ["tokenizer", "vae", "decoder", "autoregressive"]
    first, own = offline["mini"]["stages"][3]["parameters"], offline["sft"]["stages"][0]["parameters"]
    # The text tokenizer has not been trained, so the vocabulary is the largest that the recipe allows.
    assert first["vision tower"] == own["vision tower"] and first["generation part"] == own["generation part"]
    assert 0 <= first["language model"] - own["language model"] <= 2 * 512 * 256


# -- length --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "tokens"), [("uniar-8b-pretrain", 800e9), ("uniar-8b-pretrain-32k", 200e9), ("uniar-8b-sft", 50e9)])
def test_the_published_tokens_are_the_steps(offline, name, tokens):
    length = offline[name]["stages"][0]["length"]
    assert tokens <= length["tokens in all"] < tokens + length["tokens a step"]
    assert length["tokens in all"] == length["tokens a step"] * length["steps"]


def test_the_published_reinforcement_learning(offline):
    first, second = (offline[name]["stages"][0]["length"] for name in ("uniar-8b-grpo", "uniar-8b-grpo-960"))
    assert (first["steps"], first["prompts a step"], first["images a step"]) == (500, 32, 32 * 16)
    assert first["visual tokens a step"] == 512 * 16 * 16
    assert second["steps"] == 100 and second["visual tokens a step"] == 512 * 30 * 30


def test_the_rewards_of_the_recipes_are_offered():
    known = {point.name for point in entry_points(group="uniar.rewards")}
    for name in ("uniar-8b-grpo", "uniar-8b-grpo-960"):
        assert {reward.name: reward.weight for reward in read(OURS / f"{name}.yaml").grpo.rewards} == dict.fromkeys(
            ("unified", "geneval", "ocr", "hpsv2"), 1.0
        )
    assert {"unified", "geneval", "ocr", "hpsv2"} <= known


# -- memory --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learning(tmp_path_factory) -> tuple[LanguageStage, Any]:
    """The stage sft on the bundled checkpoint after one backward, and its batch."""
    base = uniar.load("uniar-mini", dtype=torch.float32)
    mix = tmp_path_factory.mktemp("mix") / "mix.yaml"
    mix.write_text("datasets:\n  - {name: world, kind: shapes}\n", "utf-8")
    processor = base.processor
    stage = LanguageStage(
        base.model,
        tokenizer=processor.tokenizer,
        draw=Mix.open(mix, sizing=Sizing.from_processor(processor.image_processor), seed=0).load,
        encode_pictures=PictureEncoder(base.model.visual, processor.image_processor),
        config=LanguageConfig(packed_length=160),
        seed=0,
    )
    stage.train()
    data = stage.prepare(0, range(20)).data
    sum(stage(data).sums.values()).backward()
    return stage, data


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_memory_is_that_of_real_weights_gradients_and_optimisers(learning, optimizer):
    stage, _ = learning
    optimizers = Optimizers(stage, EngineConfig(steps=1, batch_size=1, lr=0.0, optimizer=optimizer))
    optimizers.step(0.0)
    slots = [v for part in optimizers.parts for state in part.state.values() for v in state.values()]
    memory = _stage(dry_run(OURS / "sft.yaml", (f"train.optimizer={optimizer}", "train.ema=0.9")))["memory"]["none"]

    def held(tensors: Any) -> int:
        return sum(t.numel() * t.element_size() for t in tensors)

    assert memory["optimiser"] == held(slots)
    assert memory["gradients"] == held(p.grad for p in stage.parameters() if p.grad is not None)
    assert memory["weights"] == held(stage.parameters()) + held(stage.buffers())
    assert memory["running average"] == held(WeightAverage(stage, 0.9)._values.values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_activations_are_near_what_autograd_really_keeps(learning, precision):
    stage, data = learning
    own = {p.data_ptr() for p in stage.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    reduced = precision == "bfloat16"
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        stage(data)
    casts = sum(2 * m.weight.numel() for m in stage.modules() if isinstance(m, torch.nn.Linear) and m.weight.requires_grad) * reduced
    rows = len(data.packed.ids)
    told = rows * language_kept(stage.model.config, length=160, precision=precision).bytes(checkpointing=False)
    assert 0.9 < told / (sum(s.nbytes() for s in kept.values()) - casts) < 1.2


def test_sharding_splits_what_it_can():
    parts = as_data(dry_run(OURS / "uniar-8b-sft.yaml", processes=64))["stages"][0]
    none, fsdp2 = parts["memory"]["none"], parts["memory"]["fsdp2"]
    trained = parts["parameters"]["trained in this stage"]
    # Its buffers are the powers of two of 64 bits, and one more number, of 8 bytes each.
    assert none["weights"] == 4 * parts["parameters"]["whole model"] + 65 * 8
    for name in ("gradients", "optimiser"):
        assert fsdp2[name] == round(none[name] / 64)
    assert none["gradients"] == none["gradient buckets"] == 4 * trained
    assert 8 * trained < none["optimiser"] < 8 * trained + 8192
    assert fsdp2["bfloat16 casts"] == none["bfloat16 casts"] and fsdp2["gathered"] > 0 == none["gathered"]
    assert none["total"] == sum(v for k, v in none.items() if k != "total")
    assert parts["activations"]["gradient checkpointing off"] > 5 * parts["activations"]["gradient checkpointing on"]
    # Micro-batches keep whole gradients until the last of them.
    several = as_data(dry_run(OURS / "uniar-8b-sft.yaml", ("train.accumulate=4",), processes=64))["stages"][0]["memory"]["fsdp2"]
    assert several["gradients"] == none["gradients"]


def test_a_reference_is_kept_for_full_tuning_alone(offline):
    full = offline["uniar-8b-grpo"]["stages"][0]
    assert full["memory"]["none"]["reference"] == 4 * full["parameters"]["trained in this stage"]
    assert full["memory"]["fsdp2"]["reference"] == full["memory"]["none"]["reference"]
    pytest.importorskip("peft")
    adapted = _stage(dry_run(OURS / "uniar-8b-grpo.yaml", ("grpo.lora={rank: 32}", "train.sharding=none"), processes=16))
    assert adapted["parameters"]["trained in this stage"] == adapted["parameters"]["adapters"]
    assert set(adapted["memory"]) == {"none"} and "reference" not in adapted["memory"]["none"]
    assert 8 * adapted["parameters"]["adapters"] < adapted["memory"]["none"]["optimiser"] < 8.01 * adapted["parameters"]["adapters"]


# -- the command ---------------------------------------------------------------------------------------------------------


def test_the_table_says_what_the_data_say():
    run = dry_run(OURS / "uniar-8b-sft.yaml", processes=64)
    text = "\n".join(lines(run))
    assert "sft, from ShareLab-SII/UniAR-SFT, 64 processes, 1 micro-batch, sharding fsdp2" in text
    for value in _stage(run)["parameters"].values():
        assert f"{value:,}" in text
    assert f"{_stage(run)['memory']['fsdp2']['total'] / 1e9:.2f}" in text
    assert max(map(len, text.splitlines())) <= 140


def test_the_page_shows_what_is_told():
    page = (Path(__file__).resolve().parents[3] / "docs" / "training.md").read_text("utf-8")
    command, *shown = re.search(r"```text\n(\$ uniar train uniar-8b-sft --dry-run .*?)```", page, re.DOTALL)[1].splitlines()
    assert command.endswith("--processes 64")
    told = list(lines(dry_run(OURS / "uniar-8b-sft.yaml", processes=64)))
    assert [line for line in shown if line != "..." and line not in told] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing", "--dry-run"), "no such recipe. Ours: decoder, "),
        (("sft", "--dry-run", "--set", "checkpoint=some/model"), "some/model: no such folder, and not in the local cache"),
        (("sft", "--dry-run", "--set", "checkpoint=./nowhere"), "no such checkpoint folder"),
        (("sft", "--dry-run", "--processes", 3), "train.batch_size: got 32; expected a multiple of 3 processes"),
        (("sft", "--dry-run", "--set", "language.packed_lengt=3"), "packed_lengt: unknown key"),
        (("grpo", "--dry-run", "--set", "grpo.height=60"), "grpo.height, grpo.width: got 60 x 64"),
        (("mini", "--dry-run", "--processes", 2), "--processes: got 2"),
        (("sft", "--set", "data=mix.yaml", "--json"), "without --dry-run"),
    ],
)
def test_a_mistake_is_one_sentence(uniar_cli, monkeypatch, tmp_path, arguments, told):
    monkeypatch.chdir(tmp_path)
    ran = uniar_cli("train", *arguments)
    assert ran.code == 2 and ran.out == ""
    assert told in ran.err and ran.err.startswith("Error: ") and ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_sharded_is_refused_before_it_starts(uniar_cli):
    settings = ("--set", "train.sharding=fsdp2", "--set", "train.optimizer=muon")
    ran = uniar_cli("train", "sft", "--dry-run", "--processes", 2, *settings)
    assert ran.code == 2 and "train.sharding: got fsdp2 with optimizer muon" in ran.err
    assert uniar_cli("train", "sft", "--dry-run", *settings).code == 0


def test_a_folder_is_read_by_its_own_configuration(golden):
    stage = _stage(dry_run(OURS / "decoder.yaml", (f"checkpoint={golden}",)))
    loaded = uniar.load(golden)
    assert stage["parameters"]["pixel decoder (DiT)"] == sum(p.numel() for p in loaded.decoder.transformer.parameters())
    assert stage["parameters"]["VAE"] == sum(p.numel() for p in loaded.decoder.vae.parameters())
