"""T2I-CompBench: recorded rules, the rest worked by hand, what refuses, and the scorers over roles that answer as told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals.errors import DataError, PluginError
from evals.parity import replay
from evals.protocols import Detection
from evals.scorers import compbench as scorers
from evals.scorers import compbench_rules as rules
from evals.scorers.compbench_parts import fit
from evals.scorers.compbench_rules import Seen
from evals.types import Outcome, Output, Sample, Score

GOLDEN = Path(__file__).parents[2] / "data/golden/scorers"


@pytest.mark.parametrize("name", ["2d_position", "3d_position", "numeracy_duplicate", "3in1"])
def test_recordings(name: str) -> None:
    assert replay(GOLDEN / f"t2icompbench_{name}.json").mismatches == ()


A, RIGHT, BELOW = (0, 0, 100, 100), (300, 0, 400, 100), (0, 300, 100, 400)


@pytest.mark.parametrize(
    ("locality", "a", "b", "official", "strict"),
    [
        ("on the left of", A, RIGHT, 1, 1),
        ("on the right of", A, RIGHT, 0, 0),
        ("on the left of", A, BELOW, 0, 0),
        ("on the top of", A, BELOW, 1, 1),
        ("on the bottom of", BELOW, A, 1, 1),
        ("on top of", A, BELOW, 0, 1),
        ("on top of", BELOW, A, 0, 0),
        # Overlap of a half along x: 50 x 100 of 150 x 100.
        ("on the left of", A, (50, 0, 150, 100), 0.3, 0.3),
        ("near", A, (200, 200, 300, 300), 0.75, 0.75),
        ("near", A, RIGHT, 1, 1),
        (None, A, RIGHT, 0, 0),
    ],
)
def test_places_in_the_plane(locality: str | None, a: Any, b: Any, official: float, strict: float) -> None:
    assert rules.position_2d(locality, a, b) == pytest.approx(official)
    assert rules.position_2d(locality, a, b, official=False) == pytest.approx(strict)


def test_the_depth_map_is_cut_x_first_by_the_official_rule() -> None:
    # Nearer towards the bottom: by the swapped cut, nearer towards the right.
    depth = np.tile(np.linspace(0, 1, 400)[:, None], (1, 400))
    over_right, over_below = (40, 0, 140, 100), (0, 40, 100, 140)
    # Overlap of 60 in 140.
    share = 60 / 140 / 0.5
    assert rules.position_3d("behind", A, over_right, depth) == pytest.approx(share)
    assert rules.position_3d("behind", A, over_right, depth, official=False) == 0
    assert rules.position_3d("behind", A, over_below, depth) == 0
    assert rules.position_3d("hidden", A, over_below, depth, official=False) == pytest.approx(share)
    assert rules.position_3d("in front of", over_below, A, depth, official=False) == pytest.approx(share)
    assert rules.position_3d("in front of", BELOW, A, depth, official=False) == 0


def test_an_overlap_of_exactly_one_half() -> None:
    depth = np.tile(np.arange(300.0), (300, 1)) + np.arange(300.0)[:, None]
    half = (0, 0, 100, 50)
    assert rules.box_iou(A, half) == 0.5
    assert rules.position_3d("in front of", A, half, depth) == 0.0
    assert rules.position_3d("in front of", A, half, depth, official=False) == 1.0


def test_a_cut_outside_the_map_is_neither_near_nor_far() -> None:
    depth = np.ones((100, 400))
    assert rules.position_3d("behind", (210, 0, 300, 90), (220, 0, 310, 90), depth) == 0.0


@pytest.mark.parametrize(
    ("first", "second", "position", "floor", "score"),
    [
        (0.8, 0.6, 1.0, 0.5, 0.85),
        (0.8, 0.6, 0.0, 0.5, 0.0),
        (0.8, 0.6, 0.0, 0.0, 0.35),
        (0.8, None, 1.0, 0.0, 0.2),
        (None, None, 1.0, 0.0, 0.0),
    ],
)
def test_confidence_and_place(first: float | None, second: float | None, position: float, floor: float, score: float) -> None:
    a, b = (None if x is None else Seen("x", x, A) for x in (first, second))
    assert rules.spatial_score(a, b, position, floor=floor) == pytest.approx(score)


def test_the_official_loop_ends_with_the_last_match_before_it_has_both() -> None:
    seen = [Seen("toy dog", 0.9, A), Seen("dog", 0.8, A), Seen("cat", 0.7, A), Seen("dog", 0.6, A)]
    a, b = rules.find_containing(seen, "dog", "cat")
    assert (a.score, b.score) == (0.8, 0.7)
    assert rules.find_containing(seen, "dog", "cow") == (seen[0], None)
    assert rules.find_exact(seen, "dog").score == 0.8


def test_objects_of_prompts() -> None:
    simple = [("a", "DET"), ("girl", "NOUN"), ("on", "ADP"), ("the", "DET"), ("top", "NOUN"), ("of", "ADP"), ("a", "DET"), ("frog", "NOUN")]
    assert rules.simple_objects(simple) == ("person", "frog")
    assert rules.simple_objects([("red", "ADJ")]) is None
    hat = [("The", "DET"), ("red", "ADJ"), ("hat", "NOUN"), ("was", "AUX"), ("on", "ADP"), ("top", "NOUN"), ("of", "ADP")]
    assert rules.complex_objects([*hat, ("the", "DET"), ("man", "NOUN"), (".", "PUNCT")]) == ("hat", "person")
    assert rules.complex_objects([*hat, ("Big", "PROPN"), ("Ben", "PROPN"), (".", "PUNCT")]) == ("hat", "Ben")
    assert rules.complex_objects(hat) is None
    assert rules.complex_objects([("a", "DET"), ("cat", "NOUN")]) is None


PLURALS = {
    "dogs": "dog",
    "knives": "knife",
    "fish": "fish",
    "men": "man",
    "ships": "ship",
    "goldfish": "goldfish",
    "teddy bears": "teddy bear",
}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("two dogs and one knife", [("dog", 2), ("knife", 1)]),
        ("a fish , eight men", [("fish", 1), ("man", 8)]),
        ("three fish shared a burger", [("fish", 3)]),
        ("two dog", []),
        ("two teddy bears and a teddy bear", [("teddy bear", 2), ("teddy bear", 1)]),
        # Two words of the wrong number: the official code takes them as they stand, once.
        ("two teddy bear", [("teddy bear", 1)]),
        ("one teddy bears", [("teddy bears", 1)]),
        ("one dogs", [("dog", 1)]),
        ("nine dogs", []),
    ],
)
def test_wanted_numbers(words: str, wanted: list) -> None:
    assert rules.wanted_numbers(words.split(), PLURALS) == wanted


def test_numbers_count_by_shares() -> None:
    def at(x: int, name: str = "dog") -> Seen:
        return Seen(name, 0.9, (x, 0, x + 40, 40))

    dogs = [at(0), at(1), at(100), at(200, "cat")]
    assert rules.numeracy_score(dogs, [("dog", 2)]) == 1.0
    assert rules.numeracy_score(dogs, [("dog", 3)]) == 0.5
    assert rules.numeracy_score(dogs, [("dog", 2), ("cow", 1)]) == 0.5
    assert rules.numeracy_score(dogs, [("dog", 2), ("cat", 2)]) == 0.75
    assert rules.numeracy_score([at(0, "person"), at(100, "person")], [("woman", 2)]) == 1.0
    assert rules.numeracy_score([at(0, "goldfish")], [("fish", 1)]) == 1.0
    # The new name stays: the second thing asked for no longer finds the first's.
    assert rules.numeracy_score([at(0, "toy fish")], [("fish", 1), ("toy", 1)]) == 0.5


def test_complex_prompts_are_matched_up_to_the_first_stop() -> None:
    spatial, action = ["The Cat is near. x"], ["a dog runs"]
    assert [rules.complex_kind(p, spatial, action) for p in ("the cat is near.", "A dog runs.", "other")] == ["spatial", "action", "both"]


# Roles that answer as told.


class Vqa:
    name = "told"

    def __init__(self, answers: dict[str, float]) -> None:
        self.answers = answers

    def probability(self, image: Image.Image, question: str) -> float:
        return self.answers[question]


class Phrases:
    name = "told"

    def __init__(self, chunks: Sequence[str] = (), tokens: Sequence[tuple[str, str]] = ()) -> None:
        self._chunks, self._tokens = list(chunks), list(tokens)

    def chunks(self, text: str) -> list[str]:
        return self._chunks

    def tokens(self, text: str) -> list[tuple[str, str]]:
        return self._tokens


class Detector:
    name = "told"

    def __init__(self, *found: tuple[str, float, tuple[float, ...]]) -> None:
        self.found = found
        self.size = (0, 0)

    def detect(self, image: Image.Image, classes: Sequence[str]) -> list[Detection]:
        self.size = image.size
        return [Detection(label=list(classes).index(name), score=score, box=box) for name, score, box in self.found]


class Embedder:
    name = "told"

    def similarity(self, image: Image.Image, text: str) -> float:
        return len(text) / 100


class Depth:
    name = "told"

    def __init__(self, depth: np.ndarray) -> None:
        self._depth = depth

    def depth(self, image: Image.Image) -> np.ndarray:
        return self._depth


def judge(scorer: Any, prompt: str, image: Image.Image | None = None, **metadata: Any) -> Score:
    sample = Sample(sample_id="a", task=metadata["category"], prompt=prompt, metadata=metadata)
    output = Output(sample_id="a", task=sample.task, repeat=0, seed=1, outcome=Outcome.OK)
    scorer.canary()
    return scorer.score(sample, output, image or Image.new("RGB", (479, 479)))


def test_attribute_multiplies_the_first_eight_phrases() -> None:
    chunks = ["the left", *"abcdefgh", "i", "top"]
    answers = {f"{letter}?": 0.9 for letter in "abcdefgh"} | {"i?": 0.0}
    scorer = scorers.AttributeScorer(roles={"vqa": Vqa(answers), "phrases": Phrases(chunks)})
    score = judge(scorer, "x", category="texture")
    assert score.values == {"score": pytest.approx(0.4305), "strict": pytest.approx(0.4305)}
    assert list(score.evidence["probabilities"]) == list("abcdefgh")
    assert judge(scorers.AttributeScorer(roles={"vqa": Vqa({}), "phrases": Phrases()}), "x", category="color").values["score"] == 1.0


def test_each_probability_is_rounded_before_the_product() -> None:
    assert rules.attribute_score([0.12345, 0.99999]) == 0.1235
    assert rules.attribute_score([0.00004]) == 0.0


def test_clip_is_the_raw_cosine() -> None:
    assert judge(scorers.ClipScorer(roles={"embedder": Embedder()}), "x" * 31, category="non_spatial").values["score"] == 0.31


def spatial(detector: Detector, **more: Any) -> Any:
    nouns = [("cat", "NOUN"), ("couch", "NOUN")]
    return scorers.Spatial2dScorer(roles={"detector": detector, "phrases": Phrases(tokens=nouns)}, substitute="told", **more)


def test_spatial_takes_the_surest_of_each_name() -> None:
    cats = ("cat", 0.6, RIGHT), ("cat", 0.8, A)
    detector = Detector(*cats, ("couch", 0.6, RIGHT), ("couch", 0.4, A))
    score = judge(spatial(detector), "a cat on the left of a couch", category="spatial")
    assert score.values == {"score": pytest.approx(0.85), "strict": pytest.approx(0.85)}
    # Below the threshold of 0.5 nothing is seen.
    assert [d["score"] for d in score.evidence["detections"]] == [0.8, 0.6, 0.6]
    assert judge(spatial(detector), "a cat on the right of a couch", category="spatial").values["score"] == 0.0


def test_on_top_of_differs_between_the_policies() -> None:
    detector = Detector(("cat", 0.9, A), ("couch", 0.9, BELOW))
    score = judge(spatial(detector), "a cat on top of a couch", category="spatial")
    assert score.values == {"score": 0.0, "strict": pytest.approx(0.95)}


def test_boxes_are_measured_after_the_official_resize_and_shown_in_the_image() -> None:
    detector = Detector(("cat", 0.9, (0, 0, 100, 100)), ("couch", 0.9, (200, 200, 300, 300)))
    score = judge(spatial(detector), "a cat near a couch", Image.new("RGB", (958, 958)), category="spatial")
    assert detector.size == (479, 479)
    # 200 pixels apart on both axes of the small image.
    assert score.values["score"] == pytest.approx(0.45 + 0.5 * 150 / 200)
    assert score.evidence["detections"][0]["box"] == pytest.approx([0, 0, 200, 200])


@pytest.mark.parametrize("size", [(1024, 1024), (512, 1024), (1000, 800), (64, 64), (333, 331)])
def test_resize_is_the_official_transform(size: tuple[int, int]) -> None:
    from torchvision.transforms import Resize

    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    assert np.array_equal(np.asarray(fit(image, 479, 480)), np.asarray(Resize(size=479, max_size=480)(image)))
    assert fit(image, None, 480) is image


def test_a_thing_unknown_to_the_stand_in_is_no_zero() -> None:
    detector = Detector()
    known = scorers.Spatial2dScorer(
        roles={"detector": detector, "phrases": Phrases(tokens=[("bee", "NOUN"), ("cat", "NOUN")])}, substitute="told"
    )
    score = judge(known, "a bee near a cat", category="spatial")
    assert (score.outcome, score.reason) == (Outcome.NOT_APPLICABLE, 'the detector told knows no "bee"')
    named = scorers.Spatial2dScorer(
        roles={"detector": detector, "phrases": Phrases(tokens=[("sofa", "NOUN"), ("cat", "NOUN")])},
        substitute="told",
        aliases={"sofa": "couch"},
    )
    assert judge(named, "a sofa near a cat", category="spatial").reason == "no couch and no cat found"


def test_depth_through_the_scorer() -> None:
    depth = np.tile(np.linspace(0, 1, 479, dtype=np.float32)[:, None], (1, 479))
    roles = {
        "detector": Detector(("cat", 0.8, A), ("couch", 0.6, (40, 0, 140, 100))),
        "depth": Depth(depth),
        "phrases": Phrases(tokens=[("cat", "NOUN"), ("couch", "NOUN")]),
    }
    score = judge(scorers.Spatial3dScorer(roles=roles, substitute="told"), "a cat behind a couch", category="3d_spatial")
    assert score.values == {"score": pytest.approx(0.35 + 30 / 70), "strict": pytest.approx(0.35)}


def test_numbers_through_the_scorer() -> None:
    detector = Detector(("boat", 0.9, A), ("boat", 0.8, RIGHT), ("boat", 0.7, (0, 0, 100, 99)))
    scorer = scorers.NumeracyScorer(roles={"detector": detector}, substitute="told")
    assert judge(scorer, "two ships", category="numeracy", wanted=[["ship", 2]]).values["score"] == 1.0
    assert judge(scorer, "x", category="numeracy", wanted=[]).outcome is Outcome.NOT_APPLICABLE
    with pytest.raises(DataError, match="got no list `wanted`"):
        judge(scorer, "x", category="numeracy")


def complex_scorer() -> Any:
    tokens = [("red", "ADJ"), ("cat", "NOUN"), ("near", "ADP"), ("couch", "NOUN")]
    roles = {
        "vqa": Vqa({"red cat?": 0.8}),
        "phrases": Phrases(["red cat"], tokens),
        "embedder": Embedder(),
        "detector": Detector(("cat", 0.8, A), ("couch", 0.6, RIGHT)),
    }
    return scorers.ComplexScorer(roles=roles, substitute="told")


@pytest.mark.parametrize(
    ("kind", "score"),
    # Attribute 0.8, place 0.85, cosine 0.14 (14 letters without the adjective).
    [("spatial", (0.8 + 0.85) / 2), ("action", (0.8 + 0.14) / 2), ("both", (0.8 + 0.85 + 0.14) / 3)],
)
def test_complex(kind: str, score: float) -> None:
    assert judge(complex_scorer(), "red cat near couch", category="complex", kind=kind).values["score"] == pytest.approx(score)


def test_complex_needs_its_kind() -> None:
    with pytest.raises(DataError, match="got kind None"):
        judge(complex_scorer(), "x", category="complex")


def test_without_a_named_stand_in_detectors_refuse() -> None:
    roles = {"detector": Detector(), "depth": Depth(np.zeros((1, 1))), "phrases": Phrases(), "vqa": Vqa({}), "embedder": Embedder()}
    for scorer in (scorers.Spatial2dScorer, scorers.Spatial3dScorer, scorers.NumeracyScorer, scorers.ComplexScorer):
        with pytest.raises(PluginError, match=r"substitute: got none, and the official detector \(UniDet"):
            scorer(roles=roles)
        with pytest.raises(PluginError, match="got unidet, but the role is played by told"):
            scorer(roles=roles, substitute="unidet")


@pytest.mark.parametrize(
    ("scorer", "roles", "lacking"),
    [
        (scorers.AttributeScorer, {"vqa": Vqa({})}, "phrases"),
        (scorers.AttributeScorer, {"phrases": Phrases()}, "vqa"),
        (scorers.ClipScorer, {}, "embedder"),
        (scorers.NumeracyScorer, {}, "detector"),
        (scorers.Spatial3dScorer, {"detector": Detector()}, "depth"),
    ],
)
def test_absent_roles_are_told(scorer: Any, roles: dict, lacking: str) -> None:
    more = {} if scorer in (scorers.AttributeScorer, scorers.ClipScorer) else {"substitute": "told"}
    with pytest.raises(PluginError, match=f"got no {lacking}; expected one"):
        scorer(roles=roles, **more)


def test_one_scorer_takes_each_sample_by_its_category() -> None:
    roles = {"vqa": Vqa({"a?": 0.5}), "phrases": Phrases(["a"]), "detector": Detector(("dog", 0.9, A))}
    both = scorers.CompBenchScorer(roles=roles, categories=["color", "numeracy"], substitute="told")
    assert judge(both, "x", category="color").values["score"] == 0.5
    assert judge(both, "x", category="numeracy", wanted=[["dog", 2]]).values["score"] == 0.5
    other = judge(both, "x", category="non_spatial")
    assert (other.outcome, other.reason) == (Outcome.NOT_APPLICABLE, "non_spatial is measured by compbench-clip")
    with pytest.raises(DataError, match="got category taste"):
        judge(both, "x", category="taste")
    with pytest.raises(PluginError, match="got taste; expected some of color"):
        scorers.CompBenchScorer(roles=roles, categories=["taste"])
    with pytest.raises(PluginError, match="got no embedder"):
        scorers.CompBenchScorer(roles=roles, categories=["non_spatial"])
