"""Replay of golden files: it finds differences, and says what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from evals.cli.parity import parity
from evals.errors import DataError
from evals.parity import GOLDEN, difference, read_golden, replay

FILES = sorted((Path(__file__).parents[1] / "data/golden/scorers").glob("*.json"))


def iou_file(path: Path, expected: float = 1.0, **changes: Any) -> Path:
    case = {"id": 7, "inputs": {"a": [0, 0, 9, 9], "b": [0, 0, 9, 9]}, "expected": expected}
    data = {"name": "geneval_iou", "source": "by hand", "cases": [case], **changes}
    path.write_text(json.dumps(data))
    return path


def test_every_kind_has_a_recording_here() -> None:
    ours = {read_golden(file)["name"] for file in FILES if json.loads(file.read_text())["name"] in GOLDEN}
    assert {name for name in GOLDEN if name.startswith(("geneval_", "mask2former_"))} <= ours


@pytest.mark.parametrize(
    ("got", "expected", "where"),
    [
        ({"a": [1, 2.0]}, {"a": [1, 2.0 + 1e-12]}, None),
        ({"a": [1, 2.0]}, {"a": [1, 2.1]}, ".a[1]"),
        ({"a": 1}, {"a": 1, "b": 2}, ".b"),
        ({"a": 1, "b": 2}, {"a": 1}, ".b"),
        ([1, 2], [1], ".length"),
        (True, 1, ""),
        (1, True, ""),
        (1, 1.0, None),
        ("x", "y", ""),
        (float("nan"), {"__float__": "nan"}, None),
        (0.0, {"__float__": "nan"}, ""),
        (float("inf"), {"__float__": "inf"}, None),
        (float("inf"), {"__float__": "-inf"}, ""),
        (None, 0, ""),
    ],
)
def test_difference(got: Any, expected: Any, where: str | None) -> None:
    found = difference(got, expected, tolerance=1e-9)
    assert (found and found[0]) == where


def test_rows_are_paired_where_order_may_tie() -> None:
    rows = [{"box": 1, "score": 0.5}, {"box": 2, "score": 0.5}]
    assert difference(rows[::-1], rows, tolerance=1e-5, unordered=True) is None
    assert difference(rows[::-1], rows, tolerance=1e-5) is not None
    assert difference([rows[0], rows[0]], rows, tolerance=1e-5, unordered=True) is not None


def test_replay_counts(tmp_path: Path) -> None:
    good, bad = replay(iou_file(tmp_path / "a.json")), replay(iou_file(tmp_path / "b.json", expected=0.5))
    assert (good.matched, good.total, good.mismatches) == (1, 1, ())
    assert bad.matched == 0 and (bad.mismatches[0].case_id, bad.mismatches[0].got) == (7, 1.0)


def test_a_case_that_cannot_be_read_differs_and_the_others_count(tmp_path: Path) -> None:
    odd = {"id": 8, "inputs": {"a": [0, 0, 9, 9], "b": None}, "expected": 0}
    beyond = {"id": 9, "inputs": {"a": [0, 0, 9, 9], "b": [0, 0, 9, {"__float__": "inf"}]}, "expected": 0.0}
    good = {"id": 7, "inputs": {"a": [0, 0, 9, 9], "b": [0, 0, 9, 9]}, "expected": 1.0}
    found = replay(iou_file(tmp_path / "a.json", cases=[odd, good, beyond]))
    assert (found.matched, found.total) == (2, 3)
    assert (found.mismatches[0].case_id, found.mismatches[0].where) == (8, "(raised)")
    assert "TypeError" in found.mismatches[0].got


def test_command_on_recordings_and_on_a_difference(tmp_path: Path) -> None:
    run = CliRunner().invoke
    good = str(next(file for file in FILES if file.name == "geneval_iou.json"))
    result = run(parity, [good])
    assert (result.exit_code, result.output) == (0, "geneval_iou                          100/100 ok\n")
    bad = str(iou_file(tmp_path / "bad.json", expected=0.5))
    result = run(parity, [bad, good])
    assert result.exit_code == 1
    assert "0/1 DIFFERS" in result.output and "case 7 (whole): got 1.0; expected 0.5" in result.output
    assert "100/100 ok" in result.output
    rows = [json.loads(line) for line in run(parity, ["--json", bad]).output.splitlines()]
    assert rows[0]["mismatches"] == [{"id": 7, "where": "", "got": 1.0, "expected": 0.5}]


def test_broken_files_are_one_sentence_and_exit_2(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    broken = [
        "not json",
        "[]",
        json.dumps({"name": "geneval_iou", "cases": [{"id": 0}]}),
        json.dumps({"name": "geneval_iou", "cases": []}),
        json.dumps({"name": "geneval_nothing", "cases": []}),
        json.dumps({"name": "geneval_iou", "cases": [{"id": 0, "inputs": {"a": []}, "expected": 0}]}),
        json.dumps({"name": "geneval_iou", "cases": [{"id": 0, "inputs": 3, "expected": 0}]}),
        json.dumps({"name": "geneval_iou", "cases": [{"id": 0, "inputs": {"a": [1], "b": [2]}, "expected": 0}]}),
    ]
    for text in broken:
        path.write_text(text)
        result = CliRunner().invoke(parity, [str(path)])
        assert result.exit_code == 2, text
        assert result.stderr.startswith(f"Error: {path}: ") and result.stderr.count("\n") == 1
    result = CliRunner().invoke(parity, [str(tmp_path / "absent.json")])
    assert result.exit_code == 2 and "No such file" in result.stderr
    with pytest.raises(DataError, match=r"expected one of the \d+ that can be replayed"):
        read_golden(iou_file(path, name="geneval_nothing"))
