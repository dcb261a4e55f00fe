"""Broken records: told, counted, replaced by the next of their source, and the end of the run when there are too many."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from uniar.data.faults import FAULTS, FaultPolicy, Faults, RecordError, broken, reason
from uniar.data.mix import Mix
from uniar.data.mix_file import Dataset
from uniar.data.samples import Text, TrainingSample
from uniar.data.sizing import Sizing
from uniar.errors import ConfigError, InputError, TrainingError

SIZING = Sizing(unit=16, min_pixels=256, max_pixels=64 * 64)


class Source:
    """Samples in memory; the numbers in `bad` are broken, each in the way of its kind."""

    def __init__(self, name: str, count: int, bad: dict[int, str]):
        self.name, self._count, self._bad = name, count, bad

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int) -> TrainingSample:
        if index in self._bad:
            raise broken(f"{self.name}.jsonl:{index + 1}: image", "nothing", "words", kind=self._bad[index])
        return TrainingSample(key=f"{self.name}:{index}", source=self.name, parts=(Text(text=str(index)),))


def _mix(bad: dict[str, dict[int, str]], count: int = 50) -> Mix:
    datasets = [Dataset(name=n, kind="jsonl", path=n) for n in bad]
    return Mix(datasets, {n: Source(n, count, b) for n, b in bad.items()}, seed=0)


def _lenient(share: float = 0.5) -> FaultPolicy:
    return FaultPolicy(window=1000, share=share)


def test_a_broken_record_is_told_counted_and_replaced_by_the_next_of_its_source():
    mix, told = _mix({"a": {i: FAULTS[i % 5] for i in range(0, 50, 5)}, "b": {3: "image"}}), []
    faults = Faults(mix, report=told.append, policy=_lenient())
    expected = {"a": 0, "b": 0}
    for n in range(300):
        sample = faults(n)
        wanted, source = n, mix.source_of(n)
        while mix.sample(wanted).index in (range(0, 50, 5) if source == "a" else (3,)):
            expected[source] += 1
            wanted = mix.following(wanted)
        assert sample.key == mix.load(wanted).key and sample.source == source
    assert expected["a"] > 10 and expected["b"] > 1
    assert len(told) == sum(expected.values()) == sum(faults.counts.values())
    assert faults.counts["b/image"] == expected["b"]
    # The tenth of every five is of the first kind.
    assert set(faults.counts) == {"a/format", "b/image"}
    assert told[0].endswith("image: got nothing; expected words.") and all(t.split(":")[0] in ("a.jsonl", "b.jsonl") for t in told)


def test_the_replacement_depends_on_the_number_alone():
    bad = {"a": {i: "missing" for i in range(0, 50, 3)}, "b": {}}

    def quiet(_: str) -> None:
        return None

    whole = [Faults(_mix(bad), report=quiet, policy=_lenient())(n).key for n in range(100)]
    one = Faults(_mix(bad), report=quiet, policy=_lenient())
    # In any order, by any rank, from anywhere.
    assert [one(n).key for n in reversed(range(100))] == whole[::-1]
    assert [one(n).key for n in range(1, 100, 4)] == whole[1::4]


def test_other_errors_are_not_passed_over():
    class Failing(Source):
        def sample(self, index: int) -> TrainingSample:
            raise InputError("disk: got no answer; expected a disk.")

    mix = Mix([Dataset(name="a", kind="jsonl", path="a")], {"a": Failing("a", 5, {})}, seed=0)
    with pytest.raises(InputError, match=r"^disk:"):
        Faults(mix, report=print)(0)


@pytest.mark.parametrize("share, most", [(0.0, 0), (0.1, 2), (0.29, 5)])
def test_too_many_broken_records_stop_the_run(share: float, most: int):
    told: list[str] = []
    faults = Faults(_mix({"a": {i: "image" for i in range(50)}}), report=told.append, policy=FaultPolicy(window=20, share=share))
    with pytest.raises(TrainingError) as caught:
        faults(0)
    # Even when nothing is whole the search for a replacement ends.
    assert len(told) == most + 1 == faults.counts["a/image"]
    message = str(caught.value)
    assert f"got {most + 1} broken records in the last 20 draws; expected at most {most}. Mend or remove them; the last: a.j" in message
    assert "\n" not in message


def test_only_the_last_draws_count():
    class Line:
        """Every tenth number is broken."""

        def source_of(self, number: int) -> str:
            return "a"

        def load(self, number: int) -> TrainingSample:
            if number % 10 == 0:
                raise RecordError(f"a.jsonl:{number}: record: got x; expected y.", "format")
            return TrainingSample(key=str(number), source="a", parts=())

        def following(self, number: int) -> int:
            return number + 1

    told: list[str] = []
    faults = Faults(Line(), report=told.append, policy=FaultPolicy(window=20, share=0.1))
    # Two of any twenty are allowed, however long it goes on ...
    assert [faults(n).key for n in range(1000)] == [str(n + (n % 10 == 0)) for n in range(1000)]
    assert len(told) == 100
    # ... and three close together are not.
    with pytest.raises(TrainingError, match="got 3 broken records in the last 20 draws; expected at most 2"):
        [faults(n) for n in (1000, 1010, 1020)]


def test_a_restored_count_goes_on_where_it_was():
    bad = {"a": {i: "image" for i in range(0, 50, 4)}, "b": {1: "path"}}
    policy = FaultPolicy(window=40, share=0.2)

    def run(faults: Faults, first: int) -> tuple[int, str]:
        for n in range(first, 400):
            try:
                faults(n)
            except TrainingError as error:
                return n, str(error)
        return 400, ""

    unbroken: list[str] = []
    whole = Faults(_mix(bad), report=unbroken.append, policy=policy)
    end = run(whole, 0)
    assert 2 < end[0] < 400
    for cut in (1, end[0] // 2, end[0]):
        first: list[str] = []
        before = Faults(_mix(bad), report=first.append, policy=policy)
        for n in range(cut):
            before(n)
        state = json.loads(json.dumps(before.state()))
        after = Faults(_mix(bad), report=first.append, policy=policy)
        after.restore(state)
        assert after.state() == before.state()
        assert run(after, cut) == end
        assert first == unbroken and after.counts == whole.counts


DAMAGED = [{}, {"seen": 1, "recent": 3, "counts": {}}, {"seen": "x", "recent": [], "counts": {}}]
DAMAGED += [{"seen": 1, "recent": [], "counts": {"a/odd": 1}}]


@pytest.mark.parametrize("state", DAMAGED)
def test_a_damaged_state_is_refused(state: dict):
    faults = Faults(_mix({"a": {}}), report=print)
    told = r"^faults: got a damaged state \(.*\); expected seen, recent and counts\. Resume from an older state\.$"
    with pytest.raises(TrainingError, match=told):
        faults.restore(state)
    assert faults.state() == {"seen": 0, "recent": [], "counts": {}}


@pytest.mark.parametrize("settings", [{"window": 0}, {"share": 1.0}, {"share": -0.1}])
def test_a_policy_that_never_stops_is_refused(settings: dict):
    with pytest.raises(ConfigError, match=r"^faults: got a window of .* and a share of .*; expected"):
        FaultPolicy(**settings)


def test_an_error_survives_the_way_between_processes():
    # A copy takes the error apart and puts it together as the way between two processes does.
    error = copy.copy(broken("a:1: x", "1", "2", kind="size", remedy="Mend it."))
    assert (str(error), error.kind) == ("a:1: x: got 1; expected 2. Mend it.", "size")


def test_reasons_are_one_line_without_addresses():
    assert reason(OSError("cannot identify image file <_io.BytesIO object at 0x7f>")) == "cannot identify image file"
    assert reason(ValueError("a\n  b")) == "a b"
    assert reason(EOFError()) == "EOFError"


def test_real_files_to_the_end(tmp_path: Path):
    lines = [json.dumps({"text": f"t{i}"}) for i in range(20)]
    lines[4], lines[9], lines[14] = "{", '{"prompt": "p", "image": "none.png"}', '{"prompt": "p", "image": "../x.png"}'
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (tmp_path / "mix.yaml").write_text("datasets: [{name: a, json_path: a.jsonl, sampled_ratio: 1}]")
    told: list[str] = []
    faults = Faults(Mix.open(tmp_path / "mix.yaml", sizing=SIZING, seed=0), report=told.append, policy=_lenient())
    for n in range(20):
        assert faults(n).source == "a"
    # One pass: each of them is met once as itself, and again where it would replace another.
    assert set(faults.counts) == {"a/format", "a/missing", "a/path"}
    assert {t.split(": ")[0] for t in told} == {f"{tmp_path / 'a.jsonl'}:{line}" for line in (5, 10, 15)}
