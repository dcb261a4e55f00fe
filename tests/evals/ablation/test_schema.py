"""Ablation files: what a size changes, how a grid is named, and that each mistake is one sentence with file, line and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.ablation.finding import find, packaged
from evals.ablation.schema import read, sizes_of
from evals.errors import SuiteError
from evals.suite import load

FILE = """
ablation: demo
title: Demo
question: What does it do?
suite: geneval
profile: mini
set: {generate.repeats: 2}
seeds: [0, 1]
control: cold
train: [{recipe: mini-tokenizer, set: {train.lr: 0.001}}]
cells:
  - {name: hot, set: {generate.temperature: 1.0}, train_set: {tokenizer.flip_rate: 0.0}}
  - {name: cold, set: {generate.temperature: 0.1}}
grid: {generate.decoder_steps: [2, 4], "train:train.steps": [5]}
sizes:
  smoke: {seeds: [7], only: [hot, cold], set: {generate.repeats: 1}, train_set: {train.steps: 2}, limit: 3, notes: [small]}
"""


def written(tmp_path: Path, text: str = FILE) -> Path:
    path = tmp_path / "demo.yaml"
    path.write_text(text)
    return path


def test_a_size_changes_the_file(tmp_path):
    path = written(tmp_path)
    full, smoke = (read(path, shown="demo.yaml", size=size) for size in ("full", "smoke"))
    assert sizes_of(path, shown="demo.yaml") == ["smoke", "full"]
    # The control comes first, then the file's order, then the grid.
    assert [cell.name for cell in full.cells] == ["cold", "hot", "decoder_steps=2+steps=5", "decoder_steps=4+steps=5"]
    assert [cell.name for cell in smoke.cells] == ["cold", "hot"] and smoke.seeds == (7,) and smoke.limit == 3 and smoke.notes == ("small",)
    hot = smoke.cells[1]
    assert hot.settings == {"generate.repeats": 1, "generate.temperature": 1.0}
    assert hot.own == {"generate.temperature": 1.0, "train:tokenizer.flip_rate": 0.0}
    (stage,) = hot.train
    assert stage.recipe == "mini-tokenizer" and stage.settings == ("train.lr=0.001", "train.steps=2", "tokenizer.flip_rate=0.0")
    assert full.cells[2].train[0].settings == ("train.lr=0.001", "train.steps=5") and full.trained


def test_what_is_measured_also_has_its_own_settings_and_the_same_trainings(tmp_path):
    also = "also: [{name: answers, suite: mmbench, set: {generate.max_new_tokens: 4}}, {name: two, suite: geneval, limit: 2}]\n"
    path = written(tmp_path, FILE.replace("seeds: [0, 1]", also + "seeds: [0, 1]").replace("notes: [small]", "notes: [small], also: []"))
    full, smoke = (read(path, shown="demo.yaml", size=size) for size in ("full", "smoke"))
    answers, two = full.also
    assert smoke.also == () and (answers.name, answers.suite, answers.limit) == ("demo.answers", "mmbench", None) and two.limit == 2
    assert answers.title == "Demo: mmbench" and answers.profile == "mini" and answers.seeds == full.seeds and answers.also == ()
    assert [cell.name for cell in answers.cells] == [cell.name for cell in full.cells]
    assert answers.cells[1].settings == {"generate.max_new_tokens": 4, "generate.temperature": 1.0}
    assert [cell.train for cell in answers.cells] == [cell.train for cell in full.cells]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("seeds: [0, 1]", "also: [{name: x}]\nseeds: [0, 1]"), r"also\[0\].*suite"),
        (("seeds: [0, 1]", 'also: [{name: "a/b", suite: geneval}]\nseeds: [0, 1]'), 'also.*got "a/b"; expected letters'),
        (("control: cold", "control: cool"), 'demo.yaml:9: control: got "cool"; expected one of the cells hot, cold, .*Did you mean "cold"'),
        (("name: hot", "name: cold"), 'got the cell "cold" twice; expected each name once'),
        (("name: hot", 'name: "../x"'), r'demo.yaml:12: cells\[0\].name: got "../x"; expected letters'),
        (("seeds: [0, 1]", "seeds: [0, 0]"), "demo.yaml:8: seeds: .*expected whole numbers from 0, each once"),
        (("seeds: [0, 1]", "seed: 0"), "demo.yaml:8: seed: got an unknown key; expected .*seeds"),
        (("[2, 4]", "[]"), "grid.generate.decoder_steps: got an empty list"),
        (("only: [hot, cold]", "only: [hut, cold]"), 'got "hut"; expected one of hot, cold.*Did you mean "hot"'),
        (("limit: 3", "limit: 0"), "limit: .*expected at least 1"),
        (("train: [{recipe: mini-tokenizer, set: {train.lr: 0.001}}]\n", ""), "got settings of a training; expected none"),
        (("title: Demo", "title: [x]"), "title: got a list.*; expected text"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, change, told):
    assert change[0] in FILE
    with pytest.raises(SuiteError, match=told):
        read(written(tmp_path, FILE.replace(*change)), shown="demo.yaml", size="full" if "only" not in change[0] and "limit" not in change[0] else "smoke")


def test_an_unknown_size_or_name_names_the_nearest(tmp_path):
    with pytest.raises(SuiteError, match='got no size "smok"; expected one of smoke, full. Did you mean "smoke"'):
        read(written(tmp_path), shown="demo.yaml", size="smok")
    with pytest.raises(SuiteError, match='ABLATION: got "samplin"; no such file.*Did you mean "sampling"'):
        find("samplin")


@pytest.mark.parametrize("name", packaged())
def test_ours_can_be_read_at_each_size_and_name_suites_and_settings_that_exist(name):
    path, shown = find(name)
    sizes = sizes_of(path, shown=shown)
    assert {"smoke", "mini", "real"} <= set(sizes)
    for size in sizes:
        ablation = read(path, shown=shown, size=size)
        for grid in (ablation, *ablation.also):
            opened = load.open_suite(grid.suite)
            for cell in grid.cells:
                opened.resolve(grid.profile or "mini", [f"{key}={json.dumps(value)}" for key, value in cell.settings.items()])
        if size == "mini":
            assert len(ablation.seeds) >= 3 and ablation.question


def test_the_example_of_the_page_can_be_read(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "ablations.md").read_text("utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    ablation = read(written(tmp_path, example), shown="demo.yaml", size="full")
    assert [cell.name for cell in ablation.cells] == ["six", "two"] and ablation.seeds == (0, 1, 2)
    assert all(f"`{name}`" in page for name in packaged())


def test_a_file_that_is_no_text_or_a_folder_is_told(tmp_path):
    (tmp_path / "demo.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SuiteError, match=r"demo.yaml: got an unreadable file .*; expected UTF-8 YAML"):
        sizes_of(tmp_path / "demo.yaml", shown="demo.yaml")
    with pytest.raises(SuiteError, match=r'ABLATION: got the folder ".*"; expected an ablation file or a name. Ours: bit-flip, '):
        find(str(tmp_path))
