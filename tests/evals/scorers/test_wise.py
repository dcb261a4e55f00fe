"""WISE: recorded readings and sums, replies worked by hand, tries and outcomes, the rubric out of a script, the suite end to end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals import replay_wise
from evals.errors import DataError, PluginError
from evals.metrics.aggregate import rows
from evals.metrics.wise import wise_overall
from evals.parity import replay
from evals.protocols import Reply
from evals.scorers import wise_rules as rules
from evals.scorers.wise import MINI, WiseScorer
from evals.scorers.wise_rubric import read_rubric
from evals.types import Outcome, Output, Sample, Score

GOLDEN = Path(__file__).parents[2] / "data/golden/scorers"
THREE = "Consistency: 2\nRealism: 1\nAesthetic Quality: 0"


@pytest.mark.parametrize("name", ["wise_parse", "wise_aggregate"])
def test_recordings(name: str) -> None:
    assert replay(GOLDEN / f"{name}.json").mismatches == ()


def test_recordings_are_really_compared(tmp_path: Path) -> None:
    data = json.loads((GOLDEN / "wise_parse.json").read_text())
    data["cases"] = [{"id": 1, "inputs": {"judge_text": THREE}, "expected": {"legacy": {}, "legacy_wiscore": None, "verified": {}}}]
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert replay(tmp_path / "a.json").matched == 0


def test_verified_sums() -> None:
    # All of culture, half of time, none of the rest: 0.4 + 0.06.
    digits = "1" * 400 + "10" * 60 + "0" * 480
    assert replay_wise.aggregate({"version": "verified", "scores_string": digits}) == {
        "category_avg": {"CULTURE": 1.0, "TIME": 0.5, "SPACE": 0.0, "BIOLOGY": 0.0, "PHYSICS": 0.0, "CHEMISTRY": 0.0},
        "overall_printed_2dp": 0.46,
        "final_line": "1.00\t\t0.50\t0.00\t0.00\t0.00\t0.00\t\t0.46",
    }
    # Marks beyond the scale and prompts without one are passed over: every other prompt of time is still right.
    assert (
        replay_wise.aggregate({"version": "verified", "scores_string": digits[:402] + "7x" + digits[404:]})["category_avg"]["TIME"]
        == 59 / 118
    )
    with pytest.raises(ValueError, match="has no prompt"):
        replay_wise.aggregate({"version": "verified", "scores_string": digits[:880]})


def test_sums_are_added_one_by_one() -> None:
    # The overall is a multiple of 0.001; where it ends in 5 its last digit decides how it prints, so the script's plain additions
    # are kept, in their order.
    found = random.Random(0)
    for _ in range(200):
        culture, *others = means = [found.randrange(401) / 400, *(found.randrange(121) / 120 for _ in range(5))]
        total = 0.4 * culture
        for mean in others:
            total = total + 0.12 * mean
        weights = {one.name: one.weight for one in rules.CATEGORIES["verified"]}
        assert rules.weighted_overall(dict(zip(weights, means, strict=True)), weights) == total


# Reply, official legacy WiScore, strict legacy WiScore, official mark, strict mark.
TABLE = [
    (THREE, 0.8, 0.8, None, None),
    ("**Consistency**: 2\n**Realism**: 1\n**Aesthetic Quality**: 0", 0.8, 0.8, None, None),
    ("**Consistency:** 2\n**Realism:** 1\n**Aesthetic Quality:** 0", None, 0.8, None, None),
    ("Consistency (0-2): 2\nRealism (0-2): 1\nAesthetic Quality (0-2): 0", None, 0.8, None, None),
    ("Consistency：2\nRealism：1\nAesthetic Quality：0", None, 0.8, None, None),
    ("Consistency: 1.5\nRealism: 1\nAesthetic Quality: 1", 0.5, None, None, None),
    ("Consistency: 10\nRealism: 1\nAesthetic Quality: 1", 0.5, None, None, None),
    ("Consistency: 2/2\nRealism: 1/2\nAesthetic Quality: 0/2", 0.8, None, None, None),
    ("Consistency: 0\nRealism: 1\nAesthetic Quality: 0\nConsistency: 2", 0.8, None, None, None),
    ("Consistency: 2\nRealism: 2", None, None, None, None),
    ("2\n1\n0", 0.8, 0.8, None, None),
    ("The image\n2\n1\n0", 0.8, None, None, None),
    ("2\n1\n0\n0", 0.8, None, None, None),
    ("Score: 1", None, None, 1.0, 1.0),
    ("**Score:** 1", None, None, None, 1.0),
    ("score 0.", None, None, 0.0, 0.0),
    ("Score: 0\nScore: 1", None, None, 0.0, None),
    ("Score: 10", None, None, None, None),
    ("1", None, None, 1.0, 1.0),
    ("I cannot help with that.", None, None, None, None),
]


@pytest.mark.parametrize(("text", "legacy", "strict_legacy", "verified", "strict_verified"), TABLE)
def test_readings(
    text: str, legacy: float | None, strict_legacy: float | None, verified: float | None, strict_verified: float | None
) -> None:
    got = (rules.wiscore(rules.parse_legacy(text)), rules.wiscore(rules.strict_legacy(text)))
    assert got == (
        pytest.approx(legacy) if legacy is not None else None,
        pytest.approx(strict_legacy) if strict_legacy is not None else None,
    )
    assert rules.parse_verified(text).get("score") == verified
    assert rules.strict_verified(text).get("score") == strict_verified


def test_the_documented_table_is_the_tested_one() -> None:
    def cell(value: float | None) -> str:
        return "none" if value is None else f"{value:g}"

    page = (Path(__file__).parents[3] / "docs/benchmarks/wise.md").read_text("utf-8")
    for text, *values in TABLE:
        told = " | ".join((f"`{text}`".replace("\n", " ⏎ "), *map(cell, values)))
        assert f"| {told} |\n" in page, text


@pytest.mark.parametrize(
    ("number", "legacy", "verified"),
    [
        (1, "CULTURE", "CULTURE"),
        (400, "CULTURE", "CULTURE"),
        (401, "TIME", "TIME"),
        (521, "TIME", "SPACE"),
        (567, "TIME", "SPACE"),
        (568, "SPACE", "SPACE"),
        (700, "SPACE", "BIOLOGY"),
        (801, "PHYSICS", "PHYSICS"),
        (881, "PHYSICS", "CHEMISTRY"),
        (1000, "CHEMISTRY", "CHEMISTRY"),
    ],
)
def test_categories_go_by_number(number: int, legacy: str, verified: str) -> None:
    assert (rules.category_of(number, "legacy").name, rules.category_of(number, "verified").name) == (legacy, verified)
    assert rules.category_of(0, "legacy") is rules.category_of(1001, "verified") is None


def test_weights_sum_to_one() -> None:
    for version in rules.CATEGORIES.values():
        assert sum(one.weight for one in version) == pytest.approx(1.0)
        assert [one.first for one in version[1:]] == [one.last + 1 for one in version[:-1]]


class Scripted:
    """A judge that gives its replies in order and remembers the tries."""

    name = "scripted"
    concurrency = 1

    def __init__(self, *replies: str | Reply) -> None:
        self.replies = [reply if isinstance(reply, Reply) else Reply(text=reply) for reply in replies]
        self.asked: list[dict[str, Any]] = []

    def identity(self) -> dict[str, Any]:
        return {}

    def ask(self, question: str, images: Sequence[Image.Image] = (), **more: Any) -> Reply:
        self.asked.append({"question": question, "images": list(images), **more})
        return self.replies[len(self.asked) - 1]


ROW = {"Prompt": "a photo of a star", "Explanation": "one yellow star", "prompt_id": 7}
SAMPLE = Sample(sample_id="0007", task="CULTURE", prompt=ROW["Prompt"], metadata=ROW)
OUTPUT = Output(sample_id="0007", task="CULTURE", repeat=0, seed=1, outcome=Outcome.OK)
WHITE = Image.new("RGB", (64, 64), "white")


def judged(*replies: str | Reply, mode: str = "legacy", tries: int = 3) -> tuple[Score, Scripted]:
    judge = Scripted(*replies)
    return WiseScorer(roles={"judge": judge}, mode=mode, rubric="mini", tries=tries).score(SAMPLE, OUTPUT, WHITE), judge


def test_marks_become_values() -> None:
    score, judge = judged(THREE)
    assert score.outcome is Outcome.OK
    assert score.values == pytest.approx({"wiscore": 0.8, "consistency": 2, "realism": 1, "aesthetic": 0, "strict": 0.8})
    assert len(judge.asked) == 1 and judge.asked[0]["attempt"] == 0 and judge.asked[0]["images"] == [WHITE]
    assert '"a photo of a star"' in judge.asked[0]["question"] and '"one yellow star"' in judge.asked[0]["question"]


def test_a_partial_reply_is_asked_again_and_its_number_told() -> None:
    score, judge = judged("Consistency: 2\nRealism: 2", "hm", THREE)
    assert score.values["wiscore"] == pytest.approx(0.8)
    assert [one["attempt"] for one in judge.asked] == [0, 1, 2]
    assert len(score.evidence["replies"]) == 3


def test_three_failed_tries_are_unparsed_never_zero() -> None:
    score, judge = judged("hm", "hm", "hm")
    assert (score.outcome, score.values, len(judge.asked)) == (Outcome.JUDGE_UNPARSED, {}, 3)


def test_strict_alone_has_a_value_and_types_the_official_one() -> None:
    bold = "**Consistency:** 2\n**Realism:** 1\n**Aesthetic Quality:** 0"
    score, _ = judged(bold, bold, bold)
    assert score.outcome is Outcome.OK and score.values == {"strict": pytest.approx(0.8)}
    assert score.evidence["outcomes"]["wiscore"] == "judge_unparsed"
    row = rows([SAMPLE], 1, [score], "wiscore")[0]
    assert (row.outcome, row.value) == (Outcome.JUDGE_UNPARSED, None)


def test_official_alone_types_the_strict_one() -> None:
    score, _ = judged("Consistency: 1.5\nRealism: 1\nAesthetic Quality: 1")
    assert score.values["wiscore"] == pytest.approx(0.5) and "strict" not in score.values
    assert score.evidence["outcomes"] == {"strict": "judge_unparsed"}


def test_a_mark_beyond_the_scale() -> None:
    assert judged("Consistency: 5\nRealism: 1\nAesthetic Quality: 1")[0].outcome is Outcome.OFF_SCALE


@pytest.mark.parametrize("outcome", [Outcome.JUDGE_ERROR, Outcome.REFUSED])
def test_a_failed_reply_keeps_its_outcome(outcome: Outcome) -> None:
    score, judge = judged("hm", Reply(outcome=outcome, error="It did not answer."))
    assert (score.outcome, score.reason, len(judge.asked)) == (outcome, "It did not answer.", 2)


def test_verified_marks() -> None:
    score, judge = judged("hm", "**Score**: 1", mode="verified")
    assert score.values == {"wiscore": 1.0, "strict": 1.0}
    assert judge.asked[0]["question"].startswith(str(MINI["verified"].parts[0]))


def test_settings_are_checked() -> None:
    with pytest.raises(PluginError, match="no judge"):
        WiseScorer(roles={}, rubric="mini")
    with pytest.raises(PluginError, match="got fast; expected one of legacy, verified"):
        WiseScorer(roles={"judge": Scripted()}, mode="fast", rubric="mini")
    with pytest.raises(PluginError, match="tries: got 0"):
        WiseScorer(roles={"judge": Scripted()}, rubric="mini", tries=0)
    WiseScorer(roles={"judge": Scripted()}, rubric="mini").canary()


SCRIPT = '''
import os
HEAD = "You are strict."

def other(x):
    return [{"role": "user", "content": "not this one"}]

def build_evaluation_messages(prompt_data, image_base64):
    closing = f"EXPLANATION: {prompt_data.get('Explanation', '')}"
    return [
        {"role": "system", "content": [{"type": "text", "text": HEAD}]},
        {"role": "user", "content": [
            {"type": "text", "text": f"""Give {{three}} marks.
PROMPT: "{prompt_data['Prompt']}"
""" + closing},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image_base64}"}},
        ]},
    ]

os.abort()
'''


def test_the_rubric_comes_out_of_the_script_and_the_script_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "WISE_legacy").mkdir()
    (tmp_path / "WISE_legacy/gpt_eval.py").write_text(SCRIPT)
    judge = Scripted(THREE)
    WiseScorer(roles={"judge": judge}, folder=str(tmp_path)).score(SAMPLE, OUTPUT, WHITE)
    (asked,) = judge.asked
    assert asked["question"] == 'Give {three} marks.\nPROMPT: "a photo of a star"\nEXPLANATION: one yellow star'
    assert (asked["system"], asked["images_first"], asked["max_tokens"]) == ("You are strict.", False, 2000)


def test_the_image_may_come_first(tmp_path: Path) -> None:
    path = tmp_path / "vllm_eval.py"
    content = """[{"type": "image_url"}, {"type": "text", "text": f"{row['Prompt']}?"}]"""
    path.write_text(f'def ask(row):\n    return [{{"role": "user", "content": {content}}}]\n')
    rubric = read_rubric(path)
    assert rubric.images_first and rubric.system is None and rubric.question(ROW) == "a photo of a star?"
    with pytest.raises(DataError, match="expected Prompt, which the rubric names"):
        rubric.question({"Explanation": "x"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def f(:", "got no readable Python"),
        ("def f(row):\n    return 1\n", "got no function that asks about a row"),
        ('def f(row):\n    return [{"role": "user", "content": f"{row[\'Prompt\']} {open(row)}"}]\n', "got open(row) in the rubric"),
    ],
)
def test_another_script_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "gpt_eval.py"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_rubric(path)
    assert told in str(caught.value)


def test_a_missing_script_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"WISE_legacy/gpt_eval\.py"):
        WiseScorer(roles={"judge": Scripted()}, folder=str(tmp_path))


def planned(version: str, per: int = 4) -> list[Sample]:
    return [
        Sample(
            sample_id=f"{one.name}-{i}", task=one.name, prompt=f"{one.name} {i}", metadata={"category_weight": one.weight, "prompt_id": i}
        )
        for one in rules.CATEGORIES[version]
        for i in range(per)
    ]


def scored(samples: Sequence[Sample], value: Callable[[Sample], float]) -> list[Score]:
    base = {"repeat": 0, "scorer": "wise", "outcome": Outcome.OK}
    return [Score(sample_id=s.sample_id, task=s.task, values={"wiscore": value(s)}, **base) for s in samples]


@pytest.mark.parametrize(("version", "expected"), [("legacy", 0.4 * 0.5 + 0.167 * 1.0), ("verified", 0.4 * 0.5 + 0.12 * 1.0)])
def test_overall_weighs_the_categories(version: str, expected: float) -> None:
    samples = planned(version)

    def value(sample: Sample) -> float:
        return {"CULTURE": sample.metadata["prompt_id"] % 2, "TIME": 1}.get(sample.task, 0)

    table = rows(samples, 1, scored(samples, value), "wiscore")
    metric = wise_overall(table, value="wiscore", task="*", kind="headline", seed=0)
    assert metric.value == pytest.approx(expected)
    assert metric.low < metric.value < metric.high and (metric.n, metric.n_expected) == (24, 24)


def test_interval_by_resampling_inside_each_category() -> None:
    samples = planned("legacy", per=40)
    draw = np.random.default_rng(0).random(len(samples))
    values = {sample.sample_id: float(x) for sample, x in zip(samples, draw, strict=True)}
    table = rows(samples, 1, scored(samples, lambda s: values[s.sample_id]), "wiscore")
    metric = wise_overall(table, value="wiscore", task="*", kind="headline", seed=0)
    # Standard error of the weighted mean of uniforms: sqrt(sum w^2 / 12 / 40).
    error = (sum(one.weight**2 for one in rules.CATEGORIES["legacy"]) / 12 / 40) ** 0.5
    assert (metric.high - metric.low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_overall_is_absent_without_a_category() -> None:
    samples = planned("legacy")
    lacking = scored([s for s in samples if s.task != "SPACE"], lambda _: 1.0)
    metric = wise_overall(rows(samples, 1, lacking, "wiscore"), value="wiscore", task="*", kind="headline", seed=0)
    assert (metric.value, metric.low, metric.outcomes["missing"]) == (None, None, 4)
    some = [s for s in samples if s.task != "SPACE"]
    asked = wise_overall(rows(some, 1, scored(some, lambda _: 1.0), "wiscore"), value="wiscore", task="*", kind="headline", seed=0)
    assert asked.value is None
