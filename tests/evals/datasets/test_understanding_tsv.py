"""The TSV files of the understanding benchmarks: columns, shared images, splits and ids, to the wording and what the rules read."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals.datasets.understanding import UnderstandingDataset
from evals.datasets.understanding_prompts import LETTER, WORD
from evals.datasets.understanding_tables import TABLES
from evals.errors import DataError
from evals.scorers.understanding import UnderstandingScorer
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


def tsv(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def load(benchmark: str, folder: Path, **choices: Any) -> list[Sample]:
    return list(UnderstandingDataset(benchmark=benchmark, folder=str(folder), **choices).load())


def worth(benchmark: str, sample: Sample, text: str, rule: str | None = None) -> float | None:
    scorer = UnderstandingScorer(roles={}, benchmark=benchmark, rule=rule)
    output = Output(sample_id=sample.sample_id, task=sample.task, repeat=0, seed=0, outcome=Outcome.OK, text=text)
    return scorer.score(sample, output, None).values.get("correct")


def test_a_tsv_of_multiple_choice(tmp_path: Path) -> None:
    rows = [
        {
            "index": 7,
            "image": b64(),
            "question": "Which?",
            "hint": "Look.",
            "A": "NA",
            "B": "y",
            "C": "",
            "answer": "B",
            "category": "c",
            "l2-category": "logic_reasoning",
            "split": "dev",
        },
        {
            "index": 1000007,
            "image": "7",
            "question": "Which?",
            "hint": "",
            "A": "y",
            "B": "NA",
            "C": "",
            "answer": "A",
            "category": "c",
            "l2-category": "logic_reasoning",
            "split": "dev",
        },
        {
            "index": 8,
            "image": "",
            "question": "Dropped?",
            "hint": "",
            "A": "y",
            "B": "x",
            "C": "",
            "answer": "A",
            "category": "c",
            "l2-category": "logic_reasoning",
            "split": "dev",
        },
    ]
    path = tsv(tmp_path / "MMBench_DEV_EN.tsv", *rows)
    first, second = load("mmbench", tmp_path)
    assert first.prompt == f"Look. Which? There are several options:\nA. NA\nB. y\n{LETTER}"
    assert [(s.sample_id, s.task, s.metadata["g_index"]) for s in (first, second)] == [
        ("7", "logic_reasoning", 7),
        ("1000007", "logic_reasoning", 7),
    ]
    assert first.image == second.image
    tail = "Options:\nA. NA\nB. y\nPlease select the correct answer from the options above. \n"
    assert load("mmbench", tmp_path, protocol="vlmevalkit")[0].prompt == f"Hint: Look.\nQuestion: Which?\n{tail}"
    assert load("mmbench", tmp_path, protocol="internvl")[0].prompt == f"Look.\nWhich?\nA. NA\nB. y\n{LETTER}"
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    assert len(load("mmbench", tmp_path, checksum=f"md5:{digest}")) == 2
    with pytest.raises(DataError, match=f"md5: got {digest}; expected {TABLES['mmbench'].md5}"):
        load("mmbench", tmp_path, checksum="published")


def test_a_tsv_of_mmmu_is_its_validation_part(tmp_path: Path) -> None:
    base = {
        "image": str([b64("red"), b64("blue")]),
        "question": "<image 1> or <image 2>?",
        "A": "x",
        "B": "y",
        "answer": "A",
        "category": "Art",
    }
    opened = {**base, "image": b64(), "question": "How many in <image 1>?", "A": "", "B": "", "answer": "['4', 'four']"}
    tsv(
        tmp_path / "MMMU_DEV_VAL.tsv",
        {"index": 1, **base, "split": "dev"},
        {"index": 2, **base, "split": "validation"},
        {"index": 3, **opened, "split": "validation"},
    )
    choice, free = load("mmmu", tmp_path)
    assert (choice.sample_id, choice.task, len(choice.metadata["images"])) == ("2", "Art", 2)
    assert free.prompt == f"How many in <image 1>?\n\n{WORD}" and free.metadata["question_type"] == "open"
    assert (free.metadata["answers"], free.target) == (["4", "four"], "4")
    assert [worth("mmmu", free, text) for text in ("x = 4", "four apples", "5")] == [1.0, 1.0, 0.0]
    assert [s.sample_id for s in load("mmmu", tmp_path, split="dev")] == ["1"]
    with pytest.raises(DataError, match=r"got no row of split test in MMMU_DEV_VAL\.tsv"):
        load("mmmu", tmp_path, split="test")


def test_a_tsv_of_pope_counts_a_row_in_each_split_it_names(tmp_path: Path) -> None:
    row = {"index": 4, "image": b64(), "question": "Is there a dog?", "answer": "Yes", "category": "popular,random"}
    tsv(tmp_path / "POPE.tsv", row)
    samples = load("pope", tmp_path)
    assert [(s.sample_id, s.task, s.metadata["category"]) for s in samples] == [
        ("popular-4", "popular", "popular"),
        ("random-4", "random", "random"),
    ]
    assert load("pope", tmp_path, protocol="vlmevalkit")[0].prompt == "Is there a dog?"


def test_a_tsv_of_mme_pairs_the_questions_of_an_image(tmp_path: Path) -> None:
    ask = "Is it red? Please answer yes or no."
    rows = [
        {"index": n, "image": b64() if n == 0 else "0", "image_path": "color/1.jpg", "question": ask, "answer": answer, "category": "color"}
        for n, answer in enumerate(("Yes", "No"))
    ]
    tsv(tmp_path / "MME.tsv", *rows)
    samples = load("mme", tmp_path)
    assert [s.sample_id for s in samples] == ["color-1.jpg-1", "color-1.jpg-2"]
    assert {s.metadata["question_id"] for s in samples} == {"color/1.jpg"}
    assert load("mme", tmp_path, protocol="internvl")[0].prompt == f"{ask} {WORD}"
    # Without names of images, the image itself tells the pair.
    tsv(tmp_path / "MME.tsv", *({k: v for k, v in row.items() if k != "image_path"} for row in rows))
    bare = load("mme", tmp_path)
    assert len({s.metadata["question_id"] for s in bare}) == 1 and len({s.sample_id for s in bare}) == 2


def test_a_tsv_of_hallusion_has_its_ids_in_the_index(tmp_path: Path) -> None:
    row = {"index": "HB_VD_figure_3_1_2", "image": b64(), "question": "Is it?", "answer": "Yes", "category": "VD", "l2-category": "figure"}
    tsv(tmp_path / "HallusionBench.tsv", row)
    (sample,) = load("hallusion", tmp_path)
    assert sample.sample_id == "HB_VD_figure_3_1_2" and sample.metadata["gt_answer"] == "1"
    assert [sample.metadata[key] for key in ("category", "subcategory", "set_id", "figure_id", "question_id")] == [
        "VD",
        "figure",
        "3",
        "1",
        "2",
    ]
    tsv(tmp_path / "HallusionBench.tsv", {**row, "index": "12"})
    with pytest.raises(DataError, match="row 1: index: got '12'"):
        load("hallusion", tmp_path)


@pytest.mark.parametrize(
    ("benchmark", "more", "right"),
    [
        ("textvqa", {"answer": str(["dell"] * 10)}, "Dell"),
        ("docvqa", {"answer": "['ITC', \"the 'ITC'\"]", "split": "val"}, "itc"),
        ("infovqa", {"answer": "['x']"}, "x"),
        ("ocrbench", {"answer": "['a', 'b']", "category": "Scene Text-centric VQA"}, "so b"),
        ("chartqa", {"answer": "14", "split": "test_human"}, "14"),
    ],
)
def test_a_tsv_of_free_answers(tmp_path: Path, benchmark: str, more: dict[str, Any], right: str) -> None:
    tsv(tmp_path / TABLES[benchmark].tsv, {"index": 3, "image": b64(), "question": "What?", **more})
    (sample,) = load(benchmark, tmp_path)
    assert sample.sample_id == "3" and worth(benchmark, sample, right) == 1.0 and worth(benchmark, sample, "zzzz") == 0.0
    assert sample.task == {"ocrbench": "Scene Text-centric VQA", "chartqa": "test_human"}.get(benchmark, benchmark)


def test_a_tsv_of_mathvista(tmp_path: Path) -> None:
    row = {
        "index": 5,
        "image": b64(),
        "question": "Hint: number.\nQuestion: How much?",
        "answer": "1.5",
        "question_type": "free_form",
        "answer_type": "float",
        "precision": "1.0",
        "choices": "",
        "task": "figure question answering",
        "skills": "['arithmetic']",
    }
    tsv(tmp_path / "MathVista_MINI.tsv", row)
    (sample,) = load("mathvista", tmp_path)
    assert sample.prompt == row["question"] and sample.task == row["task"] and sample.metadata["metadata"]["skills"] == ["arithmetic"]
    assert sample.metadata["options"] is None and worth("mathvista", sample, "1.52") == 1.0


def test_a_split_is_by_column_where_names_do_not_tell(tmp_path: Path) -> None:
    tsv(tmp_path / "ChartQA_TEST.tsv", {"index": 1, "image": b64(), "question": "What?", "answer": "1"})
    with pytest.raises(DataError, match="row 1: split: got no such column"):
        load("chartqa", tmp_path, split="test_human")
