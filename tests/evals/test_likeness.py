"""When two runs measure the same: what may differ, what may not, and how the difference is told."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from evals.likeness import differences, measurement

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).parents[1] / "reports" / "boards.py")
boards = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(boards)


def table(folder, **options):
    run = boards.run(folder, "good", 0.7, out=str(len(list(folder.glob("runs/*")))), **options)
    return measurement(json.loads((run / "manifest.json").read_text()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("likeness")


@pytest.fixture(scope="module")
def plain(folder):
    return table(folder)


@pytest.mark.parametrize(
    "options",
    [{"seed": 3}, {"settings": ["generate.guidance_scale=3.5"]}, {"settings": ["generate.temperature=0.2", "generate.batch_size=1"]}],
)
def test_seed_and_the_models_own_sampling_may_differ(folder, plain, options):
    assert differences(plain, table(folder, **options)) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": ["generate.repeats=1"]}, "generate.repeats: 2 here, 1 there"),
        ({"settings": ["generate.height=16"]}, "generate.height: 8 here, 16 there"),
        ({"settings": ["score[0].threshold=100"]}, "score[0].threshold: nothing here, 100 there"),
        ({"settings": ["data.prompts=3"]}, "data.prompts: 30 here, 3 there"),
        ({"limit": 2}, "limit: nothing here, 2 there"),
    ],
)
def test_what_changes_the_measurement_is_named(folder, plain, options, words):
    assert differences(plain, table(folder, **options)) == [words]


def test_the_protocol_comes_first(folder, plain):
    told = differences(plain, table(folder, profile="rewritten"), names=("in A", "in B"))
    assert told[0] == "protocol.name: ranked-short in A, ranked-rewritten in B"


def test_other_samples_under_equal_settings_are_told(plain):
    assert differences(plain, {**plain, "samples_sha256": "0"}) == ["samples: other prompts or another order under the same settings"]
