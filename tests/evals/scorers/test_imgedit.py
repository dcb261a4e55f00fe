"""ImgEdit: the docs' table of replies, and the scorers with a judge that says what it is told to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals import replay_editing
from evals.errors import DataError, PluginError
from evals.protocols import Reply
from evals.scorers import imgedit_rules as rules
from evals.scorers.imgedit import ImgEditScorer, ImgEditUgeScorer
from evals.types import Outcome, Output, Sample, Score

DOCS = Path(__file__).parents[3] / "docs/benchmarks/editing.md"
NAMES = rules.NAMES["replace"]
GOOD = "Brief reasoning: fine.\nPrompt Compliance: 4\nVisual Naturalness: 3\nPhysical & Detail Integrity: 2"


def table() -> list[tuple[str, str, str, str]]:
    part = DOCS.read_text("utf-8").split("| the judge | reply |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()[2:]]
    return [(row[0], row[1].strip("`").replace(" ⏎ ", "\n"), row[2], row[3]) for row in rows]


def shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")


@pytest.mark.parametrize(("case", "reply", "official", "strict"), table(), ids=lambda text: text[:24])
def test_every_row_of_the_docs_holds(case: str, reply: str, official: str, strict: str) -> None:
    assert (shown(rules.official(reply).value), shown(rules.strict(reply, NAMES).value)) == (official, strict)


def test_the_docs_show_what_was_asked_for() -> None:
    told = " ".join(row[0] for row in table())
    assert all(word in told for word in ("4/5", "bold", "decimals", "numbers", "total", "refuses", "two of three"))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ("Prompt Compliance: ²", "no readable number for Prompt Compliance"),
        ("Prompt Compliance: 4,5", "no readable number"),
        ("Prompt Compliance: 4 or 5", "no readable number"),
        ("Prompt Compliance: 40%", "no readable number"),
        ("Prompt Compliance: -1", "no readable number"),
        ("Prompt Compliance: 0", "outside 1 to 5"),
        ("Prompt Compliance:\n2. of all", "no readable number"),
        ("Compliance: 4", "no score for Prompt Compliance"),
    ],
)
def test_unclear_scores_are_refused(changed: str, reason: str) -> None:
    read = rules.strict(GOOD.replace("Prompt Compliance: 4", changed), NAMES)
    assert read.value is None and reason in read.reason


@pytest.mark.parametrize(
    "reply",
    [
        '{"Prompt Compliance": 4, "Visual Naturalness": 3, "Physical & Detail Integrity": 2}',
        "| Prompt Compliance | 4 |\n| Visual Naturalness | 3 |\n| Physical & Detail Integrity | 2 |",
        "1. Prompt compliance (1-5): **4**\n2. Visual naturalness (1-5): **3**\n3. Physical and detail integrity (1-5): **2**",
        "Prompt Compliance：４／５\nVisual Naturalness：３\nPhysical ＆ Detail Integrity：２",
        "Prompt Compliance - 4 out of 5\nVisual Naturalness - 3 out of 5\nPhysical & Detail Integrity - 2 out of 5",
    ],
)
def test_clear_scores_in_another_form_are_read(reply: str) -> None:
    assert rules.strict(reply, NAMES).scores == (4.0, 3.0, 2.0)


def test_official_sums_round_at_every_step() -> None:
    replies = {"1": "A: 1\nB: 3\nC: 4", "2": "A: 5\nB: 5\nC: 4", "3": "no", "4": "A: 2"}
    found = rules.official_summary(replies, {"1": "add", "2": "add", "3": "add"})
    assert found.per_item == {"1": 2.67, "2": 4.67, "4": 2.0}
    assert found.per_type == {"add": 3.67} and found.uge_final_average == 3.11


def test_a_failed_call_and_an_absent_type_are_passed_over() -> None:
    replies = {"1": {"error": "timeout"}, "2": "A: 5\n**B**: ３\nC : 4\nD: 2.\nE:1", "3": None, "4": "A: 2"}
    found = replay_editing.imgedit_scores({"responses": replies, "edit_types": {"1": "add", "2": "add", "4": None}})
    assert found == {"per_item": {"2": 4.0, "4": 2.0}, "per_type": {"add": 4.0}, "uge_final_average": 3.0}
    nothing = {"per_item": {}, "per_type": {}, "uge_final_average": None}
    assert replay_editing.imgedit_scores({"responses": {"1": "A:1"}, "edit_types": None}) == nothing


def test_means_are_added_one_by_one() -> None:
    # The sum is 26.84 and the mean 3.355: added one by one it comes out a little more and rounds up, added exactly it rounds down.
    scores = ("1", "4", "34", "34", "5", "45", "233", "233")
    replies = {str(n): "\n".join(f"A: {score}" for score in item) for n, item in enumerate(scores)}
    assert rules.official_summary(replies, {}).uge_final_average == 3.36


class Said:
    """A judge with one reply; remembers what it was asked."""

    name, concurrency = "said", 1

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.asked = list(replies), []

    def identity(self) -> dict[str, Any]:
        return {"judge": self.name}

    def ask(self, question: str, images: Any = (), **settings: Any) -> Reply:
        self.asked.append((question, list(images), settings))
        return self.replies.pop(0)


def official_folder(tmp_path: Path) -> Path:
    rubrics = {
        kind: f"Rate {kind}: <edit_prompt>.\n" + "".join(f"{n}: A number from 1 to 5.\n" for n in rules.NAMES[kind]) for kind in rules.TYPES
    }
    (tmp_path / "prompts.json").write_text(json.dumps(rubrics))
    (tmp_path / "UGE_bench.py").write_text(
        'import openai\nprompt = """Judge it.\nInstruction: <edit_prompt>."""\nraise SystemExit("run")\n'
    )
    return tmp_path


def score(scorer: Any, kind: str = "replace") -> Score:
    sample = Sample(sample_id="22", task=kind, prompt="turn the cup into a bowl", metadata={"key": "22", "edit_type": kind}, image="a.jpg")
    output = Output(sample_id="22", task=kind, repeat=0, seed=0, outcome=Outcome.OK)
    return scorer.score(sample, output, Image.new("RGB", (8, 6), "red"), source=Image.new("RGB", (4, 3), "blue"))


def test_the_judge_gets_the_types_rubric_then_source_then_edit(tmp_path: Path) -> None:
    judge = Said(Reply(text=GOOD, address="abc"))
    found = score(ImgEditScorer(roles={"judge": judge}, folder=str(official_folder(tmp_path))))
    question, images, _ = judge.asked[0]
    assert question.startswith("Rate replace: turn the cup into a bowl.")
    assert [image.getpixel((0, 0)) for image in images] == [(0, 0, 255), (255, 0, 0)]
    assert [image.size for image in images] == [(4, 3), (8, 6)]
    assert found.values == {"score": 3.0, "strict": 3.0} and found.evidence["address"] == "abc"


def test_values_of_one_policy_alone_type_the_other(tmp_path: Path) -> None:
    folder = str(official_folder(tmp_path))
    bold = "**Prompt Compliance:** 4/5\n**Visual Naturalness:** 5/5\n**Physical & Detail Integrity:** 2/5"
    found = score(ImgEditScorer(roles={"judge": Said(Reply(text=bold))}, folder=folder))
    assert found.outcome is Outcome.OK and found.values == {"strict": pytest.approx(10 / 3)}
    assert found.evidence["outcomes"] == {"score": "judge_unparsed"} and found.evidence["capped"] == ["Visual Naturalness"]
    found = score(ImgEditScorer(roles={"judge": Said(Reply(text="Prompt Compliance: 5\nVisual Naturalness: 4"))}, folder=folder))
    assert found.values == {"score": 4.5} and found.evidence["outcomes"] == {"strict": "judge_unparsed"}


@pytest.mark.parametrize(
    ("reply", "outcome", "reason"),
    [
        (Reply(text="I'm sorry, I can't."), Outcome.JUDGE_UNPARSED, "no score for Prompt Compliance"),
        (Reply(outcome=Outcome.REFUSED, error="The judge declined."), Outcome.REFUSED, "The judge declined."),
        (Reply(outcome=Outcome.JUDGE_ERROR, error="It timed out."), Outcome.JUDGE_ERROR, "It timed out."),
    ],
)
def test_what_cannot_be_read_has_its_outcome_and_no_value(tmp_path: Path, reply: Reply, outcome: Outcome, reason: str) -> None:
    found = score(ImgEditScorer(roles={"judge": Said(reply)}, folder=str(official_folder(tmp_path))))
    assert found.outcome is outcome and found.values == {} and reason in found.reason


def test_names_come_from_the_rubric_where_it_has_three(tmp_path: Path) -> None:
    path = official_folder(tmp_path) / "prompts.json"
    rubrics = json.loads(path.read_text()) | {
        "extract": "<edit_prompt>\nOne: A number from 1 to 5.\nTwo: A number from 1 to 5.\nThree: A number from 1 to 5."
    }
    path.write_text(json.dumps(rubrics))
    judge = Said(Reply(text="One:3\nTwo:2\nThree:1"))
    assert score(ImgEditScorer(roles={"judge": judge}, folder=str(tmp_path)), "extract").values == {"strict": 2.0}
    assert rules.names_of("no format at all", "extract") == ("Object Identity", "Mask Precision", "Visual Quality")


def test_uge_reads_its_rubric_without_running_it(tmp_path: Path) -> None:
    judge = Said(Reply(text="Brief reasoning: the logo is unchanged. Score: 2."))
    scorer = ImgEditUgeScorer(roles={"judge": judge}, folder=str(official_folder(tmp_path)))
    scorer.canary()
    found = score(scorer)
    assert judge.asked[0][0].endswith("Instruction: turn the cup into a bowl.")
    assert found.values == {"strict": 2.0} and found.evidence["outcomes"] == {"score": "judge_unparsed"}


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Brief reasoning: ok. Score: 3 (Acceptable)", 3.0),
        ("Adherence: 4\nNaturalness: 4\nScore: 4\nFinal score: 3/5", 3.0),
        ("Score: 3\nScore: 4", None),
        ("Score: 6", None),
        ("Brief reasoning: very nice", None),
    ],
)
def test_strict_uge(reply: str, value: float | None) -> None:
    assert rules.strict_uge(reply).value == value


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="scorer imgedit: roles: got no judge"):
        ImgEditScorer(roles={})
    with pytest.raises(DataError, match=r"imgedit: got no prompts\.json in .*; expected the benchmark's published file"):
        ImgEditScorer(roles={"judge": Said()}, folder=str(tmp_path))
    (tmp_path / "prompts.json").write_text(json.dumps({"replace": "<edit_prompt>"}))
    with pytest.raises(DataError, match=re.escape("prompts.json: add: got no rubric with <edit_prompt>")):
        ImgEditScorer(roles={"judge": Said()}, folder=str(tmp_path))
    with pytest.raises(PluginError, match="rubric: got mine; expected official or mini"):
        ImgEditScorer(roles={"judge": Said()}, rubric="mine")
    with pytest.raises(DataError, match=r"metadata\.edit_type: got swap; expected one of add"):
        score(ImgEditScorer(roles={"judge": Said()}, rubric="mini"), "swap")


def test_the_canary_notices_broken_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = ImgEditScorer(roles={"judge": Said()}, rubric="mini")
    scorer.canary()
    monkeypatch.setattr(rules, "official", lambda reply: rules.Reading(1.0, (1.0,), ""))
    with pytest.raises(Exception, match="scorer imgedit: canary"):
        scorer.canary()
