"""The mix: shares, passes, resuming and ranks are properties of one function of (seed, n); its file is told by line and key."""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uniar.data.faults import RecordError
from uniar.data.mix import BLOCK, Draw, Mix, Selection, numbers, shuffled
from uniar.data.mix_file import Dataset, read_mix
from uniar.data.samples import Picture, Text, TrainingSample
from uniar.data.sizing import Sizing
from uniar.data.world import ShapesWorld
from uniar.errors import ConfigError, InputError

SIZING = Sizing(unit=16, min_pixels=256, max_pixels=64 * 64)


class Words:
    """Numbered samples in memory."""

    def __init__(self, name: str, count: int):
        self.name, self._count = name, count

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int) -> TrainingSample:
        if not 0 <= index < self._count:
            raise RecordError(f"{self.name}:{index}: no such record", "missing")
        return TrainingSample(key=f"{self.name}:{index}", source=self.name, parts=(Text(text=str(index), learned=True),))


def _mix(counts: dict[str, int], seed: int = 0, **settings: dict[str, float]) -> Mix:
    """A mix of sources of so many records; `weight` and `sampled_ratio` by source."""
    datasets = [
        Dataset(name=n, kind="jsonl", path=f"{n}.jsonl", **{k: v[n] for k, v in settings.items() if n in v}) for n in counts
    ]
    return Mix(datasets, {n: Words(n, c) for n, c in counts.items()}, seed=seed)


def _drawn(mix: Mix, count: int, start: int = 0) -> list[Draw]:
    return [mix.sample(n) for n in range(start, start + count)]


# -- draws ------------------------------------------------------------------------------------------------------------


def test_shares_are_those_of_the_records_within_sampling_error():
    mix = _mix({"a": 500, "b": 300, "c": 7}, seed=1)
    n = 20_000
    seen = Counter(d.source for d in _drawn(mix, n))
    for name, share in {"a": 500 / 807, "b": 300 / 807, "c": 7 / 807}.items():
        assert abs(seen[name] - share * n) < 4 * math.sqrt(n * share * (1 - share))
        assert mix.shares[name] == pytest.approx(share, abs=1 / BLOCK)


def test_weights_take_the_place_of_sizes_and_a_block_has_them_exactly():
    mix = _mix({"a": 500, "b": 3}, weight={"a": 1.0, "b": 3.0})
    assert mix.shares == {"a": 0.25, "b": 0.75}
    assert Counter(d.source for d in _drawn(mix, BLOCK)) == {"a": BLOCK // 4, "b": BLOCK * 3 // 4}
    seen = Counter(d.source for d in _drawn(mix, 1000))
    assert abs(seen["b"] - 750) < 4 * math.sqrt(1000 * 0.75 * 0.25)


@pytest.mark.parametrize("count", [1, 2, 5, 64, 97])
def test_each_pass_is_a_permutation(count: int):
    mix = _mix({"a": count, "b": 50}, seed=3, weight={"a": 1.0, "b": 2.0})
    drawn = [d.index for d in _drawn(mix, 40 * count + 300) if d.source == "a"]
    passes = [drawn[i : i + count] for i in range(0, len(drawn) - count + 1, count)]
    assert len(passes) > 10
    assert all(sorted(p) == list(range(count)) for p in passes)
    # Each in an order of its own.
    assert count < 50 or len({tuple(p) for p in passes}) == len(passes)


def test_a_pass_goes_on_over_the_end_of_a_block():
    mix = _mix({"a": 1000, "b": 1000})
    drawn = [d.index for d in _drawn(mix, 8000, BLOCK - 4000) if d.source == "a"]
    first = -(BLOCK // 2 - sum(d.source == "a" for d in _drawn(mix, 4000, BLOCK - 4000))) % 1000
    passes = [drawn[i : i + 1000] for i in range(first, len(drawn) - 999, 1000)]
    assert len(passes) >= 2 and all(sorted(p) == list(range(1000)) for p in passes)


PINNED = [("b", 28), ("a", 33), ("a", 7), ("c", 9), ("b", 11), ("a", 23)]


def test_the_draw_is_a_function_of_seed_and_number_alone():
    counts = {"a": 40, "b": 30, "c": 20}
    whole = _drawn(_mix(counts, seed=5), 500)
    # Resumed anywhere, in another process, read backwards: the same.
    assert _drawn(_mix(counts, seed=5), 200, 300) == whole[300:]
    assert [_mix(counts, seed=5).sample(n) for n in reversed(range(0, 500, 50))] == whole[::50][::-1]
    assert _drawn(_mix(counts, seed=6), 500) != whole
    # Fixed for ever: a run that is resumed with a newer release must go on where it was.
    assert [(d.source, d.index) for d in whole[:6]] == PINNED


@pytest.mark.parametrize("world", [1, 3, 8])
def test_ranks_share_the_stream_out(world: int):
    for start in (0, 17):
        taken = [list(islice(numbers(start, rank=r, world=world), 20)) for r in range(world)]
        assert sorted(n for mine in taken for n in mine) == list(range(start, start + 20 * world))
        assert all(n % world == r for r, mine in enumerate(taken) for n in mine)


def test_load_gives_the_record_that_was_drawn():
    mix = _mix({"a": 40, "b": 30}, sampled_ratio={"a": 0.5})
    for n in range(100):
        name, index = mix.sample(n)
        assert mix.load(n).key == f"{name}:{index}"
        assert mix.source_of(n) == name


def test_following_is_the_next_number_of_the_source():
    mix = _mix({"a": 900, "b": 100, "rare": 1}, seed=2)
    names = [d.source for d in _drawn(mix, 3000, BLOCK - 1500)]
    for i in range(0, 1500, 7):
        wanted = next(k for k in range(i + 1, len(names)) if names[k] == names[i]) if names[i] in names[i + 1 :] else None
        found = mix.following(BLOCK - 1500 + i)
        assert found == BLOCK - 1500 + wanted if wanted is not None else found >= BLOCK + 1500


def test_shuffled_is_a_permutation_that_favours_no_place():
    for size in (1, 2, 3, 4, 5, 16, 17, 1000):
        assert sorted(shuffled(i, size, 7) for i in range(size)) == list(range(size))
    seen = Counter(tuple(shuffled(i, 3, seed) for i in range(3)) for seed in range(6000))
    # Six orders of three, 1000 times each: chi-squared with 5 degrees of freedom, beyond 25 once in 7000 tries.
    assert len(seen) == 6 and sum((n - 1000) ** 2 / 1000 for n in seen.values()) < 25


# -- what of a source is drawn ------------------------------------------------------------------------------------------


def test_a_ratio_keeps_a_fixed_choice():
    def kept(ratio: float, seed: int) -> Counter:
        mix = _mix({"a": 200}, seed=seed, sampled_ratio={"a": ratio})
        return Counter(d.index for d in _drawn(mix, 3 * len(mix.stored[0])))

    for ratio, count in ((1.0, 200), (0.25, 50), (60.0, 60)):
        seen = kept(ratio, 0)
        # Three whole passes over the same records, whatever the seed of the run.
        assert len(seen) == count and set(seen.values()) == {3}
        assert kept(ratio, 1).keys() == seen.keys()
    assert sorted(kept(0.25, 0)) != list(range(50))


def test_ratios_count_for_the_shares():
    mix = _mix({"a": 1000, "b": 1000, "c": 1000}, sampled_ratio={"b": 0.5, "c": 100.0})
    assert mix.shares == pytest.approx({"a": 1000 / 1600, "b": 500 / 1600, "c": 100 / 1600}, abs=1 / BLOCK)
    assert [len(s) for s in mix.stored] == [1000, 500, 100]
    chosen = {mix.stored[2].index(i) for i in range(100)}
    assert {d.index for d in _drawn(mix, 5000) if d.source == "c"} == chosen
    assert [mix.stored[2].sample(i).key for i in range(100)] == [f"c:{mix.stored[2].index(i)}" for i in range(100)]


@pytest.mark.parametrize("ratio, count", [(0.001, 100), (101.0, 100)])
def test_a_ratio_that_cannot_be_kept(ratio: float, count: int):
    d = Dataset(name="a", kind="jsonl", path="a.jsonl", sampled_ratio=ratio, where="m.yaml:3: datasets[0]")
    told = rf"^m\.yaml:3: datasets\[0\]\.sampled_ratio: got {ratio:g}; expected one that keeps 1 to {count} records\."
    with pytest.raises(ConfigError, match=told):
        Selection(d, Words("a", count))


def test_a_source_that_would_never_be_drawn_is_refused():
    with pytest.raises(ConfigError, match=f"weight: got less than 1 in {BLOCK} draws; expected more"):
        _mix({"a": 10, "b": 10}, weight={"a": 1e9, "b": 1.0})


# -- the synthetic world --------------------------------------------------------------------------------------------------


def _world(seed: int = 0, **settings) -> ShapesWorld:
    return ShapesWorld(Dataset(name="world", kind="shapes", **settings), sizing=SIZING, seed=seed)


def _plain(sample: TrainingSample) -> list:
    return [p.text if isinstance(p, Text) else (p.written, np.array(p.image).tobytes()) for p in sample.parts]


def test_a_world_draws_from_seed_and_number_alone():
    assert _plain(_world().sample(123)) == _plain(_world().sample(123))
    assert _plain(_world().sample(123)) != _plain(_world(seed=1).sample(123))
    assert len({str(_plain(_world().sample(n))) for n in range(50)}) == 50


def test_sequences_of_the_world_have_their_shares_and_forms():
    forms = {
        ((True,), 1): "generate",
        ((False, True), 1): "edit",
        ((False,), 2): "understand",
        ((True,), 3): "interleaved",
    }
    seen: Counter[str] = Counter()
    world = _world(sequences={"generate": 2.0, "edit": 1.0, "understand": 1.0, "interleaved": 1.0}, turns=2)
    for n in range(500):
        sample = world.sample(n)
        pictures = tuple(p.written for p in sample.parts if isinstance(p, Picture))
        learned = [p for p in sample.parts if isinstance(p, Text) and p.learned]
        form = forms[pictures, len(learned)]
        seen[form] += 1
        assert sample.writes == (form != "understand") == (sample.unconditional is not None)
        assert all((p.rows, p.columns, p.image.size) == (4, 4, (64, 64)) for p in sample.parts if isinstance(p, Picture))
        assert sample.key == f"world:{n}" and sample.source == "world"
    for form, share in {"generate": 0.4, "edit": 0.2, "understand": 0.2, "interleaved": 0.2}.items():
        assert abs(seen[form] - 500 * share) < 4 * math.sqrt(500 * share * (1 - share))
    assert set(_only("edit")) == {(False, True)}


def _only(sequence: str) -> list[tuple[bool, ...]]:
    world = _world(sequences={sequence: 1.0})
    return [tuple(p.written for p in world.sample(n).parts if isinstance(p, Picture)) for n in range(20)]


def test_rounds_change_the_scene_that_was_written_in_the_same_context():
    world, seen = _world(sequences={"rounds": 1.0}, turns=2), Counter()
    for n in range(40):
        sample = world.sample(n)
        pictures = [p for p in sample.parts if isinstance(p, Picture)]
        text = "".join(p.text for p in sample.parts if isinstance(p, Text))
        assert [p.written for p in pictures] == [True, True] and pictures[0].image.tobytes() != pictures[1].image.tobytes()
        # Both images are asked for, and only by words: nothing is shown again. Without the words, the questions stay.
        assert text.count("<image_gen> generate image 4 4") == 2
        bare = "".join(p.text for p in sample.unconditional if isinstance(p, Text))
        assert bare.count("user\n<image_gen> generate image 4 4") == 2 and bare.count("?") == text.count("?")
        between = [isinstance(p, Picture) for p in sample.parts]
        seen[sum(isinstance(p, Text) and p.learned for p in sample.parts[: len(between) - between[::-1].index(True)])] += 1
    # Before the change there are none to two questions, all of these cases occur.
    assert len(seen) == 3


def test_a_world_in_a_mix_is_drawn_by_the_number():
    datasets = [Dataset(name="a", kind="jsonl", path="x", weight=1.0), Dataset(name="world", kind="shapes", weight=1.0)]
    mix = Mix(datasets, {"a": Words("a", 9), "world": _world()}, seed=0)
    drawn = [(n, mix.sample(n)) for n in range(100)]
    assert {d.index == n for n, d in drawn if d.source == "world"} == {True}
    assert all(mix.load(n).key == f"{d.source}:{d.index}" for n, d in drawn)
    assert [s.name for s in mix.stored] == ["a"]


def test_a_canvas_that_the_processor_would_resize_is_refused():
    for canvas, sizing in ((128, SIZING), (64, Sizing(unit=24, min_pixels=576, max_pixels=1 << 20))):
        d = Dataset(name="w", kind="shapes", canvas=canvas, where="m.yaml:2: datasets[0]")
        told = rf"^m\.yaml:2: datasets\[0\]\.canvas: got {canvas}; expected a multiple of {sizing.unit} with"
        with pytest.raises(ConfigError, match=told):
            ShapesWorld(d, sizing=sizing, seed=0)


# -- the file ---------------------------------------------------------------------------------------------------------------


def _write(folder: Path, text: str) -> Path:
    path = folder / "mix.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_mix_file_from_disk_to_samples(tmp_path):
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (32, 32), "red").save(tmp_path / "deep" / "a.png")
    rows = [{"prompt": f"p{i}", "image": "a.png"} for i in range(10)]
    (tmp_path / "deep" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with tarfile.open(tmp_path / "s-0.tar", "w") as archive:
        for i in range(4):
            info = tarfile.TarInfo(f"{i}.json")
            data = json.dumps({"text": f"t{i}"}).encode()
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    path = _write(
        tmp_path,
        """
datasets:
  - {name: release, json_path: deep/a.jsonl, sampled_ratio: 0.5, weight: 1}
  - {name: apart, path: lists/b.jsonl, root: deep, weight: 2}
  - name: web
    path: "s-{0..0}.tar"
    weight: 1.0
  - {name: world, kind: shapes, weight: 4, split: held_out, sequences: {understand: 1}, turns: 2}
""",
    )
    assert [(d.name, d.kind, d.weight) for d in read_mix(path)] == [
        ("release", "jsonl", 1.0),
        ("apart", "jsonl", 2.0),
        ("web", "shards", 1.0),
        ("world", "shapes", 4.0),
    ]
    mix = Mix.open(path, sizing=SIZING, seed=0)
    assert mix.shares == {"release": 0.125, "apart": 0.25, "web": 0.125, "world": 0.5}
    assert [len(s) for s in mix.stored] == [5, 10, 4]
    assert {mix.load(n).source for n in range(60)} == {"release", "apart", "web", "world"}


def test_the_defaults_are_those_of_the_release():
    assert Dataset(name="a", kind="jsonl", path="a.jsonl").sampled_ratio == 1.0


ENTRY = "{name: a, path: a.jsonl}"
BROKEN = [
    ("", "1: mix: got nothing; expected a mapping with datasets alone."),
    ("- a", "1: mix: got ['a']; expected a mapping with datasets alone."),
    ("dataset: []", "1: mix: got the keys dataset; expected a mapping with datasets alone."),
    ("datasets: []", "1: datasets: got []; expected a list that is not empty."),
    ("datasets: {a: b}", "1: datasets: got {'a': 'b'}; expected a list that is not empty."),
    ("datasets: [a]", "1: datasets[0]: got 'a'; expected a mapping."),
    ("datasets: [{a: b", "1: mix: got broken YAML ("),
    ("datasets:\n- {name: a\n- b", "3: mix: got broken YAML ("),
    ("datasets: [{name: !!python/name:os.system x}]", "1: mix: got broken YAML ("),
    ("datasets: !big [a]", "1: datasets: got the tag !big; expected a plain mapping or list."),
    ("datasets: [{? [a] : b}]", "1: datasets[0]: got a key that is no text; expected text."),
    ("datasets: &a [*a]", "1: mix: got broken YAML ("),
    ("datasets:\n- name: a\n  name: b", "3: datasets[0].name: got the key twice; expected it once."),
    ("datasets:\n- path: a.jsonl", "2: datasets[0]: got no name; expected a name for the log."),
    ("datasets:\n- name: a", "2: datasets[0].path: got nothing; expected a file or a pattern."),
    ("datasets:\n- name: a\n  pth: x", "3: datasets[0].pth: got an unknown key of the kind jsonl; expected one of name, kind, path"),
    ("datasets:\n- name: a\n  sampled_ration: 1", "Did you mean 'sampled_ratio'?"),
    ("datasets:\n- name: a\n  path: x.tar\n  json_path: y", "4: datasets[0].json_path: got an unknown key of the kind shards;"),
    ("datasets:\n- name: a\n  path: x\n  json_path: y", "4: datasets[0].json_path: got both path and json_path; expected one of them."),
    ("datasets:\n- name: a\n  kind: tar\n  path: x", "3: datasets[0].kind: got 'tar'; expected one of jsonl, shards, shapes."),
    ("datasets:\n- name: a\n  kind: [x]\n  path: x", "3: datasets[0].kind: got ['x']; expected one of jsonl, shards, shapes."),
    ("datasets:\n- name: a b\n  path: x", "2: datasets[0].name: got 'a b'; expected letters, digits and . _ -."),
    ("datasets:\n- name: 7\n  path: x", "2: datasets[0].name: got 7; expected text."),
    ("datasets:\n- name: a\n  path: x\n  sampled_ratio: 0", "4: datasets[0].sampled_ratio: got 0.0; expected 1, a share below 1"),
    ("datasets:\n- name: a\n  path: x\n  sampled_ratio: 1.5", "4: datasets[0].sampled_ratio: got 1.5; expected 1, a share"),
    ("datasets:\n- name: a\n  path: x\n  sampled_ratio: -2", "4: datasets[0].sampled_ratio: got -2.0; expected 1, a share"),
    ("datasets:\n- name: a\n  path: x\n  sampled_ratio: .nan", "4: datasets[0].sampled_ratio: got nan; expected a number."),
    ("datasets:\n- name: a\n  path: x\n  sampled_ratio: true", "4: datasets[0].sampled_ratio: got True; expected a number."),
    ("datasets:\n- name: a\n  path: x\n  weight: 0", "4: datasets[0].weight: got 0.0; expected more than 0."),
    ("datasets:\n- name: a\n  kind: shapes\n  path: x", "4: datasets[0].path: got an unknown key of the kind shapes;"),
    ("datasets:\n- name: a\n  kind: shapes\n  sampled_ratio: 3", "4: datasets[0].sampled_ratio: got an unknown key of the kind shapes;"),
    ("datasets:\n- name: a\n  kind: shapes\n  split: test", "4: datasets[0].split: got 'test'; expected one of train, held_out, all."),
    ("datasets:\n- name: a\n  kind: shapes\n  canvas: 100", "4: datasets[0].canvas: got 100; expected a multiple of 64."),
    ("datasets:\n- name: a\n  kind: shapes\n  canvas: 64.5", "4: datasets[0].canvas: got 64.5; expected a whole number."),
    ("datasets:\n- name: a\n  kind: shapes\n  turns: 0", "4: datasets[0].turns: got 0; expected 1 or more."),
    ("datasets:\n- name: a\n  kind: shapes\n  sequences: {draw: 1}", "4: datasets[0].sequences: got {'draw': 1.0}; expected shares of gen"),
    ("datasets:\n- name: a\n  kind: shapes\n  sequences: {edit: 0}", "4: datasets[0].sequences: got {'edit': 0.0}; expected shares of 0"),
    ("datasets:\n- name: a\n  kind: shapes\n  questions: {why: 1}", "4: datasets[0].questions: got {'why': 1.0}; expected shares of what"),
    ("datasets:\n- name: a\n  kind: shapes\n  questions: {what: 0}", "4: datasets[0].questions: got {'what': 0.0}; expected shares of 0"),
    ("datasets:\n- name: a\n  kind: shapes\n  sequences: [edit]", "4: datasets[0].sequences: got ['edit']; expected a mapping of numbers."),
    (f"datasets:\n- {ENTRY}\n- {ENTRY}", "3: datasets[1].name: got 'a' a second time; expected a name of its own."),
    (f"datasets:\n- {ENTRY}\n- {{name: b, path: x, weight: 2}}", "3: datasets[1]: got weight 2.0; expected a weight for every dataset"),
    (f"datasets:\n- {ENTRY}\n- {{name: b, kind: shapes}}", "3: datasets[1]: got shapes without a weight; expected a weight"),
]


@pytest.mark.parametrize("text, told", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_mix_file_is_one_sentence_with_line_and_key(tmp_path, text: str, told: str):
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_mix(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:") and told in message and "\n" not in message
    assert message.startswith(f"{path}:{told}") or told.startswith("Did")


def test_an_alias_bomb_is_refused(tmp_path):
    layers = "\n".join(f"  - &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 9))
    path = _write(tmp_path, f"datasets:\n  - &l0 [x]\n{layers}\n")
    with pytest.raises(ConfigError, match="got more than 50000 values; expected a mix file"):
        read_mix(path)


def test_a_missing_mix_or_data_file_names_who_asked_for_it(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: got no readable file \(.*\); expected a mix file\.$"):
        read_mix(tmp_path / "none.yaml")
    for name, told in (("none.jsonl", "got no readable file"), ("none-{0..3}.tar", "got no such shard")):
        path = _write(tmp_path, f'datasets:\n- {{name: a, path: "{name}"}}')
        with pytest.raises(InputError, match=rf"^{re.escape(str(path))}:2: datasets\[0\]\.path: .*{told}"):
            Mix.open(path, sizing=SIZING, seed=0)
