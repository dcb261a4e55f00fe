"""Codes and images by content: what is made once, what makes another key, what is made again, what a cell is said to cost."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from evals.ablation.reuse import ReusingModel
from evals.protocols import Generation
from evals.types import Sample, WorkItem

SETTINGS = {
    "verb": "generate", "height": 64, "width": 64, "guidance_scale": 1.5, "temperature": 0.1, "upscale": 1.0, "decoder_steps": 6,
    "decoder_guidance_scale": 1.5, "flip_rate": 0.0, "drop_levels": (), "dtype": "auto", "max_new_tokens": 8, "answer_by": "words",
}  # fmt: skip


class Halves:
    """Writes codes that its words and seed decide, and paints them."""

    name, verbs = "halves", frozenset({"generate", "edit", "understand"})

    def __init__(self, sha: str = "a" * 64):
        self.sha, self.written, self.shown = sha, [], []

    def fingerprint(self):
        return {"id": "halves", "sha256": self.sha, "num_parameters": 7}

    def write(self, items):
        self.written += [item.key for item in items]
        return [np.random.default_rng(item.seed).integers(0, 2, (4, 2, 4, 8)).astype(np.uint8) for item in items]

    def show(self, items, codes):
        self.shown += [item.key for item in items]
        steps = items[0].settings["decoder_steps"]
        return [Generation(image=Image.new("RGB", (8, 8), (int(c.sum()) % 256, steps, 0)), codes=c) for c in codes]

    def run(self, items):
        return [Generation(text="said") for _ in items]


def items(count=3, prompt="a star", image=None, **changes):
    settings = {**SETTINGS, **changes}
    return [
        WorkItem(sample=Sample(sample_id=f"s{i}", task="t", prompt=prompt, image=image), repeat=0, seed=100 + i, settings=settings)
        for i in range(count)
    ]


def same(first, second):
    return all(
        a.image.tobytes() == b.image.tobytes() and np.array_equal(a.codes, b.codes) for a, b in zip(first, second, strict=True)
    )


def test_the_second_time_nothing_is_made_and_all_is_equal(tmp_path):
    model = Halves()
    first = ReusingModel(model, tmp_path).run(items())
    again = ReusingModel(model, tmp_path)
    assert same(first, again.run(items())) and (len(model.written), len(model.shown)) == (3, 3)
    assert again.made == {"written": 0, "codes found": 3, "shown": 0, "images found": 3}


@pytest.mark.parametrize("change", [{"decoder_steps": 2}, {"upscale": 2.0}, {"flip_rate": 0.1}, {"drop_levels": (1,)}])
def test_a_cell_that_changes_the_pixels_writes_no_codes(tmp_path, change):
    model = Halves()
    ReusingModel(model, tmp_path).run(items())
    second = ReusingModel(model, tmp_path)
    second.run(items(**change))
    assert (len(model.written), len(model.shown)) == (3, 6) and second.made["codes found"] == 3


@pytest.mark.parametrize("change", [{"temperature": 0.2}, {"guidance_scale": 2.0}, {"height": 32}, {"dtype": "bfloat16"}, {"prompt": "a ring"}])
def test_what_decides_the_codes_makes_others(tmp_path, change):
    model = Halves()
    ReusingModel(model, tmp_path).run(items())
    ReusingModel(model, tmp_path).run(items(**change))
    assert len(model.written) == 6


def test_other_weights_and_other_seeds_share_nothing(tmp_path):
    ReusingModel(Halves(), tmp_path).run(items())
    other = Halves("b" * 64)
    ReusingModel(other, tmp_path).run(items())
    assert len(other.written) == 3
    model = Halves()
    ReusingModel(model, tmp_path).run([replace(item, seed=item.seed + 50) for item in items()])
    assert len(model.written) == 3


def test_an_input_image_counts_by_its_bytes(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (4, 4), "red").save(tmp_path / "in" / "a.png")
    model, kept = Halves(), tmp_path / "kept"
    asked = {"verb": "edit", "image": "a.png", "data_root": str(tmp_path / "in")}
    ReusingModel(model, kept).run(items(**asked))
    ReusingModel(model, kept).run(items(**asked))
    assert len(model.written) == 3
    Image.new("RGB", (4, 4), "blue").save(tmp_path / "in" / "a.png")
    ReusingModel(model, kept).run(items(**asked))
    assert len(model.written) == 6


def test_a_damaged_entry_is_made_again(tmp_path):
    model = Halves()
    whole = ReusingModel(model, tmp_path).run(items(1))
    for kind in ("codes", "images", "shown"):
        (entry,) = [path for path in (tmp_path / kind).rglob("*") if path.is_file() and path.suffix != ".json"]
        entry.write_bytes(entry.read_bytes()[:-3])
        assert same(whole, ReusingModel(model, tmp_path).run(items(1)))
    assert (len(model.written), len(model.shown)) == (2, 3)


def test_the_cost_is_that_of_the_making(tmp_path):
    ticks = itertools.count()
    model = ReusingModel(Halves(), tmp_path, clock=lambda: 3.0 * next(ticks))
    model.run(items())
    # Three seconds a call, three outputs a call.
    wanted = {"write_s": 1.0, "show_s": 1.0, "tokens": 4.0}
    assert model.cost(items()) == wanted
    found = ReusingModel(Halves(), tmp_path)
    found.run(items())
    assert found.cost(items()) == wanted


def test_answers_in_words_are_asked_each_time(tmp_path):
    model = ReusingModel(Halves(), tmp_path)
    assert [g.text for g in model.run(items(verb="understand"))] == ["said"] * 3 and not model.made
    assert model.cost(items(verb="understand")) == {}
