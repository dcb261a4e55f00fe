"""Questions that are answered by the likeliest option: what is asked, what wins, what is refused, what the run keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.models import choosing
from evals.scorers.understanding import UnderstandingScorer
from evals.types import Outcome, Output, Sample


def sample(**metadata):
    return Sample(sample_id="x", task="t", prompt="p", metadata=metadata)


class Fixed:
    """Tells the log-likelihoods it was given."""

    def __init__(self, **of):
        self.of = of

    def likelihoods(self, prompts, images, continuations):
        from uniar.generation.likelihood import Likelihood

        return [[Likelihood(self.of[answer], 1) for answer in answers] for answers in continuations]


@pytest.mark.parametrize(
    ("answer_by", "of", "wanted"),
    [
        ("letter", {"A": -2.0, "B": -1.0}, ({"A": -2.0, "B": -1.0}, "B")),
        ("option", {"red": -3.0, "dark blue": -4.5}, ({"A": -3.0, "B": -4.5}, "A")),
        # Per byte the longer one wins: -1 against -0.5.
        ("option_norm", {"red": -3.0, "dark blue": -4.5}, ({"A": -1.0, "B": -0.5}, "B")),
        ("letter", {"A": -1.0, "B": -1.0}, ({"A": -1.0, "B": -1.0}, None)),
    ],
)
def test_what_is_asked_and_what_wins(answer_by, of, wanted):
    asked = sample(options={"A": "red", "B": "dark blue"}, answer="A")
    (table,) = choosing.choose(Fixed(**of), [(asked, None)], answer_by)
    assert (table, choosing.likeliest(table)) == wanted


def test_bytes_are_counted_in_utf8():
    (table,) = choosing.choose(Fixed(红=-3.0, ab=-3.0), [(sample(options={"A": "红", "B": "ab"}), None)], "option_norm")
    assert table == {"A": -1.0, "B": -1.5}


def test_yes_and_no_are_candidates_and_free_questions_have_none():
    assert choosing.continuations(sample(candidates=["Yes", "No"], options=None), "letter") == {"Yes": "Yes", "No": "No"}
    assert choosing.continuations(sample(options=None), "letter") == {}
    assert choosing.without_options([sample(options={"A": "x"}), sample()]) == 1


@pytest.mark.parametrize(
    ("benchmark", "row", "text", "wanted"),
    [
        ("ai2d", {"answer": "B", "options": {"A": "x", "B": "y"}}, "B", ("ok", {"correct": 1.0})),
        ("mathvista", {"answer": "cube", "answer_option": "B", "options": {"A": "x", "B": "cube"}}, "B", ("ok", {"correct": 1.0})),
        ("mme", {"answer": "No"}, "Yes", ("ok", {"correct": 0.0})),
        ("hallusion", {"answer": "No", "gt_answer": "0"}, "No", ("ok", {"correct": 1.0})),
        ("ai2d", {"answer": "B", "options": {"A": "x", "B": "y"}}, "", ("undecided", {})),
    ],
)
def test_the_chosen_option_needs_no_reading(benchmark, row, text, wanted):
    output = Output(sample_id="x", task="t", repeat=0, seed=0, outcome=Outcome.OK, text=text, likelihoods={"A": -1.0, "B": -0.1})
    score = UnderstandingScorer(roles={}, benchmark=benchmark).score(sample(**row), output, None)
    assert (score.outcome.value, score.values) == wanted
    assert score.evidence["likelihoods"] == {"A": -1.0, "B": -0.1}


def test_runs_by_likelihood(tmp_path, monkeypatch, cli):
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))

    def run(suite, by, *more):
        out = tmp_path / f"{suite}-{by}-{len(more)}"
        settings = [part for one in (f"generate.answer_by={by}", "data.questions=20", *more) for part in ("--set", one)]
        done = cli("run", suite, *settings, "--out", str(out), "--no-report")
        return done, out

    values = {}
    for suite, by in (("mmbench", "letter"), ("mmbench", "option"), ("mme", "letter")):
        done, out = run(suite, by)
        assert done.exit_code == 0, done.output
        values[suite, by] = json.loads((out / "results.json").read_text())["headline"]["value"]
        lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
        assert all(len(line["likelihoods"]) == (2 if suite == "mme" else 4) for line in lines)
        assert all(line["text"] == max(line["likelihoods"], key=line["likelihoods"].get) for line in lines)
    # The checkpoint learned to name the letter; it was never trained to say the option's words after such a question.
    assert values["mmbench", "letter"] >= 0.9 and values["mme", "letter"] >= 0.9
    # Nothing depends on what else is in the batch.
    _, one = run("mmbench", "letter", "generate.batch_size=1")
    texts = [[json.loads(line)["likelihoods"] for line in (folder / "journal.jsonl").read_text().splitlines()] for folder in (one, out.parent / "mmbench-letter-0")]
    assert texts[0] == texts[1]
    # Another way of answering is another measurement.
    words, folder = run("mmbench", "words")
    assert words.exit_code == 0
    assert "answer_by" not in json.loads((folder / "manifest.json").read_text())["resolved_suite"]["generate"]
    unlike = cli("compare", str(folder), str(out.parent / "mmbench-letter-0"))
    assert unlike.exit_code == 2 and "answer_by" in unlike.output


def test_what_cannot_be_ranked_is_refused(tmp_path, monkeypatch, cli):
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    done = cli("run", "chartqa", "--set", "generate.answer_by=letter", "--out", str(tmp_path / "x"))
    assert done.exit_code == 2 and "none of its 60 questions has options. Set it to words." in done.output
    done = cli("run", "geneval", "--set", "generate.answer_by=letter", "--out", str(tmp_path / "x"))
    assert done.exit_code == 2 and "generate.answer_by: got letter" in done.output
    done = cli("run", "mmbench", "--set", "generate.answer_by=leter", "--out", str(tmp_path / "x"))
    assert done.exit_code == 2 and 'Did you mean "letter"?' in done.output
    assert not Path(tmp_path / "x").exists()
