"""Records: files with errors that name the line, the synthetic world with GenEval's rows, and never the evaluation's prompts."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from evals.datasets.geneval import generate_rows
from evals.datasets.shapes import is_unseen
from evals.registry import Registry
from evals.suite.load import open_suite
from uniar import InputError
from uniar.data.shapes import COLORS, SHAPES, is_held_out_pair, is_held_out_relation, sample_captioned
from uniar.training.grpo.evaluation_prompts import EVALUATION_PROMPTS
from uniar.training.grpo.records import SHAPES_TASKS, JsonlRecords, ShapesRecords, geneval_row


def row(number: int, /, **changes: object) -> dict[str, object]:
    return {"instruction": f"prompt {number}", "number": number, "task": "geneval", "metadata": {"tag": "x"}} | changes


def written(path, *rows: object):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), "utf-8")
    return path


def test_every_record_comes_once_before_any_comes_again(tmp_path):
    source = JsonlRecords(written(tmp_path / "a.jsonl", *(row(i) for i in range(7))))
    drawn = [r for step in range(7) for r in source.draw(1, step, 3)]
    for turn in range(3):
        assert sorted(r.number for r in drawn[7 * turn : 7 * turn + 7]) == list(range(7))
    # One step may hold the end of a pass and the beginning of the next; its keys differ all the same.
    assert len({r.key for r in drawn}) == 21
    assert [r.number for r in drawn[:7]] != [r.number for r in drawn[7:14]]


def test_a_step_is_a_function_of_seed_and_number(tmp_path):
    path = written(tmp_path / "a.jsonl", *(row(i) for i in range(20)))
    assert JsonlRecords(path).draw(5, 3, 4) == JsonlRecords(path).draw(5, 3, 4)
    assert JsonlRecords(path).draw(5, 3, 4) != JsonlRecords(path).draw(6, 3, 4)
    assert ShapesRecords().draw(5, 3, 4) == ShapesRecords().draw(5, 3, 4)
    assert ShapesRecords().draw(5, 3, 4) != ShapesRecords().draw(6, 3, 4)


def test_a_record_is_what_stands_in_the_file(tmp_path):
    source = JsonlRecords(written(tmp_path / "a.jsonl", row(4, instruction="a “café”"), ""))
    (record,) = source.draw(0, 0, 1)
    assert record.row() == row(4, instruction="a “café”")
    assert record.key == "a.jsonl:1:0"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "2: got no JSON"),
        ("[1]", "2: got list; expected a JSON object"),
        (row(1, instruction=3), "2: instruction: got 3; expected str"),
        (row(1, instruction="  "), "2: instruction: got blank text"),
        (row(1, number="1"), "2: number: got '1'; expected int"),
        (row(1, number=True), "2: number: got True; expected int"),
        (row(1, metadata=None), "2: metadata: got None; expected dict"),
        ({"instruction": "x", "number": 1, "metadata": {}}, "2: task: got nothing; expected str"),
        (row(1, prompt="x"), "2: prompt: unknown key; expected instruction, number, task, metadata"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, told):
    path = written(tmp_path / "a.jsonl", row(0), line)
    with pytest.raises(InputError) as caught:
        JsonlRecords(path)
    assert str(caught.value).startswith(f"{path}:{told}") and "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="got no record"):
        JsonlRecords(written(tmp_path / "empty.jsonl", "", ""))
    with pytest.raises(InputError, match="got an unreadable file"):
        JsonlRecords(tmp_path / "absent.jsonl")


@pytest.fixture(scope="module")
def drawn():
    return [r for step in range(15) for r in ShapesRecords().draw(0, step, 40)]


def test_no_prompt_of_the_evaluation_suite_is_asked(drawn):
    suite = open_suite("suites/geneval.yaml").resolve("mini")
    dataset = Registry().load("dataset", suite.data.name)(**suite.data.kwargs)
    asked = {sample.prompt for sample in dataset.load()}
    assert asked == EVALUATION_PROMPTS
    assert asked.isdisjoint(r.instruction for r in drawn)


def test_records_of_the_world_have_genevals_rows(drawn):
    # A large draw of the benchmark's own generator holds every row that its forms allow, of two colours or relations at random.
    known = {json.dumps(r) for r in generate_rows(SHAPES, COLORS, seed=1, prompts_per_task=40000, uncolored=())}
    assert Counter(r.metadata["tag"] for r in drawn).keys() == set(SHAPES_TASKS)
    assert min(Counter(r.metadata["tag"] for r in drawn).values()) > 80
    for record in drawn:
        assert record.task == "geneval" and record.metadata["prompt"] == record.instruction
        assert json.dumps(record.metadata) in known


def test_records_of_the_world_are_of_the_training_split(drawn):
    assert not any(is_unseen(r.metadata, is_held_out_pair, is_held_out_relation) for r in drawn)
    assert len({r.instruction for r in drawn}) > 250


def test_further_prompts_can_be_left_out():
    source = ShapesRecords(tasks=("counting",), exclude=("a photo of two circles", "a photo of two squares"))
    assert {r.instruction for r in source.draw(0, 0, 40)} == {"a photo of four circles", "a photo of four stars"}
    every = [f"a photo of {n} {s}" for n in ("two", "three", "four") for s in ("circles", "squares", "stars")]
    with pytest.raises(InputError, match="leave counting without any"):
        ShapesRecords(tasks=("counting",), exclude=every).draw(0, 0, 1)


def test_a_form_without_prompts_is_refused():
    for tasks in (("single_object",), ("long",), ()):
        with pytest.raises(InputError, match="expected some of two_object"):
            ShapesRecords(tasks=tasks)


def test_a_caption_of_another_form_has_no_row():
    captioned = sample_captioned(np.random.default_rng(0), task="long")
    with pytest.raises(InputError, match="task: got long"):
        geneval_row(captioned)
    single = geneval_row(sample_captioned(np.random.default_rng(0), task="single_object"))
    assert single["include"][0]["count"] == 1 and list(single) == ["tag", "include", "prompt"]
