"""The verdict: recorded official cases, hand-worked ones, and the scorer around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals.datasets.geneval import official_rows
from evals.errors import CanaryError, DataError, PluginError
from evals.parity import replay
from evals.protocols import Detection, Scorer
from evals.scorers import geneval_rules as rules
from evals.scorers.geneval import GenEvalScorer, summarize
from evals.types import Outcome, Output, Sample, Score

GOLDEN = Path(__file__).parents[2] / "data/golden/scorers"
IMAGE = Image.new("RGB", (8, 8))
DOG, CAT = {"class": "dog", "count": 1}, {"class": "cat", "count": 1}


def found(label: int, score: float, box: tuple[float, ...] = (0, 0, 10, 10), color: str | None = None) -> Detection:
    return Detection(label=label, score=score, box=box, color=color)


class FakeDetector:
    """Says what it was told to say."""

    name = "fake"

    def __init__(self, answers: list[Detection], classes: tuple[str, ...] = ("dog", "cat"), *, broken: bool = False):
        self.answers, self.classes, self.broken = answers, classes, broken
        self.seen: list[Image.Image] = []

    def detect(self, image: Image.Image, classes: Any) -> list[Detection]:
        assert tuple(classes) == self.classes
        self.seen.append(image)
        return self.answers

    def canary(self) -> None:
        if self.broken:
            raise CanaryError("the fake is broken")


class FakeColor:
    """Answers red, and counts how often it was asked."""

    name = "fake"

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def classify(self, image: Image.Image, detections: Any, object_class: str) -> list[str]:
        self.calls.append((object_class, len(detections)))
        return ["red"] * len(detections)


def judge(scorer: GenEvalScorer, row: dict[str, Any], image: Image.Image | None = IMAGE) -> Score:
    sample = Sample(sample_id="00000", task=row.get("tag", ""), prompt="p", metadata=row)
    output = Output(sample_id="00000", task=sample.task, repeat=1, seed=0, outcome=Outcome.OK)
    return scorer.score(sample, output, image)


def scorer_of(answers: list[Detection], **settings: Any) -> GenEvalScorer:
    settings = {"classes": ["dog", "cat"], **settings}
    return GenEvalScorer(roles={"detector": FakeDetector(answers), "color": FakeColor()}, **settings)


@pytest.mark.parametrize("name", ["evaluate_image", "relative_position", "iou", "summary"])
def test_recorded_cases(name: str) -> None:
    result = replay(GOLDEN / f"geneval_{name}.json")
    assert result.mismatches == () and result.total >= 100


@pytest.mark.parametrize(
    ("a", "b", "relations"),
    [
        ([0, 0, 10, 10], [20, 0, 30, 10], ["left of"]),
        ([20, 20, 30, 30], [0, 0, 10, 10], ["below", "right of"]),
        ([0, 0, 10, 10], [2, 0, 12, 10], []),
        ([0, 0, 10, 10], [3, 0, 13, 10], []),
        ([50, 10, 60, 400], [0, 0, 100, 100], ["below"]),
        ([0, 0, 100, 100], [30, 60, 130, 160], ["above"]),
    ],
)
def test_relations(a: list[float], b: list[float], relations: list[str]) -> None:
    assert rules.relative_position(a, b) == relations


def test_mirrored_boxes_have_mirrored_relations() -> None:
    rng = np.random.default_rng(0)
    mirror = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    for _ in range(200):
        low, high = rng.integers(0, 100, (2, 2)), rng.integers(1, 80, (2, 2))
        a, b = ([*lo, *(lo + size)] for lo, size in zip(low, high, strict=True))
        back = [mirror[r] for r in rules.relative_position(b, a)]
        assert rules.relative_position(a, b) == sorted(back)


def test_iou() -> None:
    assert rules.iou([0, 0, 10, 10], [0, 0, 10, 10]) == 1.0
    assert rules.iou([0, 0, 10, 10], [11, 11, 20, 20]) == 0.0
    assert rules.iou([0, 0, -1, -1], [0, 0, -1, -1]) == 0.0
    assert rules.iou([0, 0, 10, 10], [10, 10, 20, 20]) == pytest.approx(0.0041494, abs=1e-7)


def test_select_threshold_is_strict_in_float32() -> None:
    at, over = float(np.float32(0.3)), float(np.nextafter(np.float32(0.3), np.float32(1)))
    # 0.3 as a double is below 0.3 as a float32: in double the first would pass.
    assert at > 0.3
    kept = rules.select([found(0, at), found(1, over)], ["dog", "cat"], threshold=0.3)
    assert list(kept) == ["cat"]


def test_select_orders_truncates_and_drops_overlaps() -> None:
    many = [found(0, 0.31 + 0.01 * i, (20.0 * i, 0, 20.0 * i + 9, 9)) for i in range(20)]
    kept = rules.select(many, ["dog"], threshold=0.3)["dog"]
    assert [d.score for d in kept] == sorted((d.score for d in many), reverse=True)[:16]
    twins = [found(0, 0.5), found(0, 0.9, (0, 0, 10, 9)), found(0, 0.4, (50, 50, 60, 60))]
    assert [d.score for d in rules.select(twins, ["dog"], threshold=0.3, max_overlap=0.5)["dog"]] == [0.9, 0.4]
    assert len(rules.select(twins, ["dog"], threshold=0.3)["dog"]) == 3


def test_counting_has_its_own_threshold() -> None:
    answers = [found(0, 0.95), found(0, 0.5)]
    row = {"tag": "counting", "include": [{"class": "dog", "count": 2}], "exclude": [{"class": "dog", "count": 3}]}
    assert judge(scorer_of(answers), row).reason == "expected dog>=2, found 1"
    assert judge(scorer_of(answers), {**row, "tag": "two_object"}).values == {"correct": 1.0}


def test_colours_are_asked_only_where_needed() -> None:
    scorer = scorer_of([found(0, 0.9), found(0, 0.8, (20, 0, 30, 10)), found(1, 0.7)])
    assert judge(scorer, {"tag": "two_object", "include": [DOG, CAT]}).values == {"correct": 1.0}
    assert scorer.color.calls == []
    score = judge(scorer, {"tag": "colors", "include": [{**DOG, "color": "red"}]})
    # One dog is wanted, so one is looked at; the others stay without a colour.
    assert scorer.color.calls == [("dog", 1)]
    assert [d["color"] for d in score.evidence["detections"]] == ["red", None, None]
    judge(scorer, {"tag": "colors", "include": [{"class": "cat", "count": 2, "color": "red"}]})
    assert len(scorer.color.calls) == 1


def test_colours_known_to_the_detector_are_used_without_a_classifier() -> None:
    scorer = GenEvalScorer(roles={"detector": FakeDetector([found(0, 0.9, color="blue")])}, classes="shapes")
    score = judge(scorer, {"tag": "colors", "include": [{**DOG, "color": "red"}]})
    assert score.values == {"correct": 0.0}
    assert score.reason == "expected red dog>=1, found 0 red; and 1 blue"


def test_evidence_is_json_and_the_image_is_upright() -> None:
    scorer = scorer_of([found(0, 0.9, (1, 2, 3, 4)), found(1, 0.2)])
    turned = Image.new("RGBA", (8, 4))
    turned.getexif()[0x0112] = 6
    score = judge(scorer, {"tag": "single_object", "include": [DOG]}, turned)
    assert json.loads(json.dumps(score.to_json()))["evidence"] == {
        "detections": [{"class": "dog", "score": 0.9, "box": [1.0, 2.0, 3.0, 4.0], "color": None}]
    }
    assert (scorer.detector.seen[0].size, scorer.detector.seen[0].mode) == ((4, 8), "RGB")
    assert (score.repeat, score.outcome, score.scorer) == (1, Outcome.OK, "geneval")


def test_no_image_and_foreign_rows_are_not_a_zero() -> None:
    scorer = scorer_of([])
    missing = judge(scorer, {"tag": "single_object", "include": [DOG]}, None)
    assert (missing.outcome, missing.values) == (Outcome.MISSING, {})
    with pytest.raises(DataError, match="got class unicorn"):
        judge(scorer, {"tag": "single_object", "include": [{"class": "unicorn", "count": 1}]})
    with pytest.raises(DataError, match="expected a GenEval row"):
        judge(scorer, {"question": "why"})


def test_scorer_is_built_from_roles() -> None:
    with pytest.raises(PluginError, match="got no detector"):
        GenEvalScorer(roles={})
    with pytest.raises(PluginError, match="classes: got lvis"):
        scorer_of([], classes="lvis")
    with pytest.raises(PluginError, match="lists no classes"):
        GenEvalScorer(roles={"detector": FakeDetector([], classes=())}, classes="shapes")
    assert isinstance(scorer_of([]), Scorer)
    official = {clause["class"] for row in official_rows() for clause in row["include"]}
    assert official <= set(GenEvalScorer(roles={"detector": FakeDetector([])}).classes)


def test_canary_passes_and_asks_the_detector() -> None:
    scorer_of([]).canary()
    with pytest.raises(CanaryError, match="the fake is broken"):
        GenEvalScorer(roles={"detector": FakeDetector([], broken=True)}).canary()


def test_summary_is_the_mean_over_tasks_of_what_was_judged() -> None:
    def pair(tag: str, prompt: str, correct: float | None) -> tuple[Sample, Score]:
        sample = Sample(sample_id=prompt, task=tag, prompt=prompt, metadata={"tag": tag, "prompt": prompt})
        outcome = Outcome.OK if correct is not None else Outcome.SCORER_ERROR
        values = {"correct": correct} if correct is not None else {}
        key = {"sample_id": prompt, "task": tag, "repeat": 0, "scorer": "geneval"}
        return sample, Score(**key, outcome=outcome, values=values)

    judged = [pair("b", "1", 1.0), pair("b", "1", 0.0), pair("b", "2", 0.0), pair("a", "3", 1.0), pair("a", "4", None)]
    result = summarize(judged)
    assert (result.overall, result.image_accuracy, result.prompt_accuracy) == ((1 / 3 + 1) / 2, 0.5, 2 / 3)
    assert "b                = 33.33% (1 / 3)" in result.text()
    with pytest.raises(ValueError, match="no judged images"):
        rules.summary([])
