"""The generator gives the published files byte for byte, and the mini world's rows are what they claim to be."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from evals.datasets.geneval import (
    TASKS,
    GenEvalDataset,
    generate_rows,
    metadata_text,
    official_rows,
    plural,
    prompts_text,
    with_article,
)
from evals.datasets.shapes import ShapesGenEvalDataset, is_unseen, mixed_rows
from evals.errors import DataError
from evals.parity import replay
from evals.vocabulary import COLORS, GENEVAL_CLASSES

GOLDEN = Path(__file__).parents[2] / "data/golden/scorers"
METADATA = "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13"
PROMPTS = "55b6e3650e980c13daf30569eb666e000faf19bfc2b7b4cbe999fcdb7aa9d680"
NAMES = "608f6a0e5c8ca1c7a92b818430141fe268c85b7930b50f4160f1d65893b5bacd"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_files_are_the_published_ones() -> None:
    rows = official_rows()
    assert (sha256(metadata_text(rows)), sha256(prompts_text(rows))) == (METADATA, PROMPTS)
    assert sha256("".join(name + "\n" for name in GENEVAL_CLASSES)) == NAMES


def test_samples_carry_the_official_rows_through_json() -> None:
    samples = list(GenEvalDataset().load())
    dumped = [json.loads(json.dumps(sample.to_json()))["metadata"] for sample in samples]
    assert sha256(metadata_text(dumped)) == METADATA
    assert [s.sample_id for s in samples[:2]] == ["00000", "00001"] and samples[-1].sample_id == "00552"
    counts = {"single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100, "color_attr": 100}
    assert Counter(s.task for s in samples) == counts
    assert list(dict.fromkeys(s.task for s in samples)) == list(TASKS)


def test_all_recorded_seeds() -> None:
    assert replay(GOLDEN / "geneval_prompts.json").mismatches == ()


def test_words() -> None:
    assert [plural(w) for w in ("bus", "knife", "sheep", "toothbrush")] == ["buses", "knifes", "sheeps", "toothbrushs"]
    assert with_article("umbrella") == "an umbrella" and with_article("hair drier") == "a hair drier"


def test_people_are_never_coloured_unless_allowed() -> None:
    def colored(rows: list[dict]) -> set[str]:
        return {c["class"] for row in rows for c in row["include"] if "color" in c}

    names = ["person", "cat", "dog"]
    settings = {"seed": 0, "prompts_per_task": 60}
    assert colored(generate_rows(names, COLORS, **settings)) == {"cat", "dog"}
    assert colored(generate_rows(names, COLORS, uncolored=(), **settings)) == set(names)


def test_rounds_repeat_single_objects_only() -> None:
    rows = generate_rows(["a", "b", "c"], COLORS, seed=0, prompts_per_task=50, uncolored=(), single_rounds=3)
    singles = [row["prompt"] for row in rows if row["tag"] == "single_object"]
    assert Counter(Counter(singles).values()) == {3: 3}
    others = [json.dumps(row) for row in rows if row["tag"] != "single_object"]
    assert len(set(others)) == len(others)


def test_too_small_a_vocabulary_is_told() -> None:
    with pytest.raises(DataError, match="expected at least two"):
        generate_rows(["person", "cat"], COLORS, seed=0, prompts_per_task=1)
    with pytest.raises(DataError, match="prompts_per_task: got 0"):
        GenEvalDataset(prompts_per_task=0)


def test_unseen_looks_at_pairs_and_places() -> None:
    def row(*include: dict) -> dict:
        return {"tag": "x", "include": list(include)}

    def pair(shape: str, color: str) -> bool:
        return (shape, color) == ("ring", "red")

    def place(a: str, relation: str, b: str) -> bool:
        return (a, relation, b) == ("ring", "above", "star")

    star, red_ring = {"class": "star", "count": 1}, {"class": "ring", "count": 1, "color": "red"}
    ring_above = {"class": "ring", "count": 1, "position": ["above", 0]}
    assert is_unseen(row(star, red_ring), pair, place)
    assert is_unseen(row(star, ring_above), pair, place)
    assert not is_unseen(row({**star, "color": "red"}), pair, place)
    assert not is_unseen(row({"class": "ring", "count": 1}, {**star, "position": ["above", 0]}), pair, place)


def test_mix_keeps_order_and_quota() -> None:
    rows = [{"tag": "colors", "n": n} for n in range(20)]
    chosen = [row["n"] for row in mixed_rows(rows, lambda row: row["n"] % 5 == 0, count=8, unseen_count=2)]
    assert chosen == [0, 1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(DataError, match="expected at most 18 for colors"):
        mixed_rows(rows, lambda row: row["n"] % 5 == 0, count=19, unseen_count=2)


def test_mini_world_has_twenty_prompts_a_task_seen_and_unseen() -> None:
    samples = list(ShapesGenEvalDataset().load())
    assert Counter(s.task for s in samples) == dict.fromkeys(TASKS, 20)
    assert [s.sample_id for s in samples] == [f"{i:05d}" for i in range(120)]
    assert samples == list(ShapesGenEvalDataset().load())
    unseen = Counter(s.task for s in samples if s.tags == ("unseen",))
    assert unseen == {"colors": 6, "position": 6, "color_attr": 6}
    assert {s.tags for s in samples} == {("seen",), ("unseen",)}
    # Only single objects may be asked twice.
    others = [s.prompt for s in samples if s.task != "single_object"]
    assert len(set(others)) == len(others)
    with pytest.raises(DataError, match="unseen_per_task: got 7 of 3"):
        ShapesGenEvalDataset(prompts_per_task=3, unseen_per_task=7)
