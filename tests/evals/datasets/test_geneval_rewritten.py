"""GenEval with rewritten prompts: UniAR's file, checked row by row against the official generator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.datasets.geneval import official_rows
from evals.datasets.geneval_rewritten import GenEvalRewrittenDataset
from evals.errors import DataError
from evals.registry import Registry
from evals.scorers import geneval_rules


def rows() -> list[dict]:
    found = []
    for index, row in enumerate(official_rows()):
        long = f"A detailed photograph: {row['prompt']}, seen in soft light."
        kept = {key: value for key, value in row.items() if key != "prompt"}
        found.append({"idx": index, "prompt": long, "meta": {**kept, "prompt": long, "short_prompt": row["prompt"]}})
    return found


def write(folder: Path, content: list[dict]) -> GenEvalRewrittenDataset:
    (folder / "geneval_long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return GenEvalRewrittenDataset(folder=str(folder))


def test_all_rows_with_the_official_objects(tmp_path: Path) -> None:
    samples = list(write(tmp_path, rows()).load())
    official = official_rows()
    assert [s.sample_id for s in samples] == [f"{i:05d}" for i in range(553)]
    assert [s.task for s in samples] == [row["tag"] for row in official]
    assert samples[0].prompt.startswith("A detailed photograph") and samples[0].metadata["short_prompt"] == official[0]["prompt"]
    # The verdict does not depend on the prompt's words.
    for sample, row in zip(samples[::50], official[::50], strict=True):
        ours, theirs = (geneval_rules.evaluate({}, meta, color_of=lambda name, group: []) for meta in (sample.metadata, row))
        assert (ours.correct, ours.reason) == (theirs.correct, theirs.reason)
    counting = next(s for s in samples if s.task == "counting")
    assert list(counting.metadata) == ["tag", "include", "exclude", "prompt", "short_prompt"]
    assert Registry().load("dataset", "geneval-rewritten") is GenEvalRewrittenDataset


def test_short_file_gives_the_official_prompts(tmp_path: Path) -> None:
    short = [{"idx": i, "prompt": row["prompt"], "meta": row} for i, row in enumerate(official_rows())]
    (tmp_path / "geneval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in short))
    samples = list(GenEvalRewrittenDataset(prompts="short", folder=str(tmp_path)).load())
    assert [s.prompt for s in samples] == [row["prompt"] for row in official_rows()]


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda r: r[7]["meta"]["include"][0].update(count=9), r"jsonl:8: include: got .*9.*; expected"),
        (lambda r: r[200]["meta"].pop("exclude"), r"jsonl:201: exclude: got null; expected"),
        (lambda r: r[3].update(idx=4), r"jsonl:4: idx: got 4; expected 3"),
        (lambda r: r[3]["meta"].update(short_prompt="a photo of nothing"), r"jsonl:4: short prompt: got"),
        (lambda r: r[3].update(prompt=" "), r"jsonl:4: got no row with prompt and meta"),
        (lambda r: r.pop(), r"got 552 rows; expected 553"),
    ],
)
def test_rows_that_are_not_the_benchmarks_are_refused(tmp_path: Path, change, words: str) -> None:
    content = rows()
    change(content)
    with pytest.raises(DataError, match=words):
        list(write(tmp_path, content).load())


def test_no_file_and_no_json(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    with pytest.raises(DataError, match="uniar-eval data fetch uniar-prompts"):
        list(GenEvalRewrittenDataset().load())
    dataset = write(tmp_path, rows())
    path = tmp_path / "geneval_long.jsonl"
    path.write_text(path.read_text().replace('{"idx": 2,', '{"idx" 2,'))
    with pytest.raises(DataError, match=r"jsonl:3: got no JSON"):
        list(dataset.load())
    with pytest.raises(DataError, match="expected one of long, short"):
        GenEvalRewrittenDataset(prompts="medium")
