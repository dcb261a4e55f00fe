"""LongText-Bench and OneIG text: recordings of the official code, hand-worked cases, and what is no verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals import replay_text
from evals.errors import CanaryError, DataError, PluginError, RoleError
from evals.metrics import aggregate, text
from evals.parity import replay
from evals.protocols import TextLine
from evals.scorers import longtext_rules, oneig_text_rules
from evals.scorers.longtext import LongTextScorer
from evals.scorers.oneig_text import OneIGTextScorer
from evals.types import Outcome, Output, Sample

GOLDEN = Path(__file__).parents[2] / "data/golden/scorers"
WHITE, BLACK = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8))
SETTINGS: dict[str, Any] = {"task": "*", "kind": "headline", "seed": 0}


class Reads:
    """OCR engine that always reads the same; keeps what it was asked."""

    name = "stub"
    takes_max_tokens = True

    def __init__(self, text: str = "", error: Exception | None = None) -> None:
        self.text, self.error, self.asked = text, error, []

    def read(self, image: Image.Image, *, max_tokens: int | None = None) -> list[TextLine]:
        self.asked.append((image.size, max_tokens))
        if self.error is not None:
            raise self.error
        return [TextLine(line) for line in self.text.split("\n")]


def sample(name: str = "0", **metadata: Any) -> Sample:
    return Sample(sample_id=name, task="text", prompt=name, metadata={"language": "en", **metadata})


def output(of: Sample, repeat: int = 0) -> Output:
    return Output(sample_id=of.sample_id, task=of.task, repeat=repeat, seed=0, outcome=Outcome.OK)


def judged(scorer: Any, asked: Sample, image: Image.Image | None = WHITE) -> Any:
    return scorer.score(asked, output(asked), image)


@pytest.mark.parametrize("name", ["longtext_score", "oneig_text", "oneig_text_units"])
def test_recordings_of_the_official_code(name: str) -> None:
    found = replay(GOLDEN / f"{name}.json")
    assert found.mismatches == () and found.total >= 100


@pytest.mark.parametrize(
    ("read", "wanted", "language", "expected"),
    [
        ("Fresh brews every morning", ["FRESH BREWS, EVERY MORNING, EVERY DAY"], "en", (4, 6)),
        ("CENTRAL-PARK 2 BLOCKS", ["CENTRAL PARK - 2 BLOCKS"], "en", (2, 4)),
        ("extra words do not cost Open", ["Open"], "en", (1, 1)),
        ("Ångström café", ["café"], "en", (1, 1)),
        ("本地烘培始于1988", ["本地烘焙，始于1998"], "zh", (8, 10)),
        ("cafe a", ["Cafe A"], "zh", (3, 5)),
        ("", ["Open"], "en", (0, 1)),
    ],
)
def test_longtext_by_hand(read: str, wanted: list[str], language: str, expected: tuple[int, int]) -> None:
    score = judged(LongTextScorer(roles={"ocr": Reads(read)}), sample(text=wanted, language=language))
    assert (score.values["matched"], score.values["total"]) == expected
    assert score.values["accuracy"] == expected[0] / expected[1]
    assert f"{expected[0]} of {expected[1]}" in score.reason


def test_the_official_cleaning_keeps_what_strict_cleaning_removes() -> None:
    score = judged(LongTextScorer(roles={"ocr": Reads("addCriterion\nNo text recognized.")}), sample(text=["addcriterion text"]))
    assert score.values == {"accuracy": 0.5, "matched": 1, "total": 2, "strict": 0.0, "matched_strict": 0}
    assert score.evidence["cleaned"] == "addCriterion\n"
    assert longtext_rules.clean("No text recognized") == "No text recognized"
    # What the deletion of the inner phrase brings together goes only with a newline beside it, there as here.
    assert longtext_rules.clean("NoNo text recognized. text recognized.") == "No text recognized."
    assert longtext_rules.clean("A\nNoNo text recognized. text recognized.") == "A"
    assert oneig_text_rules.clean("A\naddaddCriterionCriterion\nB") == "A\nB"


def test_longtext_score_is_a_ratio_of_sums_and_strict_has_its_own() -> None:
    samples = [sample("0", text=["a b c d e f g h"]), sample("1", text=["addCriterion"])]
    reads = ["a b c d", "addCriterion"]
    scores = [judged(LongTextScorer(roles={"ocr": Reads(r)}), s) for s, r in zip(samples, reads, strict=True)]
    for value, expected in (("accuracy", 5 / 9), ("strict", 4 / 9)):
        metric = text.longtext_score(aggregate.rows(samples, 1, scores, value), value=value, **SETTINGS)
        assert metric.value == pytest.approx(expected) and metric.low < metric.value <= metric.high
    groups = text.longtext_groups(aggregate.rows(samples, 1, scores, "accuracy"), value="accuracy", **SETTINGS)
    assert [(m.task, m.value) for m in groups] == [("text", pytest.approx(5 / 9))]


def test_what_is_no_verdict_of_longtext() -> None:
    scorer = LongTextScorer(roles={"ocr": Reads("x")})
    assert judged(scorer, sample(text=["x"]), None).outcome is Outcome.MISSING
    assert judged(scorer, sample(text=["★ !"])).outcome is Outcome.NOT_APPLICABLE
    with pytest.raises(DataError, match="got language 'fr'; the scorer longtext expects one of en, zh"):
        judged(scorer, sample(text=["x"], language="fr"))
    with pytest.raises(DataError, match="got text 'x'; expected a list of texts"):
        judged(scorer, sample(text="x"))
    with pytest.raises(PluginError, match="got no ocr"):
        LongTextScorer(roles={})


@pytest.mark.parametrize("outcome", ["judge_error", "refused"])
@pytest.mark.parametrize(("kind", "metadata"), [(LongTextScorer, {"text": ["x"]}), (OneIGTextScorer, {"text_content": "['x']"})])
def test_a_reader_that_fails_is_no_empty_text(kind: Any, metadata: dict[str, Any], outcome: str) -> None:
    score = judged(kind(roles={"ocr": Reads(error=RoleError("no reply after 3 tries", outcome=outcome))}), sample(**metadata))
    assert (score.outcome.value, score.values, score.reason) == (outcome, {}, "no reply after 3 tries")


@pytest.mark.parametrize(
    ("read", "cell", "expected"),
    [
        ("hello World\nOpen 24", "['Hello World', 'Open 24h']", (2, 0, 2, 4)),
        ("城市区", "['城市地区']", (1, 0, 3, 4)),
        ("Hello World Open 24h\naddCriterion", "['Hello World', 'Open 24h']", (0, 1, 4, 4)),
        ("No text recognized.", "['Echo']", (4, 0, 0, 1)),
    ],
)
def test_oneig_by_hand(read: str, cell: str, expected: tuple[int, ...]) -> None:
    values = judged(OneIGTextScorer(roles={"ocr": Reads(read)}), sample(text_content=cell)).values
    assert tuple(values[name] for name in ("distance", "exact", "matched", "total")) == expected


@pytest.mark.parametrize(
    ("distance", "complete", "accuracy", "limit", "expected"),
    [(0, 1, 1, 100, 1), (10, 0.5, 0.8, 100, 0.99), (250, 0, 0.1, 100, 0.1), (20, 0.25, 0.6, 50, 0.88)],
)
def test_text_score_by_hand(distance: float, complete: float, accuracy: float, limit: float, expected: float) -> None:
    assert oneig_text_rules.text_score(distance, complete, accuracy, limit=limit) == pytest.approx(expected)


def test_the_metric_is_the_formula_with_the_language_s_limit() -> None:
    for language, limit in (("en", 100), ("zh", 50)):
        samples = [sample(str(i), text_content="['Blue Door']", language=language) for i in range(3)]
        reads = ["Blue Door", "Blue Dour", "nothing at all here"]
        scores = [judged(OneIGTextScorer(roles={"ocr": Reads(r)}), s) for s, r in zip(samples, reads, strict=True)]
        table = aggregate.rows(samples, 1, scores, "accuracy")
        distance = sum(s.values["distance"] for s in scores) / 3
        expected = oneig_text_rules.text_score(distance, 1 / 3, 3 / 6, limit=limit)
        metric = text.oneig_text_score(table, value="accuracy", **SETTINGS)
        assert metric.value == pytest.approx(expected) and metric.low <= metric.value <= metric.high
        parts = {m.name: m for m in text.oneig_text_parts(table, value="accuracy", **SETTINGS)}
        assert parts["edit_distance"].value == pytest.approx(distance) and parts["edit_distance"].unit == "characters"
        assert (parts["complete_rate"].value, parts["word_accuracy"].value) == (pytest.approx(1 / 3), 0.5)


def test_reply_limits_and_jpeg() -> None:
    ocr = Reads("x")
    scorer = OneIGTextScorer(roles={"ocr": ocr})
    for words in (60, 61):
        judged(scorer, sample(text_content=" ".join(["a"] * words)))
    assert [limit for _, limit in ocr.asked] == [128, 256]
    stripes = Image.new("RGB", (8, 8), "red")
    stripes.paste("blue", (0, 0, 4, 8))
    for quality, same in ((75, False), (None, True)):
        seen: list[bytes] = []
        ocr.read = lambda image, max_tokens=None, seen=seen: seen.append(image.tobytes()) or []
        judged(OneIGTextScorer(roles={"ocr": ocr}, jpeg_quality=quality), sample(text_content="x"), stripes)
        assert (seen == [stripes.tobytes()]) is same
    with pytest.raises(PluginError, match="jpeg_quality: got 0; expected 1 to 100"):
        OneIGTextScorer(roles={"ocr": ocr}, jpeg_quality=0)
    with pytest.raises(PluginError, match="policy: got sane; expected one of official, strict"):
        OneIGTextScorer(roles={"ocr": ocr}, policy="sane")


def stale_table(policy: str) -> list[aggregate.Row]:
    """Three prompts of two images: read, all black, one black of two."""
    samples = [sample(str(i), text_content=f"['{word}']") for i, word in enumerate(("Echo", "Echoes", "Hall"))]
    images = [(WHITE, WHITE), (BLACK, BLACK), (BLACK, WHITE)]
    reads = ["Echo", "never asked", "Hall"]
    scores = []
    for asked, pair, read in zip(samples, images, reads, strict=True):
        scorer = OneIGTextScorer(roles={"ocr": Reads(read)}, policy=policy)
        scores += [scorer.score(asked, output(asked, k), image) for k, image in enumerate(pair)]
    assert [s.outcome.value for s in scores] == ["ok", "ok", "not_applicable", "not_applicable", "not_applicable", "ok"]
    return aggregate.rows(samples, 2, scores, "accuracy")


def test_an_all_black_prompt_repeats_the_reading_before_it_under_the_official_policy_only() -> None:
    # Echo twice right, Hall once; under the official policy Echo is compared with Echoes twice: distance 2, no word.
    names = ("edit_distance", "complete_rate", "word_accuracy", "text_score_strict")
    for policy, expected in (("official", (4 / 5, 3 / 5, 3 / 5, 1.0)), ("strict", (0.0, 1.0, 1.0, 1.0))):
        table = stale_table(policy)
        parts = {m.name: m.value for m in text.oneig_text_parts(table, value="accuracy", **SETTINGS)}
        assert tuple(parts[name] for name in names) == pytest.approx(expected)
        score = text.oneig_text_score(table, value="accuracy", **SETTINGS)
        assert score.value == pytest.approx(oneig_text_rules.text_score(*expected[:3], limit=100))
        assert (score.n, score.n_expected) == (3, 6)


def test_replay_of_prompts_in_chinese_all_black_and_without_an_image() -> None:
    prompts = [
        {"id": "000", "text_content": "['城市地区']", "ocr_outputs": ["城市区", "城市地区"]},
        {"id": "001", "text_content": "['城市']", "ocr_outputs": []},
        {"id": "002", "text_content": "['A']", "ocr_outputs": None},
    ]
    found = replay_text.oneig_text({"mode": "ZH", "prompts": prompts})
    # The black prompt is compared with the readings before it: one and two characters too many.
    assert found["per_prompt"] == {"000": [0.5, 0.5, 0.875], "001": [1.5, 0.0, 1.0], "002": None}
    assert found["max_new_tokens"] == [128]
    # Distances 1, 0, 1 and 2; one of four exact; 3 + 4 + 2 + 2 of 4 + 4 + 2 + 2 characters; M is 50.
    assert (found["ED"], found["CR"], found["WAC"]) == (1.0, 0.25, pytest.approx(11 / 12))
    assert found["text_score"] == pytest.approx(1 - 1.0 * 0.75 * (1 / 12) / 50)


def test_canaries_find_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    for scorer in (LongTextScorer(roles={"ocr": Reads()}), OneIGTextScorer(roles={"ocr": Reads()})):
        scorer.canary()
    monkeypatch.setattr(longtext_rules, "normalize", lambda text, language: text)
    with pytest.raises(CanaryError, match="are not LongText-Bench's"):
        LongTextScorer(roles={"ocr": Reads()}).canary()
    monkeypatch.setattr(oneig_text_rules, "normalize", lambda text: text)
    with pytest.raises(CanaryError, match="are not OneIG-Bench's"):
        OneIGTextScorer(roles={"ocr": Reads()}).canary()
