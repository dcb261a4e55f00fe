"""GEdit: replies read by both policies, two questions asked again together, the official averages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals.errors import DataError, PluginError
from evals.protocols import Reply
from evals.scorers import gedit_rules as rules
from evals.scorers.gedit import GEditScorer
from evals.types import Outcome, Output, Sample, Score

SC, PQ = '{"score": [8, 7], "reasoning": "a"}', '{"score": [9, 9], "reasoning": "b"}'


@pytest.mark.parametrize(
    ("reply", "official", "strict"),
    [
        ('{"score" : [8, 8], "reasoning" : "fine"}', 8, 8),
        ('||V^=^V||\n{"score": [5, 2]}\n||V^=^V||', 2, 2),
        ("[7, 5]", 5, 5),
        ("Scores: [2, 5]", 2, 2),
        ("6", 6, None),
        ("11", None, None),
        ('{"score": 5, "reasoning": "fine"}', 5, None),
        ("{score: 5, reasoning: fine}", 5, None),
        ("{score: [9, 8]}", None, 8),
        ('{"score" : [4, 3], "reasoning" : "he said "hi""}', None, 3),
        ('Text {"score" : [2, 5]} more } text', None, 2),
        ("[4, 0, 3]", None, None),
        ('{"scores": [6, 0]}', None, 0),
        ('{"score": [7.5, 9]}', 7.5, 7.5),
        ("[85, 9]", 9, None),
        ('{"score": [-1, 3]}', -1, None),
        ('{"score": ["7", 8]}', None, None),
        ('{"score": []}', None, None),
        ('{"score": [1, 2]} {"score": [3, 4]}', None, None),
        ("[07, 5]", None, 5),
        ("I cannot judge this.", None, None),
        ("[" * 100_000, None, None),
    ],
)
def test_replies(reply: str, official: float | None, strict: float | None) -> None:
    assert (rules.lowest(rules.parse(reply)), rules.strict(reply).value) == (official, strict)


def test_overall_is_the_geometric_mean() -> None:
    assert (rules.overall(8, 8), rules.overall(2, 8), rules.overall(0, 9)) == (8.0, 4.0, 0.0)


def test_a_type_without_rows_poisons_the_average_and_only_that() -> None:
    def row(group: str, sc: float, pq: float, **more: Any) -> dict[str, Any]:
        base = {"intersection_exist": True, "instruction_language": "en"}
        return {"group": group, "sementics_score": sc, "quality_score": pq, **base, **more}

    rows = [row(name, 4, 9) for name in rules.TYPES] + [
        row("ps_human", 0, 9, intersection_exist=False),
        row("ps_human", 9, 9, instruction_language="cn"),
    ]
    found = rules.statistics(rows, "en")
    assert found["overall"]["ps_human"] == 3.0 and found["overall"]["avg_overall"] == pytest.approx((10 * 6 + 3) / 11)
    assert found["overall_intersection"]["avg_overall"] == 6.0
    poisoned = rules.statistics(rows[1:], "en")
    assert math.isnan(poisoned["quality"]["avg_quality"]) and poisoned["quality"]["ps_human"] == 9.0


class Said:
    """A judge that gives its replies in order; remembers what it was asked."""

    name, concurrency = "said", 1

    def __init__(self, *texts: str | Reply) -> None:
        self.replies = [text if isinstance(text, Reply) else Reply(text=text) for text in texts]
        self.asked: list[tuple[str, list[Image.Image], dict[str, Any]]] = []

    def identity(self) -> dict[str, Any]:
        return {"judge": self.name}

    def ask(self, question: str, images: Any = (), **settings: Any) -> Reply:
        self.asked.append((question, list(images), settings))
        return self.replies.pop(0)


def score(judge: Said, *, image: Image.Image | None = None, source: Image.Image | None = None, **kwargs: Any) -> Score:
    scorer = GEditScorer(roles={"judge": judge}, **{"rubric": "mini", **kwargs})
    sample = Sample(sample_id="k1", task="color_alter", prompt="make it blue", metadata={"key": "k1"}, image="a.png")
    output = Output(sample_id="k1", task="color_alter", repeat=0, seed=0, outcome=Outcome.OK)
    return scorer.score(sample, output, image or Image.new("RGB", (8, 8)), source=source or Image.new("RGB", (4, 6)))


def test_two_questions_and_the_edit_at_the_sources_size() -> None:
    ramp = Image.linear_gradient("L").convert("RGB").resize((32, 32))
    source = Image.new("RGB", (20, 12), "blue")
    judge = Said(SC, PQ)
    found = score(judge, image=ramp, source=source)
    (_, pair, first), (_, single, _) = judge.asked
    assert [image.size for image in pair] == [(20, 12), (20, 12)] and pair[0].getpixel((0, 0)) == (0, 0, 255)
    assert pair[1].tobytes() == single[0].tobytes() == ramp.resize((20, 12), Image.Resampling.BICUBIC).tobytes()
    assert first["attempt"] == 0 and first["max_tokens"] == 512 and "make it blue" in judge.asked[0][0]
    assert found.values == {"sc": 7.0, "pq": 9.0, "overall": math.sqrt(63), "strict": math.sqrt(63)}


def test_both_are_asked_again_once_when_one_cannot_be_read() -> None:
    judge = Said("hm", PQ, SC, '{"score": [4, 4]}')
    found = score(judge)
    assert [settings["attempt"] for _, _, settings in judge.asked] == [0, 0, 1, 1]
    # The official reading takes the second replies, the strict one the first that it can read.
    assert found.values == {"sc": 7.0, "pq": 4.0, "overall": math.sqrt(28), "strict": math.sqrt(63)}


def test_a_second_failure_is_no_number() -> None:
    judge = Said("hm", PQ, "hm again", PQ)
    found = score(judge)
    assert len(judge.asked) == 4 and found.outcome is Outcome.JUDGE_UNPARSED and found.values == {}
    assert found.reason.startswith("sc: none of 2 replies can be read")
    found = score(Said('{score: [9, 8], reasoning: "x"}', PQ, '{score: [9, 8], reasoning: "x"}', PQ))
    assert found.values == {"strict": math.sqrt(72)}
    assert found.evidence["outcomes"] == {name: "judge_unparsed" for name in ("sc", "pq", "overall")}


def test_the_official_guess_only_on_demand_seeded_and_told() -> None:
    def guessed(seed: int, *texts: str) -> Score:
        return score(Said(*texts), random_guess=True, guess_seed=seed)

    found = guessed(3, "hm", PQ, "hm", PQ)
    assert found == guessed(3, "hm", PQ, "hm", PQ)
    assert found.values["sc"] == found.evidence["guessed"]["sc"] == rules.guess(3, "k1", "0", "sc") and "guessed" in found.reason
    assert len({rules.guess(seed, "k1", "0", "sc") for seed in range(200)}) == 11
    # The official code guesses on the second try also where the reply is a bare list; never where there are braces.
    assert set(guessed(3, "hm", PQ, "[7, 7]", "[7, 7]").evidence["guessed"]) == {"sc", "pq"}
    assert guessed(3, "{hm}", PQ, "{hm}", PQ).outcome is Outcome.JUDGE_UNPARSED


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ((Reply(outcome=Outcome.REFUSED, error="no"),), Outcome.REFUSED),
        ((SC, Reply(outcome=Outcome.JUDGE_ERROR, error="no")), Outcome.JUDGE_ERROR),
        (("rate_limit_exceeded",), Outcome.JUDGE_ERROR),
        (('{"score": [-1, 3]}', PQ), Outcome.OFF_SCALE),
    ],
)
def test_failures_have_their_outcome(replies: tuple[str | Reply, ...], outcome: Outcome) -> None:
    found = score(Said(*replies))
    assert found.outcome is outcome and found.values == {}


def test_official_questions_are_read_from_the_file_and_never_run(tmp_path: Path) -> None:
    texts = {
        "_context_no_delimit": "C",
        "_prompts_0shot_two_image_edit_rule": "E",
        "_prompts_0shot_tie_rule_SC": "S <instruction>",
        "_prompts_0shot_rule_PQ": "Q",
    }
    file = tmp_path / "vie_prompts.py"
    file.write_text("".join(f'{name} = """{text}"""\n' for name, text in texts.items()) + 'raise SystemExit("run")\n')
    judge = Said(SC, PQ)
    score(judge, rubric="official", folder=str(tmp_path))
    assert [question for question, _, _ in judge.asked] == ["C\nE\nS make it blue", "C\nQ"]
    file.write_text('_context_no_delimit = "C"\n')
    with pytest.raises(DataError, match="got no text _prompts_0shot_two_image_edit_rule; expected VIEScore's prompts"):
        score(judge, rubric="official", folder=str(tmp_path))
    with pytest.raises(DataError, match=r"gedit: got no vie_prompts\.py in"):
        score(judge, rubric="official", folder=str(tmp_path / "none"))
    with pytest.raises(PluginError, match="scorer gedit: tries: got 0"):
        score(judge, tries=0)
