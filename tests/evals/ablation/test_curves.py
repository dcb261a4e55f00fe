"""What a training's log becomes: windows of equal width, their means, and the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.ablation import curves


def write(folder: Path, rows: list) -> Path:
    log = folder / "log.jsonl"
    log.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return log


def test_a_short_log_is_drawn_step_by_step(tmp_path):
    found = curves.read(write(tmp_path, [{"step": step, "loss": 1.0 / step} for step in (1, 2, 3)]))
    assert found == {"steps": [1, 2, 3], "measures": [{"name": "loss", "values": [1.0, 0.5, 0.333333], "last": 0.333333}]}


def test_a_long_one_by_means_of_windows_and_its_last_fifth(tmp_path):
    found = curves.read(write(tmp_path, [{"step": step, "loss": step, "bit": -step} for step in range(1, 101)]))
    assert len(found["steps"]) == 34 <= curves.POINTS and found["steps"][:2] == [3, 6] and found["steps"][-1] == 100
    loss, bit = found["measures"]
    # Windows of three; the last has what is left.
    assert loss["values"][:2] == [2.0, 5.0] and loss["values"][-1] == 100.0
    assert loss["last"] == 90.5 and bit == {"name": "bit", "values": [-v for v in loss["values"]], "last": -90.5}


def test_counts_rates_settings_parts_and_what_is_nothing_throughout_are_no_curves(tmp_path):
    beside = {"lr": 0.1, "grad_norm": 1.0, "loading": 0.1, "n_bit": 4.0, "in_step_tokens": 9.0, "tokens_per_s": 3.0, "bit[world]": 0.2}
    rows = [{"step": step, "loss": 2.0, "text": 3e-7, "bit_accuracy": 0.5, **beside} for step in (1, 2)]
    rows[1]["late"] = 1.0
    assert [m["name"] for m in curves.read(write(tmp_path, rows))["measures"]] == ["loss", "bit_accuracy"]


@pytest.mark.parametrize("rows", [[], ["{"], [{"step": 1}], ["[1]", "3", '{"step": "one", "loss": 1}'], [{"step": 1, "loss": 1e300}]])
def test_a_log_that_tells_nothing_has_no_curve(tmp_path, rows):
    assert curves.read(write(tmp_path, rows)) is None


def test_what_a_killed_writer_left_broken_is_passed_over(tmp_path):
    assert curves.read(tmp_path / "log.jsonl") is None
    found = curves.read(write(tmp_path, [{"step": 2, "loss": 2.0}, {"step": 1, "loss": 4.0}, '{"step": 3, "lo']))
    assert found["steps"] == [1, 2] and found["measures"][0]["values"] == [4.0, 2.0]
