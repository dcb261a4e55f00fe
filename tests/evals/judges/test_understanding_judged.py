"""Answers about images that no rule reads: what a judge is asked, what of its reply counts, and that nothing is asked without one."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from evals.errors import PluginError
from evals.protocols import Reply
from evals.scorers.understanding import UnderstandingScorer
from evals.types import Outcome, Output, Sample

OPTIONS = {"options": {"A": "a bear", "B": "a rabbit", "C": "a cat"}, "answer": "B", "question": "Which animal?"}
FREE = {"question_type": "free_form", "answer_type": "integer", "answer": "3", "question": "How many?", "precision": None}
LIST = {**FREE, "answer_type": "list", "answer": "[1, 2]"}
PICKED = {"question_type": "multi_choice", "answer_type": "text", "choices": ["ball", "cube"], "answer": "cube", "answer_option": "B",
          "options": {"A": "ball", "B": "cube"}, "question": "Which is heavier?"}  # fmt: skip
FIGURE = {"answer": "Yes", "gt_answer": "1", "question": "Is it larger?", "category": "VS", "figure_id": "1",
          "gt_answer_details": "Yes, the left one is larger."}  # fmt: skip


class Scripted:
    """Says one thing after the other and keeps what it was asked."""

    name = "scripted"
    concurrency = 1

    def __init__(self, *replies: str | Reply) -> None:
        self.replies, self.asked = list(replies), []

    def identity(self) -> dict[str, Any]:
        return {"judge": "scripted"}

    def ask(self, question: str, images: Any = (), *, attempt: int = 0, **_: Any) -> Reply:
        self.asked.append((question, attempt, len(images)))
        said = self.replies.pop(0)
        return said if isinstance(said, Reply) else Reply(text=said)


def judged(benchmark: str, row: dict[str, Any], text: str, *replies: str | Reply, rule: str | None = None) -> tuple[Any, Scripted]:
    judge = Scripted(*replies)
    scorer = UnderstandingScorer(roles={"judge": judge}, benchmark=benchmark, rule=rule)
    scorer.canary()
    output = Output(sample_id="x", task="t", repeat=0, seed=0, outcome=Outcome.OK, text=text)
    return scorer.score(Sample(sample_id="x", task="t", prompt="p", metadata=row), output, None), judge


@pytest.mark.parametrize(
    ("benchmark", "rule", "row", "text", "replies", "credit", "read"),
    [
        ("mmbench", None, OPTIONS, "A or B, rather the second", ["B"], 1.0, "B"),
        ("mmbench", None, OPTIONS, "A or B", ["(A)"], 0.0, "A"),
        # None of the options, or several: decided, and wrong.
        ("mmbench", None, OPTIONS, "A or B", ["Z"], 0.0, "Z"),
        ("mmbench", None, OPTIONS, "A or B", ["it may be A or B", "B"], 1.0, "B"),
        ("mmmu", "2023", OPTIONS, "the hare", ["B"], 1.0, "B"),
        ("pope", "vlmevalkit", {"answer": "Yes", "question": "Is there a cat?"}, "There is one", ["Yes."], 1.0, "Yes"),
        ("pope", "vlmevalkit", {"answer": "No", "question": "Is there a cat?"}, "Perhaps", ["Unknown"], 0.0, "Unknown"),
        ("mathvista", None, FREE, "I count three of them, so 3.", ["3"], 1.0, "3"),
        ("mathvista", None, FREE, "I count three of them.", ["Extracted answer: 3.0"], 1.0, "3"),
        ("mathvista", None, FREE, "many", ["many"], 0.0, "many"),
        # Never right in VLMEvalKit, which compares the word None.
        ("mathvista", None, LIST, "The years 1 and 2", ["[1, 2]"], 1.0, "[1, 2]"),
        ("mathvista", None, PICKED, "its pan hangs lower: the second", ["(B)"], 1.0, "cube"),
        ("hallusion", "judge", FIGURE, "Yes", ["correct"], 1.0, "correct"),
        ("hallusion", "judge", FIGURE, "Yes", ["That is incorrect."], 0.0, "incorrect"),
        ("hallusion", "judge", FIGURE, "I cannot tell", ["unclear"], 0.0, "unclear"),
        # Official: unclear is right where the picture is missing.
        ("hallusion", "judge", {**FIGURE, "figure_id": "0"}, "I cannot tell", ["unclear"], 1.0, "unclear"),
    ],
)
def test_what_a_reply_is_worth(benchmark, rule, row, text, replies, credit, read) -> None:
    score, judge = judged(benchmark, row, text, *replies, rule=rule)
    assert (score.outcome, score.values, score.evidence["read"]) == (Outcome.OK, {"correct": credit}, read)
    assert score.evidence["rule"].startswith("judge: ") and len(score.evidence["replies"]) == len(replies)
    question, _, images = judge.asked[0]
    # The judge reads words, never the picture, and is told all that it needs.
    assert row["question"] in question and text in question and images == 0
    assert all(f"{letter}. {told}" in question for letter, told in row.get("options", {}).items() if benchmark != "mathvista")
    assert [attempt for _, attempt, _ in judge.asked] == list(range(len(replies)))


def test_what_a_rule_reads_is_asked_of_nobody() -> None:
    for benchmark, row, text in (("mmbench", OPTIONS, "B"), ("mathvista", FREE, "3"), ("pope", {"answer": "Yes", "question": "?"}, "Yes")):
        score, judge = judged(benchmark, row, text)
        assert score.values == {"correct": 1.0} and judge.asked == [] and "replies" not in score.evidence


def test_no_guess_when_the_judge_says_nothing_usable() -> None:
    score, judge = judged("mmbench", OPTIONS, "A or B", "hard to say", "either A or B", "")
    assert score.outcome is Outcome.JUDGE_UNPARSED and score.values == {} and len(judge.asked) == 3
    assert score.reason == "none of 3 replies of the judge could be read"
    refused = Reply(outcome=Outcome.REFUSED, error="The judge declined.")
    score, judge = judged("mmbench", OPTIONS, "A or B", refused)
    assert (score.outcome, score.reason, len(judge.asked)) == (Outcome.REFUSED, "The judge declined.", 1)
    with pytest.raises(PluginError, match="rule: got judge without one; expected the role judge"):
        UnderstandingScorer(roles={}, benchmark="hallusion", rule="judge")


SUITE = """
suite: small
title: Small
plugins: [./parrot.py]
profiles:
  official:
    protocol: {name: small}
    verb: understand
    data: {dataset: understanding, benchmark: mmbench, folder: copy}
    score: [{scorer: understanding, benchmark: mmbench}]
    report: {value: correct, headline: mmbench_circular}
"""
PARROT = """
import re
from evals.protocols import Generation

class Parrot:
    verbs = frozenset({"understand"})
    name = "parrot"
    def __init__(self, *, source: str = "", device: str = "cpu") -> None: pass
    def fingerprint(self): return {"id": "parrot", "sha256": "2" * 64}
    def run(self, items): return [Generation(text=re.search(r"say: (.*?)]", item.sample.prompt)[1]) for item in items]

PLUGINS = {"model": {"parrot": Parrot}}
"""


def test_a_run_with_and_without_a_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result], server: Any) -> None:
    """Two questions in two rotations each; one rotation of the first has no letter."""
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SUITE)
    Path("parrot.py").write_text(PARROT)
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), "red").save(stream, "PNG")
    rows = [
        {"index": index, "image": base64.b64encode(stream.getvalue()).decode(), "question": f"Which? [say: {said}]", "A": "bear",
         "B": "rabbit", "answer": answer, "category": "identity", "l2-category": "attribute", "split": "dev"}
        for index, said, answer in ((1, "B", "B"), (1000001, "the hare", "A"), (2, "A", "A"), (1000002, "A", "B"))
    ]  # fmt: skip
    Path("copy").mkdir()
    with Path("copy/any.tsv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        table.writeheader()
        table.writerows(rows)

    def run(out: str, *more: str) -> tuple[Result, dict[str, Any]]:
        done = cli("run", "small.yaml", "--model", "parrot", "--out", out, "--no-report", *more)
        return done, json.loads(Path(out, "results.json").read_text())

    bare, found = run("bare")
    # 2 is wrong by a decided rotation; 1 is open and stands in no sum.
    assert bare.exit_code == 0, bare.output
    assert (found["headline"]["value"], found["headline"]["n"], found["headline"]["outcomes"]) == (0.0, 1, {"ok": 1, "undecided": 1})
    server.default = {"text": "A"}
    settings = [part for key in (f"base_url={server.url}", "model=j", "canary=false") for part in ("--set", f"roles.judge.{key}")]
    asked, found = run("asked", "--role", "judge=openai", *settings)
    assert asked.exit_code == 0, asked.output
    assert (found["headline"]["value"], found["headline"]["n"]) == (0.5, 2)
    assert len([r for r in server.requests if "the hare" in json.dumps(r)]) == 1
    # The same numbers again without asking.
    before = len(server.requests)
    again = cli("rescore", "asked", "--role", "judge=replay", "--suite", "small.yaml")
    assert again.exit_code == 0 and "0.500" in again.output and len(server.requests) == before, again.output
