"""Where a run's prompts come from: the synthetic world, a JSONL file, a mix file of several."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from uniar.errors import ConfigError, InputError
from uniar.training.grpo.record_mix import MixedRecords, open_records
from uniar.training.grpo.records import JsonlRecords, ShapesRecords
from uniar.training.grpo.rollout import seeds_of


def rows(path: Path, count: int, task: str) -> Path:
    made = ({"instruction": f"{task} {n}", "number": n, "task": task, "metadata": {"n": n}} for n in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    return path


def mixed(folder: Path, *datasets: str) -> Path:
    path = folder / "mix.yaml"
    path.write_text("datasets:\n" + "".join(f"  - {{{d}}}\n" for d in datasets), "utf-8")
    return path


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Half of ten geneval records, three draws of four; all of four ocr records."""
    rows(tmp_path / "a.jsonl", 10, "geneval"), rows(tmp_path / "b.jsonl", 4, "ocr")
    return mixed(tmp_path, "name: a, path: a.jsonl, sampled_ratio: 0.5, weight: 3", "name: b, path: b.jsonl, weight: 1")


def test_the_synthetic_world_needs_no_file():
    source = open_records(Path("shapes"), seed=3)
    assert isinstance(source, ShapesRecords)
    assert source.draw(3, 1, 4) == ShapesRecords().draw(3, 1, 4)


def test_a_jsonl_file_is_read_alone(tmp_path):
    path = rows(tmp_path / "a.jsonl", 5, "geneval")
    source = open_records(path, seed=3)
    assert isinstance(source, JsonlRecords)
    assert sorted(r.number for r in source.draw(3, 0, 5)) == [0, 1, 2, 3, 4]


def test_weights_are_the_shares_of_the_draws_and_the_ratio_the_records_that_are_kept(two):
    source = open_records(two, seed=3)
    assert isinstance(source, MixedRecords)
    drawn = source.draw(3, 0, 2000)
    tasks = Counter(r.task for r in drawn)
    assert tasks["geneval"] / 2000 == pytest.approx(0.75, abs=0.04)
    kept = {task: {r.number for r in drawn if r.task == task} for task in tasks}
    assert len(kept["geneval"]) == 5 and kept["ocr"] == {0, 1, 2, 3}
    # Every kept record comes once before any comes again.
    for task, size in (("geneval", 5), ("ocr", 4)):
        own = [r.number for r in drawn if r.task == task]
        assert all(len(set(own[i : i + size])) == size for i in range(0, 10 * size, size))
    # The same ones in every run, whatever its seed.
    assert {r.number for r in open_records(two, seed=4).draw(4, 0, 500) if r.task == "geneval"} == kept["geneval"]


def test_without_weights_the_numbers_of_records_decide(tmp_path):
    rows(tmp_path / "a.jsonl", 30, "geneval"), rows(tmp_path / "b.jsonl", 10, "ocr")
    path = mixed(tmp_path, "name: a, path: a.jsonl, sampled_ratio: 20", "name: b, path: b.jsonl")
    tasks = Counter(r.task for r in open_records(path, seed=3).draw(3, 0, 1500))
    assert tasks["geneval"] / 1500 == pytest.approx(2 / 3, abs=0.05)


def test_a_record_is_what_stands_in_its_file(two):
    for record in open_records(two, seed=3).draw(3, 0, 20):
        n = record.number
        assert record.row() == {"instruction": f"{record.task} {n}", "number": n, "task": record.task, "metadata": {"n": n}}


def test_what_a_number_stands_for_depends_on_the_seed_and_the_number_alone(two):
    source = open_records(two, seed=3)
    drawn = source.draw(3, 0, 24)
    # However they are shared out over steps and processes.
    assert [r for step in range(6) for r in source.draw(3, step, 4)] == drawn
    assert [source.draw(3, n, 1)[0] for n in range(24)] == drawn
    assert open_records(two, seed=3).draw(3, 0, 24) == drawn
    assert open_records(two, seed=4).draw(4, 0, 24) != drawn


def test_the_releases_spelling_is_read(tmp_path):
    rows(tmp_path / "a.jsonl", 6, "geneval")
    ours = open_records(mixed(tmp_path, "name: a, path: a.jsonl"), seed=3)
    theirs = open_records(mixed(tmp_path, "name: a, json_path: a.jsonl, sampled_ratio: 1.0"), seed=3)
    drawn = theirs.draw(3, 0, 12)
    assert {r.number for r in drawn} == {0, 1, 2, 3, 4, 5} and drawn == ours.draw(3, 0, 12)


@pytest.mark.parametrize("kind", ["mix", "jsonl"])
def test_a_record_used_twice_has_two_keys(tmp_path, kind):
    path = rows(tmp_path / "a.jsonl", 2, "geneval")
    source = open_records(path if kind == "jsonl" else mixed(tmp_path, "name: a, path: a.jsonl"), seed=3)
    drawn = source.draw(3, 0, 6)
    assert Counter(r.number for r in drawn) == {0: 3, 1: 3}
    assert len({r.key for r in drawn}) == 6
    # So the images of its second use are other ones.
    assert len(set(seeds_of(3, 0, drawn, 4))) == 24


def test_records_of_two_files_do_not_share_a_key(tmp_path):
    rows(tmp_path / "a.jsonl", 3, "geneval"), rows(tmp_path / "b.jsonl", 3, "ocr")
    drawn = open_records(mixed(tmp_path, "name: a, path: a.jsonl", "name: b, path: b.jsonl"), seed=3).draw(3, 0, 60)
    assert len({r.key for r in drawn}) == 60 and {r.task for r in drawn} == {"geneval", "ocr"}


def test_the_synthetic_world_can_be_a_part_of_a_mix(tmp_path):
    rows(tmp_path / "b.jsonl", 4, "ocr")
    path = mixed(tmp_path, "name: world, kind: shapes, weight: 1", "name: b, path: b.jsonl, weight: 1")
    drawn = open_records(path, seed=3).draw(3, 0, 400)
    world = [r for r in drawn if r.task == "geneval"]
    assert len(world) / 400 == pytest.approx(0.5, abs=0.1)
    # Every one a new draw, with its row for the scorer.
    assert all(r.metadata["prompt"] == r.instruction for r in world) and len({r.number for r in world}) == len(world)


@pytest.mark.parametrize("entry", ["kind: shards, path: web.tar", "path: 'web-{000..009}.tar'"], ids=["told", "by its name"])
def test_shards_are_refused_in_one_sentence(tmp_path, entry):
    rows(tmp_path / "a.jsonl", 2, "geneval")
    path = mixed(tmp_path, "name: a, path: a.jsonl", f"name: web, {entry}")
    with pytest.raises(ConfigError) as caught:
        open_records(path, seed=3)
    assert str(caught.value) == f"{path}:3: datasets[1].kind: got shards; expected jsonl or shapes, since prompts are no images."


def test_mistakes_are_told_with_their_place(tmp_path):
    path = mixed(tmp_path, "name: a, path: absent.jsonl")
    with pytest.raises(InputError, match=r"mix\.yaml:2: datasets\[0\]\.path: .*absent\.jsonl: got an unreadable file"):
        open_records(path, seed=3)
    (tmp_path / "bad.jsonl").write_text('{"instruction": "x", "number": 1, "metadata": {}}\n', "utf-8")
    with pytest.raises(InputError, match=r"mix\.yaml:2: datasets\[0\]\.path: .*bad\.jsonl:1: task: got nothing; expected str"):
        open_records(mixed(tmp_path, "name: a, path: bad.jsonl"), seed=3)
    rows(tmp_path / "a.jsonl", 3, "geneval")
    with pytest.raises(ConfigError, match=r"datasets\[0\]\.sampled_ratio: got 4; expected one that keeps 1 to 3 records"):
        open_records(mixed(tmp_path, "name: a, path: a.jsonl, sampled_ratio: 4"), seed=3)
    with pytest.raises(ConfigError, match="got no readable file"):
        open_records(tmp_path / "absent.yaml", seed=3)


def test_settings_of_images_are_refused_where_prompts_are_drawn(tmp_path):
    path = mixed(tmp_path, "name: world, kind: shapes, split: held_out")
    with pytest.raises(ConfigError, match=r"mix\.yaml:2: datasets\[0\]: got settings of images; expected name, kind and weight alone"):
        open_records(path, seed=3)
