"""The prompts of the text suites: official files in the official layout (made small here), and those made by code."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from evals.datasets.longtext import LongTextDataset
from evals.datasets.oneig_text import OneIGTextDataset
from evals.datasets.text_mini import TextMiniDataset
from evals.errors import DataError


def longtext_row(**changes: Any) -> dict[str, Any]:
    row = {"category": "sign", "length": "short", "prompt": "A sign.", "text": ["A\u2028B", "Café"], "text_length": 2, "prompt_id": 7}
    return {**row, **changes}


def longtext(folder: Path, *rows: Any, name: str = "text_prompts.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return folder


def test_longtext_keeps_the_official_row_and_its_id(tmp_path: Path) -> None:
    folder = longtext(tmp_path, longtext_row(), longtext_row(prompt_id=100, category="slide", length="long"))
    first, second = LongTextDataset(folder=str(folder)).load()
    assert (first.sample_id, first.task, first.tags, first.prompt) == ("0007", "sign", ("short",), "A sign.")
    assert first.metadata == {**longtext_row(), "language": "en"}
    assert (second.sample_id, second.task, second.tags) == ("0100", "slide", ("long",))
    longtext(tmp_path, longtext_row(text=["本地"]), name="text_prompts_zh.jsonl")
    (chinese,) = LongTextDataset(language="zh", folder=str(folder)).load()
    assert chinese.metadata["language"] == "zh"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prompt_id": "7"}, "prompt_id: got '7'; expected int"),
        ({"prompt_id": True}, "prompt_id: got True; expected int"),
        ({"text": "A"}, "text: got 'A'; expected list"),
        ({"text": []}, "expected a list with at least one text"),
        ({"text": [1]}, "expected a list with at least one text"),
        ({"category": None}, "category: got None; expected str"),
    ],
)
def test_a_row_that_is_none_of_longtext(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    folder = longtext(tmp_path, longtext_row(), longtext_row(**changes))
    with pytest.raises(DataError) as caught:
        list(LongTextDataset(folder=str(folder)).load())
    assert "text_prompts.jsonl:2: " in str(caught.value) and told in str(caught.value)


def test_missing_data_and_wrong_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result]) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    for kind, name in ((LongTextDataset, "longtext: got no text_prompts.jsonl"), (OneIGTextDataset, "oneig: got no OneIG-Bench.csv")):
        with pytest.raises(DataError, match=name):
            list(kind().load())
    for kind, name in ((LongTextDataset, "longtext"), (OneIGTextDataset, "oneig-text"), (TextMiniDataset, "text-mini")):
        with pytest.raises(DataError, match=f"{name}: language: got cn; expected one of en, zh"):
            kind(language="cn")
    result = cli("samples", "longtext", "--profile", "official")
    assert result.exit_code == 2 and "uniar-eval data fetch longtext" in result.output


def table(path: Path, *rows: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def oneig(folder: Path) -> None:
    base = {"type": "NP", "prompt_length": "short", "class": "None"}
    table(
        folder / "OneIG-Bench.csv",
        {"category": "Portrait", "id": "000", "prompt_en": "A woman.", **base},
        {"category": "Text_Rendering", "id": "000", "prompt_en": 'A slide with "5G".', **base},
        {"category": "Text_Rendering", "id": "001", "prompt_en": "A sign.", **{**base, "prompt_length": "long"}},
    )
    contents = ({"": "0", "id": "000", "text_content": "['5G, \"new\"', 'x']"}, {"": "1", "id": "001", "text_content": "['OPEN']"})
    table(folder / "scripts/text/text_content.csv", *contents)


def test_oneig_joins_prompts_with_the_literal_cell(tmp_path: Path) -> None:
    oneig(tmp_path)
    first, second = OneIGTextDataset(folder=str(tmp_path)).load()
    assert (first.sample_id, first.task, first.prompt, first.tags) == ("000", "text", 'A slide with "5G".', ("short",))
    assert first.metadata["text_content"] == "['5G, \"new\"', 'x']" and first.metadata["language"] == "en"
    assert (second.sample_id, second.tags) == ("001", ("long",))
    base = {"category": "Text_Rendering", "id": "0", "prompt_cn": "一块招牌", "class": "None"}
    table(tmp_path / "OneIG-Bench-ZH.csv", base)
    table(tmp_path / "scripts/text/text_content_zh.csv", {"id": "000", "text_content": "['城市']"})
    (chinese,) = OneIGTextDataset(language="zh", folder=str(tmp_path)).load()
    assert (chinese.sample_id, chinese.tags, chinese.metadata["text_content"]) == ("000", (), "['城市']")


def test_oneig_tables_that_do_not_fit(tmp_path: Path) -> None:
    oneig(tmp_path)
    contents = tmp_path / "scripts/text/text_content.csv"
    table(contents, {"id": "000", "text_content": "['5G']"})
    with pytest.raises(DataError, match="id: got no row 001; expected one a Text_Rendering prompt"):
        list(OneIGTextDataset(folder=str(tmp_path)).load())
    table(contents, {"id": "000", "content": "['5G']"})
    with pytest.raises(DataError, match="got no column text_content; expected id, text_content"):
        list(OneIGTextDataset(folder=str(tmp_path)).load())
    contents.write_text("id,text_content\n000,['5G']\n001\n")
    with pytest.raises(DataError, match="row 1: got a row cut short"):
        list(OneIGTextDataset(folder=str(tmp_path)).load())
    contents.write_bytes(b"id,text_content\n000,\xff\n")
    with pytest.raises(DataError, match="expected a UTF-8 table"):
        list(OneIGTextDataset(folder=str(tmp_path)).load())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_mini_prompts_ask_for_their_texts_and_each_stands_by_itself(language: str) -> None:
    samples = list(TextMiniDataset(language=language, prompts=16).load())
    assert [s.sample_id for s in samples[:2]] == ["00000", "00001"] and len({s.prompt for s in samples}) == 16
    assert {s.task for s in samples} == {"sign", "label", "poster", "slide"} and sum(s.tags == ("long",) for s in samples) == 8
    for sample in samples:
        row = sample.metadata
        assert all(f'"{text}"' in sample.prompt for text in row["text"]) and row["text_content"] == str(row["text"])
        words = sum(len(text) if language == "zh" else len(text.split()) for text in row["text"])
        assert row["text_length"] == words and (words >= 6 if sample.tags == ("long",) else words <= 4)
    # A longer list begins with the shorter one; another seed asks for other words.
    assert list(TextMiniDataset(language=language, prompts=4).load()) == samples[:4]
    assert list(TextMiniDataset(language=language, prompts=4, seed=1).load()) != samples[:4]


def test_the_chinese_file_under_the_english_name_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result]) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    longtext(tmp_path / "longtext", longtext_row(text=["本地烘焙"], prompt="画一块招牌"), longtext_row(prompt_id=8, text=["始于"]))
    # Through the run: refused in one sentence before a model is loaded or a folder made.
    result = cli("run", "longtext", "--profile", "official", "--model", "nowhere", "--out", str(tmp_path / "out"))
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1, result.output
    assert "text_prompts.jsonl:1: got Chinese text, as in 2 of 2 rows; expected English" in result.stderr
    assert not (tmp_path / "out").exists()
    oneig(tmp_path / "oneig")
    row = {"category": "Text_Rendering", "id": "000", "prompt_en": "一块招牌", "type": "NP", "prompt_length": "short", "class": "None"}
    table(tmp_path / "oneig" / "OneIG-Bench.csv", row)
    result = cli("samples", "oneig-text", "--profile", "official")
    assert result.exit_code == 2 and "id 000: got Chinese text, as in 1 of 1 rows" in result.output
