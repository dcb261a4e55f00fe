"""DPG-Bench: recorded cases, verdicts worked by hand under both policies, typed outcomes, sums over items, the self-check."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals.errors import CanaryError, DataError, PluginError
from evals.judges.shapes import ShapesJudge
from evals.metrics.aggregate import rows
from evals.metrics.dpg import dpg_categories, dpg_overall, item_scores
from evals.parity import replay
from evals.protocols import Reply
from evals.scorers import dpg_rules as rules
from evals.scorers.dpg import DpgScorer
from evals.scorers.dpg_rules import Question
from evals.types import Metric, Outcome, Output, Sample, Score

GOLDEN = Path(__file__).parents[2] / "data/golden/scorers/dpg_bench.json"
WHITE = Image.new("RGB", (64, 64), "white")


def test_recordings() -> None:
    found = replay(GOLDEN)
    assert found.total == 120 and found.mismatches == ()


@pytest.mark.parametrize("part", ["per_item", "dpg_score", "l2", "l1"])
def test_recordings_are_really_compared(tmp_path: Path, part: str) -> None:
    data = json.loads(GOLDEN.read_text())
    case = next(c for c in data["cases"] if c["expected"]["l1"])
    wrong = case["expected"][part]
    case["expected"][part] = 12.5 if part == "dpg_score" else {name: 12.5 for name in wrong}
    (tmp_path / "a.json").write_text(json.dumps({**data, "cases": [case]}))
    assert replay(tmp_path / "a.json").matched == 0


def row(item: str, number: int, dependency: str = "0", category: str = "entity - whole") -> dict[str, str]:
    return {
        "item_id": item,
        "proposition_id": str(number),
        "dependency": dependency,
        "tuple": f"{category} (x{number}, y)",
        "question_natural_language": f"q{number}?",
    }


FIRST = row("other", 1)
CHAIN = (row("a", 1), row("a", 2, "1"), row("a", 3, "2"))
# Rows behind a first one that is dropped, the yes of questions by number, official, strict.
TABLE: list[tuple[str, Sequence[dict[str, str]], Mapping[int, bool], float | None, float | None]] = [
    ("in order", [FIRST, *CHAIN], {1: False, 2: True, 3: True}, 0.0, 0.0),
    ("against the order", [FIRST, *CHAIN[::-1]], {1: False, 2: True, 3: True}, 1 / 3, 0.0),
    ("all yes", [FIRST, *CHAIN[::-1]], {1: True, 2: True, 3: True}, 1.0, 1.0),
    ("two parents", [FIRST, *CHAIN[:2], row("a", 4, "1, 2")], {1: True, 2: False, 4: True}, 1 / 3, 1 / 3),
    ("dropped parent", CHAIN, {1: True, 2: True, 3: True}, None, 1.0),
    ("dropped parent, answered no", CHAIN, {1: False, 2: True, 3: True}, None, 0.0),
    ("dropped leaf", [row("a", 9), *CHAIN], {1: True, 2: True, 3: False, 9: True}, 2 / 3, 3 / 4),
    # The official walk stops at the first parent that is 0, so the dropped one is asked for only behind a yes.
    ("dropped parent behind a no", [row("a", 1), row("a", 2), row("a", 3, "2, 1")], {1: True, 2: False, 3: True}, 0.0, 1 / 3),
    ("dropped parent behind a yes", [row("a", 1), row("a", 2), row("a", 3, "2, 1")], {1: True, 2: True, 3: True}, None, 1.0),
    ("nothing but the dropped row", [row("a", 1)], {1: True}, None, 1.0),
    ("a parent that is nowhere", [FIRST, row("a", 1), row("a", 2, "7")], {1: True, 2: True}, None, None),
    ("in a circle", [FIRST, row("a", 1, "2"), row("a", 2, "1")], {1: True, 2: True}, 1.0, 1.0),
    ("in a circle with a no", [FIRST, row("a", 1, "2"), row("a", 2, "1")], {1: True, 2: False}, 0.0, 0.0),
    # Rows apart start the item anew; a repeated id overwrites.
    ("two blocks", [FIRST, row("a", 1), row("b", 1), row("a", 2)], {1: False, 2: True}, 1.0, 1 / 2),
    ("an id twice", [FIRST, row("a", 1, category="old"), row("a", 1)], {1: True}, 1.0, 1.0),
]


class Scripted:
    """A judge that answers by a table, whatever stands behind the question."""

    name = "scripted"
    concurrency = 1

    def __init__(self, answers: Callable[[str], str | Reply]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def identity(self) -> dict[str, Any]:
        return {}

    def ask(self, question: str, images: Sequence[Image.Image] = (), **more: Any) -> Reply:
        assert len(images) == 1
        self.asked.append((question, more))
        reply = self.answers(question)
        return reply if isinstance(reply, Reply) else Reply(text=reply)


def sample_of(table: Sequence[dict[str, str]], item: str = "a") -> Sample:
    questions = [q.to_json() for q in rules.items(table)[item]]
    return Sample(sample_id=item, task="dpg", prompt=item, metadata={"item_id": item, "questions": json.loads(json.dumps(questions))})


def output(sample: Sample, repeat: int = 0) -> Output:
    return Output(sample_id=sample.sample_id, task="dpg", repeat=repeat, seed=1, outcome=Outcome.OK)


def said(yes: Mapping[int, bool]) -> Scripted:
    return Scripted(lambda question: "yes" if yes[int(question[1 : question.index("?")])] else "no")


@pytest.mark.parametrize(("table", "yes", "official", "strict"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_both_policies(table: Any, yes: Mapping[int, bool], official: float | None, strict: float | None) -> None:
    sample = sample_of(table)
    score = DpgScorer(roles={"judge": said(yes)}).score(sample, output(sample), WHITE)
    wanted = {name: 100 * value for name, value in (("score", official), ("strict", strict)) if value is not None}
    assert score.values == pytest.approx(wanted)
    assert score.outcome is (Outcome.OK if wanted else Outcome.NOT_APPLICABLE)
    if wanted:
        lost = {name: "not_applicable" for name, value in (("score", official), ("strict", strict)) if value is None}
        assert score.evidence.get("outcomes", {}) == lost
    if official is None:
        assert "leaves it out" in score.reason


def test_the_strict_policy_does_not_look_at_the_order_of_the_rows() -> None:
    import itertools

    yes, found = {1: True, 2: False, 3: True, 4: True}, set()
    questions = [Question(1, "", (0,), ""), Question(2, "", (1,), ""), Question(3, "", (2,), ""), Question(4, "", (3, 1), "")]
    for order in itertools.permutations(questions):
        found.add((rules.official_score(order, yes), rules.strict_score(order, yes)))
    assert {strict for _, strict in found} == {0.25}
    assert {official for official, _ in found} == {0.25, 0.5}


def test_cells_are_text_and_categories_stand_before_the_bracket() -> None:
    question = rules.read_row(row("a", 3, " 1 ,2", "attribute - color") | {"tuple": "attribute - color (car, red (dark))"})
    assert question == Question(3, "q3?", (1, 2), "attribute - color", True)
    assert rules.broad(question.category) == "attribute"
    # A table whose dependencies were read as numbers is read all the same.
    assert rules.read_row({**row("a", 1), "dependency": 0}).dependency == (0,)
    with pytest.raises(ValueError):
        rules.read_row(row("a", 1, "1;2"))


REPLIES = [
    ("yes", 100.0, 100.0),
    ("no", 0.0, 0.0),
    ("Yes", 0.0, 100.0),
    ("yes.", 0.0, 100.0),
    ('"Yes."', 0.0, 100.0),
    ("**yes**", 0.0, 100.0),
    ("No.", 0.0, 0.0),
    ("yes, there is a cat", 0.0, None),
    ("I cannot tell.", 0.0, None),
    ("", 0.0, None),
]


@pytest.mark.parametrize(("reply", "official", "strict"), REPLIES)
def test_replies(reply: str, official: float, strict: float | None) -> None:
    sample = sample_of([FIRST, row("a", 1)])
    score = DpgScorer(roles={"judge": Scripted(lambda _: reply)}).score(sample, output(sample), WHITE)
    assert score.values == ({"score": official} if strict is None else {"score": official, "strict": strict})
    if strict is None:
        assert score.evidence["outcomes"] == {"strict": "judge_unparsed"} and "neither yes nor no to: q1?" in score.reason
        assert rows([sample], 1, [score], "strict")[0].outcome is Outcome.JUDGE_UNPARSED
    word = DpgScorer(roles={"judge": Scripted(lambda _: reply)}, reading="word").score(sample, output(sample), WHITE)
    assert word.values["score"] == (strict or 0.0)


def test_the_documented_table_is_the_tested_one() -> None:
    page = (Path(__file__).parents[3] / "docs/benchmarks/dpg.md").read_text("utf-8")
    for reply, official, strict in REPLIES:
        told = "judge_unparsed" if strict is None else "yes" if strict else "no"
        assert f"| {f'`{reply}`' if reply else '(empty)'} | {'yes' if official else 'no'} | {told} |\n" in page, reply


@pytest.mark.parametrize("outcome", [Outcome.JUDGE_ERROR, Outcome.REFUSED])
def test_a_failed_reply_keeps_its_outcome_and_nobody_is_asked_on(outcome: Outcome) -> None:
    judge = Scripted(lambda q: Reply(outcome=outcome, error="It did not answer.") if q.startswith("q2") else "yes")
    sample = sample_of([FIRST, *CHAIN])
    score = DpgScorer(roles={"judge": judge}).score(sample, output(sample), WHITE)
    assert (score.outcome, score.values, score.reason, len(judge.asked)) == (outcome, {}, "It did not answer.", 2)


def test_what_is_asked_and_kept() -> None:
    judge, sample = said({1: True, 2: False, 9: True}), sample_of([row("a", 9), *CHAIN[:2]])
    score = DpgScorer(roles={"judge": judge}, instruction="Say yes or no.", max_tokens=5).score(sample, output(sample), WHITE)
    assert [q for q, _ in judge.asked] == ["q1? Say yes or no.", "q2? Say yes or no.", "q9? Say yes or no."]
    assert all(more == {"max_tokens": 5} for _, more in judge.asked)
    assert [(a["id"], a["official"], a["reply"], a["yes"]) for a in score.evidence["answers"]] == [
        (1, True, "yes", True),
        (2, True, "no", False),
        (9, False, "yes", True),
    ]
    assert score.reason == "2 of 3 questions answered yes; no to: q2?"
    bare = said({1: True, 2: False, 9: True})
    DpgScorer(roles={"judge": bare}, instruction="").score(sample, output(sample), WHITE)
    assert bare.asked[0][0] == "q1?"


def test_no_picture_and_no_questions() -> None:
    scorer, sample = DpgScorer(roles={"judge": said({})}), sample_of([FIRST, row("a", 1)])
    assert scorer.score(sample, output(sample), None).outcome is Outcome.MISSING
    with pytest.raises(DataError, match="got no readable questions"):
        scorer.score(Sample(sample_id="a", task="dpg", prompt="a", metadata={}), output(sample), WHITE)


def test_settings_are_checked() -> None:
    with pytest.raises(PluginError, match="got no judge"):
        DpgScorer(roles={})
    with pytest.raises(PluginError, match="reading: got loose; expected one of exact, word"):
        DpgScorer(roles={"judge": said({})}, reading="loose")
    with pytest.raises(PluginError, match="max_tokens: got 0"):
        DpgScorer(roles={"judge": said({})}, max_tokens=0)


def circle(yes: str, no: str) -> Scripted:
    return Scripted(lambda question: yes if "circle" in question else no)


def test_the_self_check_passes_judges_that_answer_in_the_words_of_the_rule() -> None:
    DpgScorer(roles={"judge": ShapesJudge()}).canary()
    DpgScorer(roles={"judge": circle("yes", "no")}).canary()
    DpgScorer(roles={"judge": circle("Yes.", "No.")}, reading="word").canary()


@pytest.mark.parametrize(
    ("judge", "told"),
    [
        (circle("Yes", "no"), 'got "Yes" to "Is there a red circle?" about a red circle; expected yes, and just so'),
        (circle("yes", "yes"), 'got "yes" to "Is there a blue star?"'),
        (circle("no", "no"), 'got "no" to "Is there a red circle?"'),
        (circle("yes", "I see a red circle."), 'got "I see a red circle." to "Is there a blue star?"'),
        (Scripted(lambda _: Reply(outcome=Outcome.JUDGE_ERROR, error="It is down.")), "got It is down. to"),
    ],
)
def test_the_self_check_stops_others(judge: Scripted, told: str) -> None:
    with pytest.raises(CanaryError) as caught:
        DpgScorer(roles={"judge": judge}).canary()
    assert told in str(caught.value) and "No score was written." in str(caught.value)


def test_the_self_check_asks_nobody_in_a_replay_or_where_it_is_switched_off() -> None:
    for name, value in (("replay", True), ("wants_canary", False)):
        judge = circle("nonsense", "nonsense")
        setattr(judge, name, value)
        DpgScorer(roles={"judge": judge}).canary()
        assert judge.asked == []


def test_the_self_check_sees_other_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "official_score", rules.strict_score)
    with pytest.raises(CanaryError, match="are not DPG-Bench's"):
        DpgScorer(roles={"judge": ShapesJudge()}).canary()


# Two items of two pictures; the first table row is a leaf of the first.
TWO = [
    row("a", 9, category="global"),
    row("a", 1, category="entity - whole"),
    row("a", 2, "1", "attribute - color"),
    row("b", 1, category="entity - whole"),
    row("b", 2, "1", "attribute - size"),
]


def judged(answers: Mapping[tuple[str, int], str], table: Sequence[dict[str, str]] = TWO) -> tuple[list[Sample], list[Score]]:
    """Scores of (item, repeat) -> y or n by question in the scorer's order, x for a failed judge, - for nothing."""
    samples, scores = [sample_of(table, item) for item in rules.items(table)], []
    for sample in samples:
        for repeat in range(2):
            word = iter(answers[sample.sample_id, repeat])

            def reply(_: str, word: Any = word) -> str | Reply:
                return {"y": "yes", "n": "no", "?": "hm"}.get(next(word), Reply(outcome=Outcome.JUDGE_ERROR, error="down"))

            scores.append(DpgScorer(roles={"judge": Scripted(reply)}).score(sample, output(sample, repeat), WHITE))
    return samples, scores


def overall(samples: Sequence[Sample], scores: Sequence[Score], value: str = "score") -> Metric:
    table = rows(samples, 2, scores, value, scale=(0.0, 100.0))
    return dpg_overall(table, value=value, task="*", kind="headline", seed=0)


def categories(samples: Sequence[Sample], scores: Sequence[Score]) -> dict[tuple[str, str], Metric]:
    table = rows(samples, 2, scores, "score", scale=(0.0, 100.0))
    return {(m.name, m.task): m for m in dpg_categories(table, value="score", task="*", kind="more", seed=0)}


def test_sums_over_items_and_categories() -> None:
    # Order of questions: those the official loader keeps, then the dropped one.
    samples, scores = judged({("a", 0): "nyy", ("a", 1): "yny", ("b", 0): "yy", ("b", 1): "ny"})
    assert [s.values["score"] for s in scores] == [0.0, 50.0, 100.0, 0.0]
    assert [s.values["strict"] for s in scores] == pytest.approx([100 / 3, 200 / 3, 100.0, 0.0])
    assert overall(samples, scores).value == pytest.approx((25 + 50) / 2)
    assert overall(samples, scores, "strict").value == pytest.approx((50 + 50) / 2)
    found = categories(samples, scores)
    # Officially the last picture alone, un-zeroed, without the dropped row.
    official = {key: m.value for key, m in found.items() if "strict" not in key[0]}
    assert official == pytest.approx(
        {
            ("L1", "entity"): 50.0,
            ("L1", "attribute"): 50.0,
            ("L2", "entity - whole"): 50.0,
            ("L2", "attribute - color"): 0.0,
            ("L2", "attribute - size"): 100.0,
        }
    )
    strict = {key[1]: m.value for key, m in found.items() if key[0] == "L2 (strict)"}
    assert strict == pytest.approx({"entity - whole": 50.0, "attribute - color": 50.0, "attribute - size": 100.0, "global": 100.0})
    both = found["L2 (strict)", "entity - whole"]
    assert (both.n, both.n_samples, both.unit) == (4, 2, "points") and 0.0 <= both.low < 50.0 < both.high <= 100.0
    last = found["L2", "attribute - size"]
    assert (last.n, last.n_expected, last.high) == (1, 1, 100.0) and last.low < 100.0


def test_an_item_counts_once_however_many_of_its_pictures_are_scored() -> None:
    samples, scores = judged({("a", 0): "yyy", ("a", 1): "x", ("b", 0): "ny", ("b", 1): "ny"})
    metric = overall(samples, scores)
    assert (metric.value, metric.n, metric.outcomes) == (50.0, 3, {"ok": 3, "judge_error": 1})
    # The last picture of a has no answers: its categories are lacking, not no.
    color = categories(samples, scores)["L2", "attribute - color"]
    assert (color.value, color.n, color.outcomes) == (None, 0, {"judge_error": 1})


def test_an_item_that_the_official_code_leaves_out_counts_under_the_strict_policy_alone() -> None:
    table = [row("a", 1), row("a", 2), row("a", 3, "2, 1"), row("b", 1), row("b", 2)]
    # The first picture has an official score, but the second raises: the item is left out as a whole.
    samples, scores = judged({("a", 0): "nyy", ("a", 1): "yyy", ("b", 0): "yn", ("b", 1): "yy"}, table)
    assert [s.values.get("score") for s in scores] == [0.0, None, 50.0, 100.0]
    metric = overall(samples, scores)
    assert (metric.value, metric.n, metric.outcomes) == (75.0, 2, {"ok": 2, "not_applicable": 2})
    assert item_scores(rows(samples, 2, scores, "score")) == {"a": None, "b": 0.75}
    assert overall(samples, scores, "strict").value == pytest.approx((100 * (1 / 3 + 1) / 2 + 75) / 2)
    entity = categories(samples, scores)
    assert entity["L1", "entity"].value == 100.0 and entity["L1", "entity"].outcomes == {"ok": 1, "not_applicable": 1}
    assert entity["L1 (strict)", "entity"].value == pytest.approx(100 * (2 + 3 + 1 + 2) / 10)


def test_an_unreadable_answer_is_lacking_in_the_strict_categories() -> None:
    samples, scores = judged({("a", 0): "y?y", ("a", 1): "yyy", ("b", 0): "yy", ("b", 1): "yy"})
    color = categories(samples, scores)["L2 (strict)", "attribute - color"]
    assert (color.value, color.n, color.outcomes) == (100.0, 1, {"ok": 1, "judge_unparsed": 1})


def test_nothing_scored_is_no_number() -> None:
    samples, scores = judged({(item, repeat): "x" for item in "ab" for repeat in (0, 1)})
    metric = overall(samples, scores)
    assert (metric.value, metric.low, metric.outcomes) == (None, None, {"judge_error": 4})
    assert all(m.value is None for m in categories(samples, scores).values())
