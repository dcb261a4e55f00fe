"""Settings of ablations through the command line: what they change in a run, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evals.errors import ModelError
from evals.models.uniar import UniARModel
from evals.store import codes
from evals.types import Sample, WorkItem


@pytest.fixture
def run(tmp_path, cli):
    def call(name, *settings):
        told = [part for one in settings for part in ("--set", one)]
        done = cli("run", "geneval", "--limit", "1", "--set", "generate.repeats=1", *told, "--out", str(tmp_path / name), "--no-report")
        lines = [] if done.exit_code else [json.loads(line) for line in (tmp_path / name / "journal.jsonl").read_text().splitlines()]
        return done, [codes.unpack(Path(tmp_path, name, line["codes"])) for line in lines], [line["image_sha256"] for line in lines]

    return call


def test_flips_are_in_the_codes_that_the_run_keeps(run):
    _, plain, images = run("plain")
    _, flipped, others = run("flipped", "generate.flip_rate=0.2")
    share = np.mean([(a != b).mean() for a, b in zip(plain, flipped, strict=True)])
    assert 0.17 < share < 0.23 and not set(images) & set(others)
    _, short, rounded = run("short", "generate.dtype=bfloat16")
    # Another format moves some bits and pixels, few bits.
    assert np.mean([(a != b).mean() for a, b in zip(plain, short, strict=True)]) < 0.1 and set(rounded) != set(images)
    _, kept, dropped = run("dropped", "generate.drop_levels=[1]")
    assert all(np.array_equal(a, b) for a, b in zip(plain, kept, strict=True)) and not set(images) & set(dropped)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("generate.flip_rate=2", "generate.flip_rate: got 2; expected at most 1"),
        ("generate.flip_rate=-0.1", "generate.flip_rate: got -0.1; expected at least 0"),
        ("generate.drop_levels=1", "generate.drop_levels: got 1; expected a list of whole numbers"),
        ("generate.drop_levels=[a]", 'got "a"; expected a whole number'),
        ("generate.dtype=int4", 'generate.dtype: got "int4"; expected one of auto, float32, bfloat16, float16'),
    ],
)
def test_what_cannot_be_is_told(run, setting, told):
    done, *_ = run("x", setting)
    assert done.exit_code == 2 and told in done.output, done.output


def test_a_level_that_the_checkpoint_lacks_fails_its_outputs_in_one_sentence(run):
    done, *_ = run("y", "generate.drop_levels=[7]")
    assert done.exit_code != 0 and "drop_levels: got [7]; expected levels from 0 to 1" in done.output


def test_a_size_that_cannot_be_decoded_is_refused_before_any_code_is_written(monkeypatch):
    model = UniARModel(device="cpu")

    def never(*_, **__):
        raise AssertionError("codes were written")

    monkeypatch.setattr(model._loaded({}), "generate", never)
    settings = {"verb": "generate", "height": 64, "width": 64, "upscale": 9.0, "guidance_scale": 1.0, "temperature": 0.0}
    item = WorkItem(sample=Sample(sample_id="x", task="t", prompt="a star"), repeat=0, seed=0, settings=settings)
    for ask in (model.run, model.write):
        with pytest.raises(ModelError, match="height, width: got 576 x 576 pixels; this decoder reaches .* Lower upscale"):
            ask([item])
