"""OneIG-Bench reasoning, style and diversity: official files in, hand-worked cosines, small random encoders, and what refuses."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from evals.datasets.oneig import OneIGDataset
from evals.errors import CanaryError, DataError, ModelError, PluginError
from evals.metrics.aggregate import Row
from evals.metrics.oneig import oneig_reasoning, oneig_style, oneig_styles
from evals.perception.image_distance import BACKBONES, DreamSim, MiniFeatures
from evals.perception.style_encoders import CsdEncoder, StyleEncoder
from evals.scorers.oneig_diversity import OneIGDiversityScorer
from evals.scorers.oneig_reasoning import OneIGReasoningScorer
from evals.scorers.oneig_style import OneIGStyleScorer, tile_score
from evals.types import Outcome, Output, Sample


def output(sample: Sample, repeat: int = 0) -> Output:
    return Output(sample_id=sample.sample_id, task=sample.task, repeat=repeat, seed=0, outcome=Outcome.OK)


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


# -- the data --------------------------------------------------------------------------------------------------------

ROWS = (
    ("Anime_Stylization", "000"), ("Anime_Stylization", "1"), ("Portrait", "000"), ("Text_Rendering", "000"),
    ("Knowledge_Reasoning", "000"), ("Multilingualism", "000"),
)  # fmt: skip


def files(root: Path, *, answers: object = None, column: str = "prompt_en", words: str = "A star.") -> str:
    def table(name: str, head: list[str], rows: list[list[str]]) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with (root / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([head, *rows])

    zh = column == "prompt_cn"
    table(f"OneIG-Bench{'-ZH' if zh else ''}.csv", ["category", "id", column, "class"], [[c, n, words, "None"] for c, n in ROWS])
    table("scripts/style/style.csv", ["id", "class"], [["0", "Pop Art"], ["001", ""], ["002", "None"]])
    entry = {"question": json.dumps({"1": "Is it?"}), "dependency": json.dumps({"1": [0]})}
    end = "_zh" if zh else ""
    for name in ("anime", "human", "multilingualism"):
        path = root / f"scripts/alignment/Q_D/{name}{end}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"000": entry, "001": entry}))
    path = root / f"scripts/reasoning/gt_answer{end}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"000": "Five peaks."} if answers is None else answers))
    return str(root)


def ids(folder: str, *dimensions: str, **settings: str) -> list[str]:
    return [sample.sample_id for sample in OneIGDataset(dimensions=dimensions, folder=folder, **settings).load()]


def test_each_dimension_takes_its_own_prompts(tmp_path):
    folder = files(tmp_path)
    assert ids(folder, "style") == ["anime-000"]
    assert ids(folder, "reasoning") == ["reasoning-000"]
    assert ids(folder, "alignment") == ["anime-000", "anime-001", "human-000"]
    assert ids(folder, "style", "reasoning") == ["anime-000", "reasoning-000"]
    everything = ["anime-000", "anime-001", "human-000", "text-000", "reasoning-000", "multilingualism-000"]
    assert ids(folder, "diversity") == everything
    whole = {s.sample_id: s for s in OneIGDataset(dimensions=("alignment", "reasoning", "style", "diversity"), folder=folder).load()}
    assert list(whole) == everything
    assert whole["anime-000"].metadata["style"] == "pop_art" and "style" not in whole["anime-001"].metadata
    assert whole["anime-001"].metadata["questions"] == {"1": "Is it?"} and "questions" not in whole["text-000"].metadata
    assert whole["reasoning-000"].metadata["answer"] == "Five peaks." and whole["reasoning-000"].task == "reasoning"
    assert whole["anime-001"].metadata["category"] == "Anime_Stylization" and whole["anime-001"].metadata["id"] == "001"


def test_chinese_has_its_own_files(tmp_path):
    folder = files(tmp_path, column="prompt_cn", words="一颗星")
    assert ids(folder, "alignment", language="zh") == ["anime-000", "anime-001", "human-000", "multilingualism-000"]
    assert ids(folder, "reasoning", language="zh") == ["reasoning-000"]
    with pytest.raises(DataError, match=r"got no OneIG-Bench\.csv"):
        ids(folder, "reasoning")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({}, "got no answer 000"),
        ([], "got a list; expected answers by id"),
        ({"000": ""}, "000: got ''"),
        ({"000": {"a": 1}}, "000: got {"),
    ],
)
def test_answers_that_do_not_fit(tmp_path, answers, told):
    with pytest.raises(DataError, match=told):
        ids(files(tmp_path, answers=answers), "reasoning")


@pytest.mark.parametrize("dimensions", [(), ("text",), "style"])
def test_dimensions_that_are_none(dimensions):
    with pytest.raises(DataError, match="oneig: dimensions: got"):
        OneIGDataset(dimensions=dimensions)


# -- reasoning -------------------------------------------------------------------------------------------------------


class Redness:
    """An embedder that knows one colour."""

    def __init__(self, name: str = "redness") -> None:
        self.name, self.asked = name, []

    def similarity(self, image, text):
        self.asked.append(text)
        red, blue = (float(np.asarray(image)[..., c].mean()) / 255 for c in (0, 2))
        return red - blue if "blue" not in text else blue - red


ANSWERED = Sample(sample_id="reasoning-000", task="reasoning", prompt="p", metadata={"answer": "red peaks"})


def test_a_substitute_is_never_called_the_score():
    with pytest.raises(PluginError, match="LLM2CLIP is code of a model repository, which is not executed here"):
        OneIGReasoningScorer(roles={})
    embedder = Redness()
    scorer = OneIGReasoningScorer(roles={"embedder": embedder}, jpeg_quality=None)
    scorer.canary()
    found = scorer.score(ANSWERED, output(ANSWERED), Image.new("RGB", (8, 8), (204, 0, 102)))
    assert found.values == {"substitute": pytest.approx(0.4)} and "a substitute for LLM2CLIP" in found.reason
    assert embedder.asked[-1] == "red peaks"
    own = OneIGReasoningScorer(roles={"embedder": Redness("llm2clip")}).score(
        ANSWERED, output(ANSWERED), Image.new("RGB", (8, 8), (255, 0, 0))
    )
    assert list(own.values) == ["score"] and "substitute" not in own.reason


def test_reasoning_of_what_it_does_not_speak_of():
    scorer = OneIGReasoningScorer(roles={"embedder": Redness()})
    assert scorer.score(ANSWERED, output(ANSWERED), Image.new("RGB", (8, 8))).outcome is Outcome.NOT_APPLICABLE
    assert scorer.score(ANSWERED, output(ANSWERED), None).outcome is Outcome.MISSING
    other = Sample(sample_id="anime-000", task="anime", prompt="p", metadata={"category": "Anime_Stylization"})
    assert scorer.score(other, output(other), noise(0)).outcome is Outcome.NOT_APPLICABLE
    bare = Sample(sample_id="reasoning-000", task="reasoning", prompt="p", metadata={"category": "Knowledge_Reasoning"})
    with pytest.raises(DataError, match="got answer None"):
        scorer.score(bare, output(bare), noise(0))
    lost = SimpleNamespace(name="lost", similarity=lambda image, text: float("nan"))
    with pytest.raises(DataError, match="embedder lost: got nan"):
        OneIGReasoningScorer(roles={"embedder": lost}).score(ANSWERED, output(ANSWERED), noise(0))
    with pytest.raises(CanaryError, match="is not a trained one"):
        OneIGReasoningScorer(roles={"embedder": SimpleNamespace(name="flat", similarity=lambda image, text: 0.1)}).canary()


def test_means_are_over_prompts_and_named_by_what_they_are():
    def row(sample_id: str, value: float | None, style: str) -> Row:
        outcome = Outcome.OK if value is not None else Outcome.NOT_APPLICABLE
        return Row(sample_id, "anime", (), outcome, value, sample_id=sample_id, metadata={"style": style})

    rows = [row("a", 0.2, "clay"), row("a", 0.4, "clay"), row("b", 0.9, "lego"), row("b", None, "lego")]
    settings = {"task": "*", "kind": "headline", "seed": 0}
    found = oneig_reasoning(rows, value="substitute", **settings)
    assert (found.name, found.value, found.n, found.n_expected) == ("reasoning_substitute", pytest.approx(0.6), 3, 4)
    assert oneig_reasoning(rows, value="score", **settings).name == "reasoning"
    assert oneig_style(rows, value="score", **settings).name == "style"
    assert [(m.task, m.value) for m in oneig_styles(rows, value="score", **settings)] == [("clay", pytest.approx(0.3)), ("lego", 0.9)]


# -- style -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tower():
    """A small vision tower of OpenAI's names by open_clip, with its projection."""
    from open_clip.transformer import VisionTransformer

    torch.manual_seed(0)
    quick = type("QuickGELU", (torch.nn.Module,), {"forward": lambda self, x: x * torch.sigmoid(1.702 * x)})
    return VisionTransformer(
        image_size=32, patch_size=16, width=128, layers=2, heads=2, mlp_ratio=4.0, output_dim=24, act_layer=quick
    ).eval()  # fmt: skip


def published(tower, **changed: torch.Tensor) -> dict[str, torch.Tensor]:
    state = {f"module.backbone.{name}": tensor for name, tensor in tower.state_dict().items() if name != "proj"}
    state["module.last_layer_style"] = tower.proj.detach()
    state["module.last_layer_content"] = torch.zeros(128, 24)
    return {name: tensor.clone().contiguous() for name, tensor in (state | changed).items()}


@pytest.fixture(scope="module")
def encoders(tower, tmp_path_factory) -> dict[str, str]:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    root = tmp_path_factory.mktemp("encoders")
    (root / "csd").mkdir()
    save_file(published(tower), root / "csd" / "csd.safetensors")
    size = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    }
    torch.manual_seed(1)
    CLIPVisionModelWithProjection(CLIPVisionConfig(**size, projection_dim=16)).save_pretrained(root / "se")
    return {"csd": str(root / "csd"), "se": str(root / "se")}


def test_csd_equals_the_tower_it_was_made_of(tower, encoders):
    from torchvision.transforms import functional as F

    image = noise(3, (50, 37))
    # Shorter side to 32 by Pillow's bicubic, then the middle.
    small = F.center_crop(F.resize(image, 32, interpolation=F.InterpolationMode.BICUBIC), 32)
    pixels = F.normalize(F.to_tensor(small), (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    with torch.no_grad():
        wanted = torch.nn.functional.normalize(tower(pixels[None]), dim=-1)[0]
    got = CsdEncoder(checkpoint=encoders["csd"], device="cpu").embed(image)
    assert got.shape == (24,) and torch.allclose(got, wanted, atol=1e-5)
    assert not torch.allclose(got, CsdEncoder(checkpoint=encoders["csd"], device="cpu").embed(noise(4, (50, 37))), atol=1e-3)


def test_csd_files_that_do_not_fit(tower, tmp_path):
    def load(state: dict[str, torch.Tensor]) -> None:
        save_file(state, tmp_path / "csd.safetensors")
        CsdEncoder(checkpoint=str(tmp_path / "csd.safetensors"), device="cpu").embed(noise(0))

    without = published(tower)
    del without["module.last_layer_style"]
    with pytest.raises(ModelError, match="last_layer_style: got nothing"):
        load(without)
    without = published(tower)
    del without["module.backbone.transformer.resblocks.1.ln_2.bias"]
    with pytest.raises(ModelError, match=r"layers.1.layer_norm2.bias: got nothing"):
        load(without)
    with pytest.raises(ModelError, match="got a tensor that CSD does not have"):
        load(published(tower, **{"module.backbone.extra": torch.zeros(1)}))
    with pytest.raises(ModelError, match=r"uniar-eval convert-weights checkpoint\.pth"):
        CsdEncoder(checkpoint=str(tmp_path / "none"))


def test_the_published_checkpoint_is_converted_by_the_command(tower, encoders, cli, tmp_path):
    torch.save({"model_state_dict": published(tower), "iteration": 1}, tmp_path / "checkpoint.pth")
    done = cli("convert-weights", str(tmp_path / "checkpoint.pth"), str(tmp_path / "csd.safetensors"))
    assert done.exit_code == 0, done.output
    mine, theirs = (
        CsdEncoder(checkpoint=path, device="cpu").embed(noise(0)) for path in (str(tmp_path / "csd.safetensors"), encoders["csd"])
    )
    assert torch.equal(mine, theirs)


def test_style_encoder_is_the_checkpoint_in_its_dtype(encoders, tmp_path):
    from transformers import CLIPVisionModelWithProjection

    exact = StyleEncoder(checkpoint=encoders["se"], dtype="float32", device="cpu").embed(noise(3))
    short = StyleEncoder(checkpoint=encoders["se"], device="cpu").embed(noise(3))
    assert short.dtype is torch.bfloat16 and exact.shape == (16,)
    assert float(exact.norm()) == pytest.approx(1.0, abs=1e-5) and torch.allclose(short.float(), exact, atol=0.03)
    with pytest.raises(ModelError, match="dtype: got int8"):
        StyleEncoder(checkpoint=encoders["se"], dtype="int8")
    with pytest.raises(ModelError, match="hf download xingpng/OneIG-StyleEncoder"):
        StyleEncoder(checkpoint=str(tmp_path))
    # transformers would fill a lacking projection with random numbers.
    network = CLIPVisionModelWithProjection.from_pretrained(encoders["se"])
    state = {name: tensor for name, tensor in network.state_dict().items() if name != "visual_projection.weight"}
    network.save_pretrained(tmp_path / "part", state_dict=state)
    with pytest.raises(ModelError, match=r"visual_projection\.weight: got nothing"):
        StyleEncoder(checkpoint=str(tmp_path / "part"), device="cpu").embed(noise(0))


STYLED = Sample(sample_id="anime-000", task="anime", prompt="p", metadata={"style": "pop_art"})


def test_the_rule_by_hand():
    assert tile_score([0.1, 0.6], [0.2]) == pytest.approx(0.4)
    # A negative half is 0; the other still counts.
    assert tile_score([0.1, 0.6], [-0.2, -0.9]) == pytest.approx(0.3)
    assert tile_score([-1.0], [-1.0]) == 0.0


def test_style_against_the_benchmarks_own_features(encoders, tmp_path):
    image = noise(5)
    seen = {
        "csd": CsdEncoder(checkpoint=encoders["csd"], device="cpu").embed(image),
        "se": StyleEncoder(checkpoint=encoders["se"], device="cpu").embed(image),
    }
    # One reference at half the way, one opposite; by the other encoder only an opposite one.
    save_file({"pop_art": torch.stack([0.5 * seen["csd"], -seen["csd"]]), "clay": -seen["csd"][None]}, tmp_path / "CSD_embed.safetensors")
    save_file({"pop_art": -seen["se"][None], "clay": seen["se"][None]}, tmp_path / "SE_embed.safetensors")
    scorer = OneIGStyleScorer(roles={}, references=str(tmp_path), **encoders, jpeg_quality=None, device="cpu")
    scorer.canary()
    found = scorer.score(STYLED, output(STYLED), image)
    assert found.values == {"score": pytest.approx(0.25, abs=1e-5), "csd": pytest.approx(0.5, abs=1e-5), "se": 0.0}
    assert found.evidence["references"] == {"csd": 2, "se": 1}
    assert (
        OneIGStyleScorer(roles={}, references=str(tmp_path), **encoders, device="cpu").score(STYLED, output(STYLED), image).values
        != found.values
    )
    for metadata, black, wanted in (({}, False, "names no style"), ({"style": "pop_art"}, True, "entirely black")):
        sample = Sample(sample_id="anime-000", task="anime", prompt="p", metadata=metadata)
        got = scorer.score(sample, output(sample), Image.new("RGB", (8, 8)) if black else image)
        assert got.outcome is Outcome.NOT_APPLICABLE and wanted in got.reason
    other = Sample(sample_id="anime-000", task="anime", prompt="p", metadata={"style": "baroque"})
    with pytest.raises(DataError, match="baroque: got no reference"):
        scorer.score(other, output(other), image)
    save_file({"pop_art": torch.ones(2, 7)}, tmp_path / "CSD_embed.safetensors")
    with pytest.raises(ModelError, match=r"shape \(2, 7\); expected \(references, 24\) for csd"):
        OneIGStyleScorer(roles={}, references=str(tmp_path), **encoders, device="cpu").score(STYLED, output(STYLED), image)


def test_style_against_reference_images(encoders, tmp_path):
    for inside in ("", "reference_image"):
        home = tmp_path / f"at{inside}" / inside
        for style, seeds in (("pop_art", (5, 6)), ("clay", (7,))):
            (home / style).mkdir(parents=True)
            for seed in seeds:
                noise(seed).save(home / style / f"{seed}.png")
        scorer = OneIGStyleScorer(roles={}, references=str(tmp_path / f"at{inside}"), **encoders, jpeg_quality=None, device="cpu")
        # The image is one of the references.
        assert scorer.score(STYLED, output(STYLED), noise(5)).values["score"] == pytest.approx(1.0, abs=0.01)
        outside = Sample(sample_id="anime-000", task="anime", prompt="p", metadata={"style": "../at/clay"})
        with pytest.raises(DataError, match="got no reference"):
            scorer.score(outside, output(outside), noise(5))


def test_style_refuses_without_references(encoders, tmp_path, monkeypatch):
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"convert-weights FILE\.pt FILE\.safetensors"):
        OneIGStyleScorer(roles={}, **encoders)


def test_the_style_suite_runs_from_the_benchmarks_files(encoders, cli, tmp_path):
    folder = files(tmp_path / "oneig")
    (tmp_path / "references" / "pop_art").mkdir(parents=True)
    noise(1).save(tmp_path / "references" / "pop_art" / "a.webp", lossless=True)
    (tmp_path / "images" / "anime-000").mkdir(parents=True)
    for repeat in range(4):
        # Two images are the reference, one is black, one is missing.
        image = Image.new("RGB", (40, 30)) if repeat == 2 else noise(1)
        if repeat < 3:
            image.save(tmp_path / "images" / "anime-000" / f"{repeat:05d}.png")
    settings = {"data.folder": folder, "score[0].references": str(tmp_path / "references"), "score[0].device": "cpu"}
    settings |= {f"score[0].{name}": path for name, path in encoders.items()}
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = cli(
        "run", "oneig", "--profile", "official-style", "--model", f"images:{tmp_path}", "--no-report", "--out", str(tmp_path / "run"),
        "--set", "score[0].jpeg_quality=null", *arguments,
    )  # fmt: skip
    assert done.exit_code == 3, done.output
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["headline"]["name"] == "style" and results["headline"]["value"] == pytest.approx(1.0, abs=0.01)
    assert results["headline"]["outcomes"] == {"ok": 2, "missing": 1, "not_applicable": 1}
    assert {"csd", "se"} <= {metric["name"] for metric in results["metrics"]}
    assert [metric["value"] for metric in results["metrics"] if metric["task"] == "pop_art"] == [results["headline"]["value"]]


# -- diversity -------------------------------------------------------------------------------------------------------


class Grey:
    """Distance of mean greys."""

    name = "grey"

    def look(self, image):
        return float(np.asarray(image).mean())

    def distance(self, one, other):
        return abs(one - other)


def drawn(task: str, sample_id: str, greys: tuple[int, ...]):
    sample = Sample(sample_id=sample_id, task=task, prompt=sample_id)
    for repeat, grey in enumerate(greys):
        yield sample, output(sample, repeat), Image.new("RGB", (8, 8), (grey, grey, grey)), None


def test_diversity_is_the_mean_over_pairs_then_over_prompts():
    scorer = OneIGDiversityScorer(roles={}, distance=Grey(), jpeg_quality=None)
    items = [
        *drawn("anime", "anime-000", (10, 20, 40)),  # 10, 30, 20: mean 20
        *drawn("anime", "anime-001", (10, 10, 0, 0)),  # black ones are dropped: 0
        *drawn("human", "human-000", (5, 105)),  # 100
        *drawn("human", "human-001", (50, 0)),  # one is left: out
    ]
    whole, anime, human = scorer.measure(items, seed=0)
    assert (whole.name, whole.task, whole.value) == ("diversity_grey", "*", pytest.approx(40.0))
    assert (whole.n, whole.n_samples, whole.n_expected) == (7, 3, 11) and whole.outcomes == {"ok": 7, "not_applicable": 4}
    assert whole.low <= whole.value <= whole.high
    assert (anime.task, anime.value, human.task, human.value) == ("anime", pytest.approx(10.0), "human", pytest.approx(100.0))
    alone = scorer.measure(drawn("human", "human-001", (50,)), seed=0)[0]
    assert (alone.value, alone.n, alone.outcomes) == (None, 0, {"not_applicable": 1})
    assert scorer.measure([], seed=0) == []
    sample = Sample(sample_id="a", task="a", prompt="a")
    assert scorer.score(sample, output(sample), None).outcome is Outcome.NOT_APPLICABLE
    with pytest.raises(DataError, match="a/0: got no image"):
        scorer.measure([(sample, output(sample), None, None)], seed=0)


def test_a_broken_measure_stops_the_run():
    flat = SimpleNamespace(name="flat", look=lambda image: 0.0, distance=lambda one, other: 0.0)
    with pytest.raises(CanaryError, match="The measure flat is broken"):
        OneIGDiversityScorer(roles={}, distance=flat).canary()
    with pytest.raises(PluginError, match="distance: got lpips"):
        OneIGDiversityScorer(roles={}, distance="lpips")


def test_mini_features_tell_shapes_apart():
    scorer = OneIGDiversityScorer(roles={}, distance="mini", device="cpu")
    scorer.canary()
    assert scorer.metric == "diversity_mini_features" and isinstance(scorer.distance, MiniFeatures)


def fake_package(monkeypatch, seen: list) -> None:
    """The package's front door, as its release 0.2 has it, over a network of two numbers."""

    def dreamsim(*, pretrained, device, cache_dir):
        seen.append((pretrained, device, cache_dir))
        network = SimpleNamespace(embed=lambda pixels: pixels.mean(dim=(2, 3))[:, :2])
        return network, lambda image: torch.from_numpy(np.asarray(image, dtype=np.float32)).permute(2, 0, 1)[None]

    module = ModuleType("dreamsim")
    module.dreamsim = dreamsim
    module.__spec__ = SimpleNamespace(name="dreamsim")
    monkeypatch.setitem(sys.modules, "dreamsim", module)


def test_dreamsim_by_its_package(monkeypatch, tmp_path):
    with pytest.raises(ModelError, match=r"got dreamsim, which is not installed; .*pip install dreamsim"):
        OneIGDiversityScorer(roles={}, weights=str(tmp_path))
    seen: list = []
    fake_package(monkeypatch, seen)
    with pytest.raises(ModelError, match=r"got no dino_vitb16_pretrain.pth in .*; expected DreamSim's weights"):
        OneIGDiversityScorer(roles={}, weights=str(tmp_path))
    for name in BACKBONES:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match="got no ensemble_lora"):
        OneIGDiversityScorer(roles={}, weights=str(tmp_path))
    (tmp_path / "ensemble_lora").mkdir()
    scorer = OneIGDiversityScorer(roles={}, weights=str(tmp_path), jpeg_quality=None, device="cpu")
    assert seen == [] and scorer.metric == "diversity"
    sample = Sample(sample_id="a", task="a", prompt="a")
    pictures = [Image.new("RGB", (4, 4), color) for color in ((30, 40, 0), (40, 30, 0), (60, 80, 9))]
    found = scorer.measure([(sample, output(sample, k), picture, None) for k, picture in enumerate(pictures)], seed=0)[0]
    # Cosines of (3, 4), (4, 3) and (6, 8): 0.96, 1, 0.96.
    assert found.value == pytest.approx((0.04 + 0.0 + 0.04) / 3, abs=1e-6)
    assert seen == [(True, "cpu", str(tmp_path))]
    sys.modules["dreamsim"].dreamsim = lambda **settings: (_ for _ in ()).throw(RuntimeError("size mismatch"))
    with pytest.raises(ModelError, match=r"does not load \(size mismatch\)"):
        DreamSim(folder=str(tmp_path)).look(pictures[0])


def test_the_suite_measures_given_images(cli, tmp_path):
    # Three prompts whose four images are equal, three whose images differ.
    samples = [json.loads(line) for line in cli("samples", "oneig", "--profile", "mini").stdout.splitlines()]
    assert len(samples) == 18
    for k, sample in enumerate(samples):
        (tmp_path / "images" / sample["sample_id"]).mkdir(parents=True)
        for repeat in range(4):
            noise(k if k < 9 else 100 * k + repeat, (64, 64)).save(tmp_path / "images" / sample["sample_id"] / f"{repeat:05d}.png")
    arguments = ("run", "oneig", "--profile", "mini", "--model", f"images:{tmp_path}", "--no-report", "--out", str(tmp_path / "run"))
    done = cli(*arguments)
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["status"] == "complete" and results["headline"]["name"] == "diversity_mini_features"
    by_task = {metric["task"]: metric["value"] for metric in results["metrics"]}
    assert by_task["single_object"] == pytest.approx(0.0, abs=1e-9) and by_task["color_attr"] > 1e-4
    assert results["headline"]["n"] == 72 and results["headline"]["value"] == pytest.approx(sum(by_task.values()) / 6)
