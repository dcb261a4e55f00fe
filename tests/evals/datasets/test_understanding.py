"""The sixteen understanding benchmarks from small files in their published form, to the wording, the ids and what the rules read."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from evals.datasets.understanding import UnderstandingDataset
from evals.datasets.understanding_prompts import FORMS, LETTER, WORD
from evals.datasets.understanding_tables import TABLES
from evals.errors import DataError
from evals.registry import Registry
from evals.scorers.understanding import UnderstandingScorer
from evals.scorers.understanding_rules import RULES
from evals.types import Outcome, Output, Sample


@pytest.fixture(autouse=True)
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def png(color: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), color).save(stream, "PNG")
    return stream.getvalue()


def b64(color: str = "red") -> str:
    return base64.b64encode(png(color)).decode()


def struct(color: str = "red") -> dict[str, Any]:
    return {"bytes": png(color), "path": None}


def tsv(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def parquet(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def load(benchmark: str, folder: Path, **choices: Any) -> list[Sample]:
    return list(UnderstandingDataset(benchmark=benchmark, folder=str(folder), **choices).load())


def worth(benchmark: str, sample: Sample, text: str, rule: str | None = None) -> float | None:
    scorer = UnderstandingScorer(roles={}, benchmark=benchmark, rule=rule)
    output = Output(sample_id=sample.sample_id, task=sample.task, repeat=0, seed=0, outcome=Outcome.OK, text=text)
    return scorer.score(sample, output, None).values.get("correct")


PARQUET: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    # benchmark: path, row, what the sample must have, an answer that is right.
    "mmmu": (
        "Art_Theory/validation-00000-of-00001.parquet",
        {
            "id": "validation_Art_Theory_12",
            "question": "Between <image 1> and <image 2>?",
            "options": "['a \"x\"', '<image 2>']",
            "question_type": "multiple-choice",
            "answer": "B",
            "image_1": struct("red"),
            "image_2": struct("blue"),
            "image_3": None,
        },
        {
            "sample_id": "validation_Art_Theory_12",
            "task": "Art_Theory",
            "prompt": f'Between <image 1> and <image 2>?\nA. a "x"\nB. <image 2>\n\n{LETTER}',
            "id": "validation_Art_Theory_12",
            "options": {"A": 'a "x"', "B": "<image 2>"},
            "question_type": "multiple-choice",
        },
        "(B)",
    ),
    "mmbench": (
        "en/dev-00000-of-00001.parquet",
        {
            "index": 1000241,
            "question": "Which?",
            "hint": "nan",
            "A": "cat",
            "B": "None",
            "C": "nan",
            "D": "nan",
            "answer": "B",
            "category": "identity",
            "L2-category": "attribute_reasoning",
            "source": "s",
            "split": "dev",
            "image": struct(),
        },
        {
            "sample_id": "1000241",
            "task": "attribute_reasoning",
            "g_index": 241,
            "index": "1000241",
            "l2-category": "attribute_reasoning",
            "category": "identity",
            "options": {"A": "cat", "B": "None"},
            "prompt": f"Which? There are several options:\nA. cat\nB. None\n{LETTER}",
        },
        "B",
    ),
    "mmstar": (
        "mmstar.parquet",
        {
            "index": 0,
            "question": "Which?\nOptions: A: x, B: y",
            "image": struct(),
            "answer": "A",
            "category": "math",
            "l2_category": "geometry",
        },
        {
            "sample_id": "0",
            "task": "geometry",
            "l2_category": "geometry",
            "options": None,
            "prompt": "Which?\nOptions: A: x, B: y\nAnswer with the option's letter from the given choices directly",
        },
        "A",
    ),
    "seedbench": (
        "data/test-00000-of-00001.parquet",
        {
            "question_id": "v7",
            "question": "Which?",
            "choice_a": "1",
            "choice_b": "2",
            "choice_c": "3",
            "choice_d": "4",
            "answer": "C",
            "data_type": "video",
            "image": [struct("red"), struct("blue")],
        },
        {
            "sample_id": "v7",
            "task": "video",
            "data_type": "video",
            "options": {"A": "1", "B": "2", "C": "3", "D": "4"},
            "prompt": f"Which?\nA. 1\nB. 2\nC. 3\nD. 4\n{LETTER}",
        },
        "c",
    ),
    "ai2d": (
        "data/test-00000-of-00001.parquet",
        {"question": "Which?", "options": ["x", "y", "z"], "answer": "2", "image": struct()},
        {"sample_id": "00000", "task": "ai2d", "target": "C", "prompt": f"Which?\nA. x\nB. y\nC. z\n{LETTER}"},
        "C. z",
    ),
    "scienceqa": (
        "ScienceQA-IMG/test-00000-of-00001.parquet",
        {"question": "Which?", "choices": ["x", "y"], "answer": 0, "hint": "Look.", "subject": "natural science", "image": struct()},
        {"sample_id": "00000", "task": "natural science", "target": "A", "prompt": f"Context: Look.\nWhich?\nA. x\nB. y\n{LETTER}"},
        "A.",
    ),
    "realworldqa": (
        "data/test-00000-of-00001.parquet",
        {"question": " Which?\nA. x\nB. y\n", "answer": "B", "image": struct()},
        {"sample_id": "00000", "task": "realworldqa", "prompt": "Which?\nA. x\nB. y"},
        "B",
    ),
    "pope": (
        "data/test-00000-of-00001.parquet",
        {
            "id": "9",
            "question_id": "12",
            "question": "Is there a cat in the image?",
            "answer": "no",
            "category": "popular",
            "image": struct(),
        },
        {
            "sample_id": "popular-12",
            "task": "popular",
            "category": "popular",
            "question_id": "12",
            "prompt": f"Is there a cat in the image?\n{WORD}",
        },
        "No, there is not",
    ),
    "mme": (
        "data/test-00000-of-00001.parquet",
        {
            "question_id": "artwork/1.jpg",
            "question": "Is it art? Please answer yes or no.",
            "answer": "Yes",
            "category": "artwork",
            "image": struct(),
        },
        {"sample_id": "artwork-1.jpg-1", "task": "artwork", "question_id": "artwork/1.jpg", "prompt": f"Is it art?\n{WORD}"},
        "Yes",
    ),
    "hallusion": (
        "data/image-00000-of-00001.parquet",
        {
            "category": "VS",
            "subcategory": "chart",
            "visual_input": "1",
            "set_id": "0",
            "figure_id": "1",
            "question_id": "2",
            "question": "Is it so?",
            "gt_answer": "0",
            "gt_answer_details": "No.",
            "image": struct(),
        },
        {
            "sample_id": "VS_chart_0_1_2",
            "task": "VS",
            "subcategory": "chart",
            "set_id": "0",
            "figure_id": "1",
            "question_id": "2",
            "visual_input": "1",
            "gt_answer": "0",
            "target": "No",
            "prompt": "Is it so?",
        },
        "No",
    ),
    "textvqa": (
        "data/validation-00000-of-00001.parquet",
        {"question_id": 7, "question": "what BRAND is it?", "answers": ["dell"] * 4 + ["Dell"] * 6, "ocr_tokens": ["x"], "image": struct()},
        {
            "sample_id": "7",
            "task": "textvqa",
            "target": "Dell",
            "answers": ["dell"] * 4 + ["Dell"] * 6,
            "prompt": f"What brand is it?\n{WORD}",
        },
        "DELL",
    ),
    "chartqa": (
        "data/test-00000-of-00001.parquet",
        {"type": "human_test", "question": "How many?", "answer": "14", "image": struct()},
        {"sample_id": "00000", "task": "human_test", "type": "human_test", "prompt": "How many?\nAnswer the question with a single word."},
        "14.7",
    ),
    "docvqa": (
        "DocVQA/validation-00000-of-00001.parquet",
        {"questionId": "49153", "question": "Who?", "answers": ["ITC Limited", "itc limited"], "image": struct()},
        {"sample_id": "49153", "task": "docvqa", "answers": ["ITC Limited", "itc limited"], "prompt": f"Who?\n{WORD}"},
        "ITC limited",
    ),
    "infovqa": (
        "InfographicVQA/validation-00000-of-00001.parquet",
        {"questionId": "98", "question": "Who?", "answers": ["x"], "image": struct()},
        {"sample_id": "98", "task": "infovqa", "prompt": f"Who?\n{WORD}"},
        "x",
    ),
    "ocrbench": (
        "data/test-00000-of-00001.parquet",
        {
            "dataset": "IIIT5K",
            "question": "what is written in the image? ",
            "question_type": "Handwriting Recognition",
            "answer": ["CENTRE"],
            "image": struct(),
        },
        {
            "sample_id": "00000",
            "task": "Text Recognition",
            "question_type": "Handwriting Recognition",
            "dataset": "IIIT5K",
            "prompt": "what is written in the image?",
        },
        "It says centre.",
    ),
    "mathvista": (
        "data/testmini-00000-of-00001.parquet",
        {
            "pid": "12",
            "query": "Hint: letter.\nQuestion: Which?\nChoices:\n(A) 3\n(B) 4",
            "question": "Which?",
            "choices": ["3", "4"],
            "unit": None,
            "precision": 1.0,
            "answer": "4",
            "question_type": "multi_choice",
            "answer_type": "text",
            "image": "images/12.jpg",
            "metadata": {"task": "VQA", "skills": ["a", "b"]},
            "decoded_image": struct(),
        },
        {
            "sample_id": "12",
            "task": "VQA",
            "choices": ["3", "4"],
            "precision": 1.0,
            "answer_option": "B",
            "metadata": {"task": "VQA", "skills": ["a", "b"]},
            "prompt": "Hint: letter.\nQuestion: Which?\nChoices:\n(A) 3\n(B) 4",
        },
        "4",
    ),
}


def test_every_benchmark_has_a_table_a_form_a_rule_and_a_case() -> None:
    assert list(TABLES) == list(FORMS) == list(PARQUET) == list(RULES)
    assert Registry().load("dataset", "understanding") is UnderstandingDataset


@pytest.mark.parametrize("benchmark", PARQUET)
def test_published_parquet_fields(benchmark: str, tmp_path: Path) -> None:
    name, row, wanted, right = PARQUET[benchmark]
    parquet(tmp_path / "copy" / name, row)
    data = UnderstandingDataset(benchmark=benchmark, folder=str(tmp_path / "copy"))
    (sample,) = data.load()
    found = {**sample.metadata, **{key: getattr(sample, key) for key in ("sample_id", "task", "prompt", "target")}}
    assert {key: found[key] for key in wanted} == wanted
    assert sample.metadata["benchmark"] == benchmark and sample.target == sample.metadata["answer"]
    assert sample.image == sample.metadata["images"][0] and all((data.root / image).is_file() for image in sample.metadata["images"])
    assert len(sample.metadata["images"]) == (2 if benchmark in ("mmmu", "seedbench") else 1)
    assert data.root.parent == tmp_path / "sources"
    assert worth(benchmark, sample, right) == 1.0 and worth(benchmark, sample, "Yes" if benchmark == "hallusion" else "zzz") != 1.0
    assert Sample.from_json(json.loads(json.dumps(sample.to_json()))) == sample
    blind = load(benchmark, tmp_path / "copy", blind=True)[0]
    assert (blind.image, blind.metadata["images"], blind.prompt) == (None, [], sample.prompt)


def test_the_data_root_is_where_files_lie(data_root: Path) -> None:
    parquet(data_root / "chartqa" / "data/test-00000-of-00001.parquet", PARQUET["chartqa"][1])
    assert len(list(UnderstandingDataset(benchmark="chartqa").load())) == 1
    with pytest.raises(DataError, match=r"docvqa: got no DocVQA_VAL\.tsv, no parquet file of split validation .*data fetch docvqa"):
        list(UnderstandingDataset(benchmark="docvqa").load())


def test_json_lines_hold_the_same_fields(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png("red"))
    row = {**PARQUET["scienceqa"][1], "image": "1.png"}
    (tmp_path / "any.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "image": None}))
    shown, unseen = load("scienceqa", tmp_path)
    assert shown.prompt == PARQUET["scienceqa"][2]["prompt"] and shown.image is not None and unseen.image is None
    assert [s.sample_id for s in (shown, unseen)] == ["00000", "00001"]


def test_rows_are_counted_over_all_files_of_a_set(tmp_path: Path) -> None:
    row = PARQUET["ai2d"][1]
    for shard in range(2):
        parquet(tmp_path / f"data/test-{shard:05d}-of-00002.parquet", row, row)
    parquet(tmp_path / "data/train-00000-of-00001.parquet", row)
    assert [s.sample_id for s in load("ai2d", tmp_path)] == ["00000", "00001", "00002", "00003"]
    assert len(load("ai2d", tmp_path, split="train")) == 1


def test_another_set_of_a_repository_is_not_taken_for_the_benchmark(tmp_path: Path) -> None:
    row = PARQUET["mmbench"][1]
    parquet(tmp_path / "cn/dev-00000-of-00001.parquet", row)
    with pytest.raises(DataError, match="mmbench: got no MMBench_DEV_EN"):
        load("mmbench", tmp_path)
    assert len(load("mmbench", tmp_path, config="cn")) == 1
    parquet(tmp_path / "en/dev-00000-of-00001.parquet", {**row, "question": "English?"})
    assert load("mmbench", tmp_path)[0].metadata["question"] == "English?"


def test_a_choice_of_files_is_the_users(tmp_path: Path) -> None:
    parquet(tmp_path / "mmstar.parquet", PARQUET["mmstar"][1])
    row = {
        "index": 0,
        "image": b64(),
        "question": "Which?",
        "A": "x",
        "B": "y",
        "answer": "A",
        "category": "math",
        "l2_category": "geometry",
    }
    tsv(tmp_path / "MMStar.tsv", row)
    with pytest.raises(
        DataError, match=r"mmstar: got MMStar\.tsv and mmstar\.parquet in .*; expected one\. Name it with `--set data\.file"
    ):
        load("mmstar", tmp_path)
    (sample,) = load("mmstar", tmp_path, file="MMStar.tsv", protocol="vlmevalkit")
    assert sample.prompt.startswith("Question: Which?\nOptions:\nA. x\nB. y\n") and worth("mmstar", sample, "x", "vlmevalkit") == 1.0
    with pytest.raises(DataError, match="row 1: got no option columns"):
        load("mmstar", tmp_path, file="mmstar.parquet", protocol="vlmevalkit")
    with pytest.raises(DataError, match=r"got no lost\.tsv in"):
        load("mmstar", tmp_path, file="lost.tsv")


@pytest.mark.parametrize(
    ("benchmark", "change", "told"),
    [
        ("mmmu", {"image_2": None}, "image: got 1 for words that show <image 2>"),
        ("mmmu", {"answer": "D"}, "answer: got D; expected one of A, B"),
        ("mmmu", {"id": "seven"}, "id: got 'seven'; expected SPLIT_SUBJECT_NUMBER"),
        ("mmmu", {"question_type": "essay"}, "question_type: got essay"),
        ("mmbench", {"index": "x7"}, "index: got 'x7'; expected a whole number"),
        ("mmbench", {"answer": None}, "answer: got nothing; expected the benchmark's key (test splits have none)"),
        ("ai2d", {"answer": "3"}, "answer: got 3; expected one of A, B, C"),
        ("seedbench", {"answer": "E"}, "answer: got E; expected one of A, B, C, D"),
        ("pope", {"answer": "maybe"}, "answer: got maybe; expected one of yes, no"),
        ("pope", {"category": None}, "category: got nothing"),
        ("mme", {"category": ""}, "category: got nothing"),
        ("hallusion", {"gt_answer": "2"}, "answer: got 2; expected one of 0, 1, no, yes"),
        ("ocrbench", {"question_type": "Poems"}, "question_type: got Poems"),
        ("mathvista", {"answer": "5"}, "answer: got 5; expected one of 3, 4"),
        ("mathvista", {"precision": "much"}, "precision: got 'much'"),
        ("docvqa", {"question": "  "}, "question: got nothing"),
        ("textvqa", {"image": None}, "image: got none; expected a picture in image"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, benchmark: str, change: dict[str, Any], told: str) -> None:
    name, row, _, _ = PARQUET[benchmark]
    path = parquet(tmp_path / name, {**row, **change})
    with pytest.raises(DataError) as raised:
        load(benchmark, tmp_path)
    assert str(raised.value).startswith(f"{path}: row 1: {told}")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"benchmark": "mmu"}, 'benchmark: got mmu; expected one of mmmu, .*Did you mean "mmmu"'),
        ({"benchmark": "pope", "protocol": "internvl"}, "protocol: got internvl; expected one of official, vlmevalkit for pope"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        UnderstandingDataset(**settings)


def test_a_checksum_is_of_one_file(tmp_path: Path) -> None:
    for shard in range(2):
        parquet(tmp_path / f"data/test-{shard:05d}-of-00002.parquet", PARQUET["ai2d"][1])
    with pytest.raises(DataError, match="checksum: got one for 2 files"):
        load("ai2d", tmp_path, checksum="published")
    with pytest.raises(DataError, match=r"checksum: got published for data/|checksum: got published for test-00000"):
        load("ai2d", tmp_path, checksum="published", file="data/test-00000-of-00002.parquet")


SUITE = """
suite: mmmu-small
title: MMMU-small
version: 1
profiles:
  official:
    title: MMMU
    protocol: {name: mmmu, source: test}
    verb: understand
    data: {dataset: understanding, benchmark: mmmu, folder: FOLDER}
    generate: {temperature: 0.0, max_new_tokens: 4, batch_size: 2}
    score: [{scorer: understanding, benchmark: mmmu}]
    report: {value: correct, headline: mean}
"""


def test_a_run_from_the_file_to_the_number(tmp_path: Path, cli: Any) -> None:
    """Two images at their places, and the control without them, through the bundled checkpoint and the official rule."""
    row = {**PARQUET["mmmu"][1], "question_type": "open", "options": "[]", "answer": "red"}
    parquet(tmp_path / "copy/Art_Theory/validation-00000-of-00001.parquet", row, {**row, "id": "validation_Art_Theory_13"})
    (tmp_path / "small.yaml").write_text(SUITE.replace("FOLDER", str(tmp_path / "copy")))
    for blind in ("false", "true"):
        out = tmp_path / f"run-{blind}"
        done = cli("run", str(tmp_path / "small.yaml"), "--set", f"data.blind={blind}", "--out", str(out), "--no-report")
        found = json.loads((out / "results.json").read_text())
        assert done.exit_code == 0 and found["status"] == "complete", done.output
        lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
        assert [line["outcome"] for line in lines] == ["ok", "ok"] and all(isinstance(line["text"], str) for line in lines)
