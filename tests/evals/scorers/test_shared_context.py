"""Shared context: questions, witnesses and choices worked by hand, and one real conversation through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from evals.datasets.shared_context import ROUNDS, SharedContextDataset
from evals.datasets.shared_questions import questions_of, recolored
from evals.errors import DataError
from evals.metrics.aggregate import Row
from evals.metrics.shared_context import agreement_by_kind, best_of_n
from evals.protocols import Detection
from evals.scorers.shared_context import SharedContextScorer
from evals.scorers.shared_context_rules import agreements, detector_answer, read_answer
from evals.types import Outcome, Output, Sample

ROW = {
    "tag": "position",
    "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "color": "red", "position": ["left of", 0]}],
    "prompt": "a photo of a dog left of a cat",
}


def test_questions_follow_from_the_row():
    asked = [(q["kind"], q["question"], q["expected"]) for q in questions_of(ROW, absent=("bus",), suffix="!")]
    assert asked == [
        ("presence", "is there a cat?!", "yes"),
        ("count", "how many cats are there?!", "1"),
        # The prompt leaves the cat's colour open: it is asked, and what was meant is not known.
        ("color", "what color is the cat?!", None),
        ("presence", "is there a red dog?!", "yes"),
        ("count", "how many dogs are there?!", "1"),
        ("color", "what color is the dog?!", "red"),
        ("position", "is the dog left of the cat?!", "yes"),
        ("presence", "is there a bus?!", "no"),
    ]
    three = {"include": [{"class": "bus", "count": 3}]}
    assert [q["kind"] for q in questions_of(three, absent=())] == ["presence", "count"]
    assert recolored(ROW, 1, "blue")["include"][1]["color"] == "blue" and ROW["include"][1]["color"] == "red"


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("presence", "Yes.", "yes"), ("presence", "No, there is no dog", "no"), ("presence", "", None), ("presence", "yesterday", None),
        ("position", "It is not: no", "no"), ("count", "3", "3"), ("count", "03", "3"), ("count", "two, i.e. 2", "2"), ("count", "2 or 3", None),
        ("count", "none", None), ("color", "RED", "red"), ("color", "reddish", None), ("color", "red and red", "red"),
    ],
)  # fmt: skip
def test_answers_are_read_or_undecided(kind, text, wanted):
    assert read_answer(kind, text) == wanted


def test_the_detector_answers_what_it_sees_and_nothing_else():
    cat = Detection(label=0, score=0.9, box=(50, 0, 60, 10), color="black")
    dogs = [Detection(label=1, score=s, box=(0, 0, 10, 10), color=c) for s, c in ((0.8, "blue"), (0.5, "red"))]
    seen = {"cat": [cat], "dog": dogs}
    answers = [detector_answer(q, seen, {"dog": 0, "cat": 1}) for q in questions_of(ROW, absent=("bus",))]
    # Any red dog counts for presence; the colour is that of the surest dog; counting has its own threshold.
    assert answers == ["yes", "1", "black", "yes", "0", "blue", "yes", "no"]
    empty = [detector_answer(q, {}, {}) for q in questions_of(ROW, absent=("bus",))]
    assert empty == ["no", "0", None, "no", "0", None, None, "no"]


def test_pairs_leave_out_what_a_witness_cannot_tell_and_never_an_undecided_answer():
    kinds = ["presence", "color", "color", "count"]
    answers = {"a": ["yes", "red", None, "2"], "b": ["yes", "blue", None, "2"], "c": ["no", None, "red", "2"], "d": ["yes", "red", "red", None]}
    got = agreements(kinds, answers)
    # Two undecided answers do not agree with each other.
    assert got["ab"] == 2 / 4 and got["ab/color"] == 0.0 and got["ab/count"] == 1.0
    assert got["ac"] == 1 / 3 and got["ad"] == 2 / 3 and got["bd"] == 1 / 3 and got["cd"] == 1 / 2
    assert got["undecided_a"] == got["undecided_b"] == 1 / 4
    assert "cd/count" not in got and "ac/presence" in got


def row(sample, correct, ad, bd, outcome=Outcome.OK):
    values = {"correct": correct, "ad": ad, "bd": bd, "ab/color": ad} if outcome is Outcome.OK else {}
    return Row(sample, "written", (), outcome, None, values=values, sample_id=sample)


def test_best_of_n_by_hand():
    rows = [
        row("p", 1.0, 1.0, 0.5), row("p", 0.0, 0.5, 0.5),      # A picks the right one, B ties: 0.5
        row("q", 0.0, 1.0, 0.2), row("q", 1.0, 0.9, 0.8),      # A picks the wrong one, B the right one
        row("r", 1.0, 1.0, 1.0), row("r", 1.0, 0.0, 0.0, Outcome.MISSING),
    ]  # fmt: skip
    got = {m.name: m for m in best_of_n(rows, value="ab", task="*", kind="more", seed=0)}
    worth = {name.removeprefix("right, best of 2 by "): m.value for name, m in got.items()}
    assert worth == {"chance": 0.5, "in context (A)": 0.5, "re-encoded (B)": 0.75, "the verdict itself": 1.0}
    assert all(m.outcomes == {"ok": 2, "missing": 1} and m.n_expected == 3 for m in got.values())
    assert best_of_n(rows[:1], value="ab", task="*", kind="more", seed=0) == []
    (kind,) = agreement_by_kind(rows, value="ab", task="*", kind="more", seed=0)
    assert kind.name == "ab: color" and kind.value == pytest.approx((1 + 0.5 + 1 + 0.9 + 1) / 5) and kind.outcomes == {"ok": 5, "missing": 1}


def test_changes_are_followed_by_what_is_meant():
    samples = list(SharedContextDataset(world="shapes", prompts_per_task=3, changes=2, absent=1).load())
    assert [s.task for s in samples] == sorted((s.task for s in samples), key=ROUNDS.index) and len({s.sample_id for s in samples}) == len(samples)
    twice = [s for s in samples if s.task == ROUNDS[2]]
    # Counting rows name no single object, so they cannot be changed.
    assert {s.metadata["row"]["tag"] for s in twice} == {"single_object", "two_object", "colors", "position", "color_attr"}
    for sample in twice:
        changes = [turn["prompt"] for turn in sample.metadata["turns"]][1:]
        meant = {q["class"]: q["expected"] for q in sample.metadata["questions"] if q["kind"] == "color"}
        last = {prompt.split()[2]: prompt.split()[3] for prompt in changes}
        assert len(changes) == 2 and all(meant[name] == color for name, color in last.items())
        assert [q["expected"] for q in sample.metadata["questions"]].count("no") == 1
    again = list(SharedContextDataset(world="shapes", prompts_per_task=3, changes=2, absent=1).load())
    assert samples == again
    official = list(SharedContextDataset(changes=0).load())
    assert len(official) == 553 and official[0].metadata["turns"] == [{"prompt": official[0].prompt}]


@pytest.mark.parametrize("settings", [{"world": "mars"}, {"changes": 3}, {"absent": -1}])
def test_settings_that_cannot_be_used(settings):
    with pytest.raises(DataError, match=f"shared-context: .*got.*{next(iter(settings.values()))}"):
        SharedContextDataset(**settings)


class Nothing:
    """A detector of an empty world."""

    name = "nothing"
    classes = ("star",)

    def detect(self, image, classes):
        return []


def test_an_output_of_another_verb_is_told():
    scorer = SharedContextScorer(roles={"detector": Nothing()}, classes="shapes")
    sample = Sample(sample_id="x", task="t", prompt="p", metadata={"row": ROW, "questions": questions_of(ROW, absent=())})
    output = Output(sample_id="x", task="t", repeat=0, seed=0, outcome=Outcome.OK, text="a plain answer")
    with pytest.raises(DataError, match="Use verb: converse"):
        scorer.score(sample, output, Image.new("RGB", (8, 8)))


def test_the_bundled_checkpoint_holds_a_conversation(tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    result = cli("run", "shared-context", "--limit", "1", "--set", "generate.repeats=2", "--out", "out")
    assert result.exit_code == 0, result.output
    found = json.loads(Path("out/results.json").read_text())
    metrics = {m["name"]: m for m in found["metrics"]}
    assert found["headline"]["name"] == "ab" and 0.5 <= found["headline"]["value"] <= 1 and found["headline"]["n"] == 6
    assert {"ac", "cd", "ab: presence", "flips: level 0", "right, best of 2 by chance"} <= set(metrics)
    # Asking in the context costs the words alone: an image of 16 visual tokens is not read again.
    saved = metrics["positions_reencoded"]["value"] - metrics["positions_context"]["value"]
    assert 14 <= saved <= 20
    record = json.loads(json.loads(Path("out/journal.jsonl").read_text().splitlines()[0])["text"])
    assert set(record) == {"context", "reencoded", "flips", "positions", "said"}
    assert "A and B part on" in Path("out/scores/shared-context.jsonl").read_text() or found["headline"]["value"] == 1
