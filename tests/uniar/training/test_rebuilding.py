"""Parts of a model built anew before it is trained: what stays, what starts afresh, and that the result is a checkpoint like any other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import uniar
from uniar.errors import CheckpointError, ConfigError
from uniar.training.rebuilding import Rebuild, rebuilt, regroup
from uniar.training.recipes import read
from uniar.training.running import train_stage

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
HEAD = ("visual_decoder.", "output_layer_vistok.")
RECIPE = Path(uniar.__file__).parent / "recipes" / "mini-language.yaml"
QUICK = ("train.steps=2", "train.warmup=1", "train.batch_size=4", "train.log_every=1")


def trained(out: Path, *settings: str) -> Path:
    """The checkpoint of a short run."""
    said: list[str] = []
    assert train_stage(read(RECIPE, (*QUICK, *settings)), out, say=said.append), said
    return out / "checkpoint"


def fresh_names(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Names whose tensors are others."""
    return {n for n, t in after.items() if n not in before or before[n].shape != t.shape or not torch.equal(before[n], t)}


@pytest.mark.parametrize(
    ("rebuild", "afresh"),
    [
        (Rebuild(fresh="head"), lambda n: n.startswith(HEAD)),
        (Rebuild(fresh="head", spatial_merge=4), lambda n: n.startswith(HEAD) or "merger" in n),
        (Rebuild(fresh="visual"), lambda n: n.startswith(HEAD) or "merger" in n),
        (Rebuild(fresh="language"), lambda n: not n.startswith("model.visual.") or "merger" in n),
    ],
    ids=["head", "head regrouped", "visual", "language"],
)
def test_what_starts_afresh(mini, rebuild, afresh):
    before = mini.model.state_dict()
    made = rebuilt(mini.model, rebuild, seed=3)
    changed = fresh_names(before, made.state_dict())
    # Norms and biases start where they may have stood before.
    assert {n for n in changed if made.state_dict()[n].dim() > 1} == {n for n, t in made.state_dict().items() if afresh(n) and t.dim() > 1}
    assert all(afresh(n) for n in changed)
    again = rebuilt(mini.model, rebuild, seed=3)
    assert not fresh_names(made.state_dict(), again.state_dict())
    assert fresh_names(made.state_dict(), rebuilt(mini.model, rebuild, seed=4).state_dict())


def test_nothing_is_the_same_model(mini):
    assert rebuilt(mini.model, Rebuild(), seed=0) is mini.model


@pytest.mark.parametrize("merge", [1, 4])
def test_a_code_belongs_to_its_patch_whatever_the_grouping(mini, scenes, merge):
    regrouped = rebuilt(mini.model, Rebuild(fresh="visual", spatial_merge=merge), seed=0)
    processor = uniar.load("uniar-mini").processor
    (old, _), (other, _) = mini.encode(scenes)
    regroup(processor, merge)
    inputs = processor.image_processor(images=[scenes[0]], return_tensors="pt")
    codes = regrouped.visual.encode(inputs["pixel_values"], inputs["image_grid_thw"])
    assert codes.shape == (64 // merge**2, 2, merge**2, 32)
    maps = [vision.feature_map(c[None], 8, 8) for vision, c in ((mini.model.visual, old), (regrouped.visual, codes))]
    # The pixel decoder receives the same features, up to the order of sums.
    assert (maps[0] != maps[1]).float().mean() < 0.01 and not torch.equal(maps[0], mini.model.visual.feature_map(other[None], 8, 8))


@pytest.mark.parametrize("merge", [1, 4])
def test_a_regrouped_checkpoint_draws_answers_and_reconstructs(tmp_path, scenes, merge):
    folder = trained(tmp_path / "out", f"rebuild.spatial_merge={merge}")
    made = uniar.load(folder)
    assert made.processor.image_processor.merge_size == merge
    assert json.loads((folder / "bsq_encoder" / "config.json").read_text())["spatial_merge_size"] == merge
    (drawn,) = made.generate(["a photo of a star"], height=64, width=64, seeds=[1], decoder_steps=2)
    assert drawn.codes.shape == (64 // merge**2, 2, merge**2, 32) and drawn.image.size == (64, 64)
    assert isinstance(made.understand(["What is there?"], [scenes[0]], max_new_tokens=3)[0], str)
    # The tokenizer and the pixel decoder are the old ones.
    rebuilt_image = made.reconstruct(scenes[:1], height=64, width=64, seeds=[5], decoder_steps=2)[0].image
    before = uniar.load("uniar-mini").reconstruct(scenes[:1], height=64, width=64, seeds=[5], decoder_steps=2)[0].image
    difference = torch.tensor(list(rebuilt_image.tobytes())).sub(torch.tensor(list(before.tobytes()))).abs().float()
    assert difference.mean() < 1


@pytest.mark.parametrize("head", ['{"kind": "groups", "size": 8}', '{"kind": "sequential", "order": "level"}', '{"kind": "masked", "steps": 2}'])
def test_another_head_is_trained_exported_and_draws(tmp_path, head):
    made = uniar.load(trained(tmp_path / "out", f"rebuild.head={head}", "rebuild.visual_depth=0"))
    assert made.model.config.visual_head == json.loads(head) and len(made.model.visual_decoder) == 0
    (drawn,) = made.generate(["a photo of a star"], height=64, width=64, seeds=[1], decode=False)
    assert drawn.codes.shape == (16, 2, 4, 32)
    grpo = read(RECIPE.with_name("grpo.yaml"), ("train.steps=1", "train.warmup=1", f"checkpoint={tmp_path / 'out' / 'checkpoint'}"))
    with pytest.raises(ConfigError, match=re.escape(f"with the visual head {json.loads(head)['kind']}; the policy's ratio is taken bit by bit")):
        train_stage(grpo, tmp_path / "grpo", say=lambda line: None)
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert all(0 < entry["bit"] < 1 and 0.4 < entry["bit_accuracy"] < 1 for entry in log)


def test_the_masks_of_a_sample_are_its_own(tmp_path):
    """The loss of a head that draws while it learns depends on the sample and the step, not on micro-batches."""
    losses = []
    for accumulate in (1, 2):
        out = tmp_path / str(accumulate)
        trained(out, 'rebuild.head={"kind": "masked"}', f"train.accumulate={accumulate}")
        losses.append([json.loads(line)["bit"] for line in (out / "log.jsonl").read_text().splitlines()])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.fixture(scope="module")
def dual(tmp_path_factory) -> Path:
    """A checkpoint with two vision stacks, and its questions in the mix."""
    return trained(tmp_path_factory.mktemp("dual"), "rebuild.reads_pixels=true", "data=mix/mini-both.yaml", "language.packed_length=96")


def test_two_vision_stacks_learn_from_their_own_images(mini, dual):
    made = uniar.load(dual).model
    before, after = mini.model.state_dict(), made.state_dict()
    assert made.config.dual and "reads_pixels" in json.loads((dual / "config.json").read_text())
    # What it shares with the tokenizer began there and has learned; the tokenizer's bits have not.
    reader = {n: t for n, t in after.items() if n.startswith("model.reader.")}
    assert not any("bsq.basis" in n for n in reader)
    moved = [n for n, t in reader.items() if not torch.equal(t, before[n.replace("reader", "visual", 1)])]
    near = max(float((reader[n] - before[n.replace("reader", "visual", 1)]).abs().max()) for n in moved)
    assert len(moved) > 0.9 * len(reader) and near < 0.1
    kept = [n for n in before if n.startswith("model.visual.") and "merger" not in n]
    assert all(torch.equal(before[n], after[n]) for n in kept)


def test_a_dual_model_answers_about_pixels_and_draws_codes(dual, scenes):
    made = uniar.load(dual)
    before = made.understand(["What is there?"], [scenes[0]], max_new_tokens=4)
    drawn = made.generate(["a star"], height=64, width=64, seeds=[1], decode=False)[0].codes
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            if name.startswith("model.reader."):
                parameter.zero_()
    # The reading stack decides what is answered and has no part in what is drawn.
    inputs = made._asked("What is there?", scenes[0])
    blank = made._asked("What is there?", Image.new("RGB", (64, 64)))
    with torch.no_grad():
        assert torch.equal(made.model(**inputs).logits, made.model(**blank).logits)
    assert (drawn == made.generate(["a star"], height=64, width=64, seeds=[1], decode=False)[0].codes).all()
    assert isinstance(before[0], str)


def test_what_needs_one_vision_stack_refuses_two(dual, tmp_path):
    with pytest.raises(CheckpointError, match=re.escape("reads_pixels: got true; a conversation reads codes.")):
        uniar.load(dual).converse()
    recipe = read(RECIPE.with_name("mini-tokenizer.yaml"), ("train.steps=1", "train.warmup=1", f"checkpoint={dual}"))
    with pytest.raises(ConfigError, match=re.escape("which reads pixels with a vision stack of its own (reads_pixels)")):
        train_stage(recipe, tmp_path / "out", say=lambda line: None)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("rebuild.fresh=all",), "fresh: got 'all'; expected one of none, head, visual, language"),
        (("rebuild.fresh=none", "rebuild.visual_depth=2"), "visual_depth: got one without fresh"),
        (("rebuild.visual_depth=-1",), "visual_depth: got -1; expected 0 or more"),
        (("rebuild.spatial_merge=0",), "spatial_merge: got 0; expected 1 to 16"),
        (("rebuild.head=groups",), "rebuild.head"),
    ],
)
def test_mistakes_are_one_sentence(settings, told):
    with pytest.raises(ConfigError, match=re.escape(told)) as error:
        read(RECIPE, settings)
    assert "\n" not in str(error.value)


def test_adapters_and_a_rebuilt_model_do_not_go_together(tmp_path):
    recipe = read(RECIPE, (*QUICK, "language.lora.rank=2"))
    with pytest.raises(ConfigError, match=re.escape("rebuild: got one with language.lora")):
        train_stage(recipe, tmp_path / "out", say=lambda line: None)


def test_a_dry_run_counts_the_rebuilt_model(uniar_cli):
    told = json.loads(uniar_cli("train", "mini-language", "--dry-run", "--json", "--set", "rebuild.visual_depth=0").out)
    plain = json.loads(uniar_cli("train", "mini-language", "--dry-run", "--json").out)
    counts = [run["stages"][0]["parameters"]["generation part"] for run in (told, plain)]
    assert counts[0] < counts[1] and counts[0] == 256 * 512 + 256
