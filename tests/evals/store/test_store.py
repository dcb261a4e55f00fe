"""Files of a run: whole or absent, confined, bit-exact, and read back as they were written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evals.errors import StoreError
from evals.store import atomic, codes
from evals.store.journal import Journal, read_outputs, read_rows
from evals.store.layout import Layout
from evals.store.lock import locked
from evals.store.reader import RunReader
from evals.types import Outcome, Output


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (4, 3, 4, 5), (64, 3, 4, 16), (0, 3, 4, 16)])
def test_codes_round_trip(tmp_path, shape):
    made = np.random.default_rng(0).integers(0, 2, size=shape, dtype=np.uint8)
    data = codes.pack(made)
    assert data == codes.pack(made)
    (tmp_path / "c.safetensors").write_bytes(data)
    back = codes.unpack(tmp_path / "c.safetensors")
    assert back.dtype == np.uint8 and back.shape == shape and np.array_equal(back, made)
    if made.size > 1000:
        assert len(data) < made.size / 8 + 200


@pytest.mark.parametrize(
    "bad", [np.full((1, 1, 1, 1), 2, np.uint8), np.zeros((1, 1, 1, 1), np.int64), np.zeros((1, 1, 1), np.uint8)]
)
def test_codes_that_are_no_codes_are_refused(bad):
    with pytest.raises(ValueError, match="codes: got"):
        codes.pack(bad)


def test_damaged_codes_are_told(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(StoreError, match="unreadable codes"):
        codes.unpack(path)


@pytest.mark.parametrize("escape", ["../x", "/etc/passwd", "images/../../x", "link/x"])
def test_paths_stay_inside(tmp_path, escape):
    root = tmp_path / "run"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="inside the run folder"):
        Layout(root).resolve(escape)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "", "a b"])
def test_unsafe_names_are_refused(tmp_path, name):
    with pytest.raises(StoreError):
        Layout(tmp_path).image(name, 0)


def test_atomic_write_leaves_nothing_behind_when_it_fails(tmp_path):
    path = tmp_path / "f.json"
    atomic.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        atomic.write_json(path, {"a": float("nan")})
    (tmp_path / "dir").mkdir()
    with pytest.raises(OSError):
        atomic.write_bytes(tmp_path / "dir", b"x")
    assert json.loads(path.read_text()) == {"a": 1} and sorted(p.name for p in tmp_path.iterdir()) == ["dir", "f.json"]


def test_sweep_removes_only_temporary_files(tmp_path):
    for name in (".0.png.12.part", "0.png"):
        (tmp_path / "images" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / "a" / name).touch()
    atomic.sweep(tmp_path)
    assert [p.name for p in (tmp_path / "images" / "a").iterdir()] == ["0.png"]


def output(repeat: int, **more) -> Output:
    return Output(sample_id="a", task="t", repeat=repeat, seed=1, outcome=Outcome.OK, **more)


def test_journal_cuts_a_torn_line_and_keeps_the_last_word(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(output(0).to_json())
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-1])
    assert len(read_outputs(path)) == 1
    with Journal(path) as journal:
        assert path.read_bytes() == whole
        journal.append(output(0, text="\u2028é").to_json())
    assert read_outputs(path)["a", 0].text == "\u2028é"
    assert len(list(read_rows(path))) == 2


@pytest.mark.parametrize("bad", [b"{\n", b"[]\n", b'{"sample_id": "a"}\n', b"\xff\n", b"\n"])
def test_damaged_line_has_its_number(tmp_path, bad):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(atomic.line(output(0).to_json()) + bad + atomic.line(output(1).to_json()))
    with pytest.raises(StoreError, match=r"journal\.jsonl:2: got a damaged line"):
        read_outputs(path)


def test_lock_is_free_again_after_use(tmp_path):
    path = tmp_path / "run.lock"
    with locked(path), pytest.raises(StoreError, match="in use by process"), locked(path):
        raise AssertionError("two holders")
    with locked(tmp_path / "run.lock"):
        pass


def test_reader_sees_a_run_as_it_was_written(toy, cli):
    cli("run", "toy.yaml", "--model", "toy:fail=a-001", "--out", "out", "--no-report")
    run = RunReader("out")
    assert [s.sample_id for s in run.samples()][:3] == ["a-000", "a-001", "a-002"]
    assert run.samples()[0].tags == ("seen",) and list(run.samples()[0].metadata) == ["z", "a"]
    outputs = run.outputs()
    assert len(outputs) == 36 and [o.repeat for o in outputs[:2]] == [0, 1]
    assert run.scores() == run.scores("toy") and len(run.scores()) == 36
    assert run.image_path(outputs[0]).is_file() and run.image_path(outputs[2]) is None
    assert run.codes(outputs[0]).shape == (4, 2, 4, 5) and run.codes(outputs[2]) is None
    assert run.results["status"] == "incomplete" and run.manifest["n_expected"] == 36


def test_reader_on_a_run_without_results(toy, cli):
    cli("run", "toy.yaml", "--model", "toy:interrupt=b-000", "--out", "out", "--no-report")
    run = RunReader("out")
    assert run.results == {} and run.scores() == [] and len(run.outputs()) == 12


def test_reader_refuses_what_is_no_run(tmp_path):
    with pytest.raises(StoreError, match="expected a run folder"):
        RunReader(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema_version": 9}')
    with pytest.raises(StoreError, match="schema_version: got 9; expected 1"):
        RunReader(tmp_path)


def test_a_full_disk_leaves_no_half_line(tmp_path):
    import io

    from evals.store.journal import append_line

    class Full(io.FileIO):
        """A disk that takes five bytes, then refuses."""

        def write(self, data):
            if len(data) <= 5:
                raise OSError(28, "No space left on device")
            return super().write(data[:5])

    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n')
    with Full(path, "ab") as file, pytest.raises(OSError, match="No space left"):
        append_line(file, {"b": 22})
    with path.open("ab", buffering=0) as file:
        append_line(file, {"c": 3})
    assert path.read_bytes() == b'{"a": 1}\n{"c": 3}\n'
