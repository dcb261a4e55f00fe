"""Rewards: recorded official cases, hand-worked credit, and no number where there is no verdict."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals import replay_rewards
from evals.errors import PluginError
from evals.parity import replay
from evals.protocols import Detection
from evals.reward_rules import ocr_reward, partial_credit, read_reply, unified_reward, wanted_text
from evals.rewards import GenEvalReward, OcrReward, UnifiedReward, geneval, ocr, unified
from evals.scorers.geneval import GenEvalScorer
from evals.store.pictures import through_jpeg

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/data/golden/scorers"
IMAGE = Image.new("RGB", (8, 8), (200, 30, 10))
HERE, RIGHT = (0, 0, 10, 10), (20, 0, 30, 10)
DOG, CAT = {"class": "dog", "count": 1}, {"class": "cat", "count": 1}
LEFT_OF_CAT = {**DOG, "position": ["left of", 0]}


def seen(name: str, box: tuple[int, ...] = HERE, color: str = "red") -> dict[str, Any]:
    return {"class": name, "box": box, "color": color}


def dogs(count: int, color: str = "red") -> list[dict[str, Any]]:
    return [seen("dog", (20 * i, 0, 20 * i + 10, 10), color) for i in range(count)]


@pytest.mark.parametrize("name", ["geneval_reward", "ocr_reward", "ocr_join", "unified_reward", "safe_extract_score"])
def test_recorded_cases(name: str) -> None:
    result = replay(GOLDEN / f"uniar_{name}.json")
    assert result.mismatches == () and result.total >= 100


@pytest.mark.parametrize(
    ("include", "found", "official", "strict", "exact"),
    [
        # The published examples.
        ([{**DOG, "count": 2}], dogs(1), 0.5, 0.5, False),
        ([{**DOG, "count": 4}], dogs(3), 0.75, 0.75, False),
        ([{**DOG, "count": 3}], dogs(2), 2 / 3, 2 / 3, False),
        ([{**DOG, "color": "blue"}], dogs(1), 0.5, 0.5, False),
        ([DOG], dogs(2), 0.0, 0.0, False),
        ([CAT, LEFT_OF_CAT], [seen("cat", RIGHT)], 1 / 3, 1 / 3, False),
        # Below: a count off by more than was wanted, and a place that does not hold.
        ([{**DOG, "color": "red"}], dogs(3), -0.5, 0.0, False),
        ([DOG], dogs(3), -1.0, 0.0, False),
        ([CAT, LEFT_OF_CAT], [seen("cat"), seen("dog", RIGHT)], 0.75, 2 / 3, False),
        ([CAT, LEFT_OF_CAT], [seen("cat", RIGHT), seen("dog")], 1.0, 1.0, True),
        # The target is one too many, so there is nothing to be left of.
        ([CAT, LEFT_OF_CAT], [seen("cat", RIGHT), seen("cat", (40, 0, 50, 10)), seen("dog")], 1 / 3, 1 / 3, False),
        ([{**DOG, "count": 2, "color": "red"}], [*dogs(1), seen("dog", RIGHT, "blue")], 0.75, 0.75, False),
        ([{**DOG, "color": "red"}, {**CAT, "color": "blue"}], [*dogs(1), seen("cat", RIGHT, "blue")], 1.0, 1.0, True),
    ],
)
def test_partial_credit(include: Any, found: Any, official: float, strict: float, exact: bool) -> None:
    row = {"tag": "x", "include": include}
    for policy, expected in (("official", official), ("strict", strict)):
        credit = partial_credit(row, found, policy=policy)
        assert credit.score == pytest.approx(expected) and credit.correct == exact


def test_a_row_that_asks_for_nothing_has_no_credit() -> None:
    with pytest.raises(ValueError, match="include: got no clause"):
        partial_credit({"tag": "x", "include": []}, [])


class SeesRedDogs:
    """Finds a red dog in every image, and keeps the images."""

    name = "red dogs"

    def __init__(self, *, after: int = 1000) -> None:
        self.images: list[Image.Image] = []
        self.after = after

    def detect(self, image: Image.Image, classes: Any) -> list[Detection]:
        self.images.append(image)
        if len(self.images) > self.after:
            raise RuntimeError("out of memory")
        return [Detection(label=0, score=0.95, box=HERE, color="red")]


def dog_reward(**settings: Any) -> GenEvalReward:
    return GenEvalReward(GenEvalScorer(roles={"detector": SeesRedDogs(**settings)}, classes=["dog", "cat"]))


def record(**changes: Any) -> dict[str, Any]:
    row = {"tag": "single_object", "include": [DOG]}
    return {"instruction": 'a "red dog"', "number": 0, "task": "geneval", "metadata": row} | changes


def test_outcomes_of_the_geneval_reward() -> None:
    wrong_class = {"tag": "single_object", "include": [{"class": "unicorn", "count": 1}]}
    records = [record(), record(task="ocr"), record(metadata=wrong_class), record(metadata={}), record(), record(task="ocr")]
    made = dog_reward().rewards([IMAGE] * 4 + [None, None], records)
    assert [(m.outcome, m.value) for m in made] == [
        ("ok", 1.0),
        ("not_applicable", None),
        ("failed", None),
        ("failed", None),
        ("failed", None),
        ("not_applicable", None),
    ]
    assert "unicorn" in made[2].reason and "expected a GenEval row" in made[3].reason and made[4].reason == "there is no image"


def test_a_detector_that_fails_costs_the_images_it_failed_on() -> None:
    made = dog_reward(after=2).rewards([IMAGE] * 4, [record()] * 4)
    assert [m.outcome for m in made] == ["ok", "ok", "failed", "failed"]
    assert made[2].reason == "RuntimeError: out of memory"


@pytest.fixture(scope="module")
def world() -> list[tuple[Image.Image, dict[str, Any]]]:
    """Drawn scenes with the records that their captions make."""
    from uniar.data.shapes import render, sample_captioned
    from uniar.training.grpo.records import SHAPES_TASKS, geneval_row

    rng = np.random.default_rng(0)
    drawn = [sample_captioned(rng, task=task) for task in SHAPES_TASKS for _ in range(30)]
    return [(Image.fromarray(render(d.scene)), record(instruction=d.caption, metadata=geneval_row(d))) for d in drawn]


def test_a_scene_that_fits_its_caption_has_full_credit(world: Any) -> None:
    reward = geneval(detector="shapes")
    made = reward.rewards([image for image, _ in world], [row for _, row in world])
    assert [m.value for m in made] == [1.0] * len(world)


def test_credit_falls_with_what_is_missing(world: Any) -> None:
    reward = geneval(detector="shapes", policy="strict")
    images, rows = [image for image, _ in world], [row for _, row in world]
    blank = Image.new("RGB", (64, 64), (158, 160, 163))
    assert [m.value for m in reward.rewards([blank] * len(world), rows)] == [0.0] * len(world)
    shifted = [m.value for m in reward.rewards(images[1:] + images[:1], rows)]
    assert all(m.outcome == "ok" for m in reward.rewards(images, rows))
    assert sum(v == 1.0 for v in shifted) < len(world) // 4 and all(0 <= v <= 1 for v in shifted)
    assert any(0 < v < 1 for v in shifted)


def test_the_official_verdict_is_the_scorers_own(world: Any) -> None:
    reward = geneval(detector="shapes")
    for image, row in world[::7]:
        credit, correct = reward.judge(row["metadata"], image)
        assert credit.correct and correct


def test_the_detector_can_be_shown_what_the_published_server_shows_it() -> None:
    reward = geneval(detector="shapes", swap_channels=True)
    red = Image.new("RGB", (64, 64), (158, 160, 163))
    red.paste((220, 40, 40), (18, 18, 44, 44))
    found = reward.scorer.detector.detect(red, ["square"])
    assert len(found) == 1 and found[0].color == "blue"


def test_jpeg_is_off_by_default() -> None:
    assert through_jpeg(IMAGE, None) is IMAGE
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    sent = through_jpeg(noise, 75)
    assert (sent.mode, sent.size) == ("RGB", noise.size)
    assert 0 < np.abs(np.asarray(sent).astype(int) - np.asarray(noise)).mean() < 80


@pytest.mark.parametrize(
    ("wanted", "read", "value"),
    [
        ("Hello World", "hello world", 1.0),
        ("Hello World", "Helo Wrld", 0.8),
        ("Open", "xxxxxxxxxx", 0.0),
        ("Open", "Open24", 0.5),
        ("Open", "", 0.0),
        ("", "x", 0.0),
    ],
)
def test_ocr_by_hand(wanted: str, read: str, value: float) -> None:
    assert ocr_reward(wanted, read) == pytest.approx(value)


def test_text_in_double_quotes() -> None:
    assert wanted_text('a "b c" and "d"') == "b c d"
    assert wanted_text("a 'b' “c”") == ""
    # A text may go over lines; an empty one counts as a text.
    assert wanted_text('a "b\nc" and "" and "d" left "open') == "b\nc  d"


def test_replay_of_what_the_published_code_makes_a_zero_of() -> None:
    assert replay_rewards.unified_reward({"model_output": None}) == 0.0
    assert replay_rewards.extract_score({"text": None}) == 0.0
    assert replay_rewards.ocr_join({"lines": None}) == {"v3": "", "v2": ""}
    assert replay_rewards.ocr_reward({"prompt": 'a "b"', "recognized": None}) == 0.0


class Reads:
    """An OCR engine that reads the lines it was given."""

    def __init__(self, *lines: Any) -> None:
        self.lines = lines

    def read(self, image: Image.Image) -> list[Any]:
        if not self.lines:
            raise OSError("no engine")
        return list(self.lines)


def test_outcomes_of_the_ocr_reward() -> None:
    asked = record(task="ocr")
    (made,) = OcrReward(Reads("RED", "dog")).rewards([IMAGE], [asked])
    assert (made.outcome, made.value) == ("ok", 1.0)
    # Engines that tell their confidence: a line of none does not count.
    (made,) = OcrReward(Reads(("red", 0.9), ("dog", 0.0))).rewards([IMAGE], [asked])
    assert made.value == 0.5
    (made,) = OcrReward(Reads()).rewards([IMAGE], [asked])
    assert (made.outcome, made.value, made.reason) == ("failed", None, "OSError: no engine")
    for instruction in ("no text", 'a "" sign', 'a "  " sign'):
        (made,) = OcrReward(Reads("x")).rewards([IMAGE], [record(task="ocr", instruction=instruction)])
        assert (made.outcome, made.value) == ("not_applicable", None)
    (made,) = OcrReward(Reads("x")).rewards([IMAGE], [record()])
    assert made.reason == "the task is geneval"


def test_replies_by_hand() -> None:
    full = "Alignment Score (1-5): 4\n- Coherence Score: 5\nStyle Score (1-5): **3**"
    assert unified_reward(read_reply(full)) == pytest.approx(0.84)
    assert unified_reward(read_reply("Alignment Score: 4.5\nCoherence Score: 0")) == pytest.approx(0.44)
    assert unified_reward(read_reply("Alignment Score: 9\nCoherence Score: 9\nStyle Score: 9")) == pytest.approx(1.0)
    assert read_reply("Alignment Score: 5\nAlignment Score: two") == {"Alignment Score": 0.0, "Coherence Score": 0.0, "Style Score": 0.0}


class Replies:
    """A judge with one answer, which keeps what it was asked."""

    def __init__(self, reply: Any) -> None:
        self.reply, self.asked = reply, []

    def ask(self, question: str, images: Any) -> Any:
        self.asked.append((question, images))
        return self.reply


@pytest.mark.parametrize(
    ("reply", "official", "strict"),
    [
        ("Alignment Score: 4\nCoherence Score: 5\nStyle Score: 3", 0.84, 0.84),
        (SimpleNamespace(text="Alignment Score: 4\nCoherence Score: 5\nStyle Score: 3"), 0.84, 0.84),
        ("Alignment Score: 4\nStyle Score: 3", 0.44, None),
        ("I cannot help with that.", None, None),
        ("", None, None),
        ("Alignment Score: nan\nCoherence Score: none\nStyle Score:", None, None),
    ],
)
def test_outcomes_of_the_judge_reward(reply: Any, official: float | None, strict: float | None) -> None:
    for policy, expected in (("official", official), ("strict", strict)):
        judge = Replies(reply)
        (made,) = UnifiedReward(judge, policy=policy).rewards([IMAGE], [record(task="general")])
        assert made.value == (None if expected is None else pytest.approx(expected))
        assert made.outcome == ("failed" if expected is None else "ok")
        (question, images) = judge.asked[0]
        assert 'a "red dog"' in question and images == [IMAGE]


@pytest.mark.parametrize("make", [lambda p: geneval(detector="shapes", policy=p), lambda p: UnifiedReward(Replies(""), policy=p)])
def test_policies_are_known(make: Any) -> None:
    with pytest.raises(PluginError, match="policy: got lenient; expected one of official, strict"):
        make("lenient")


def test_unknown_plugins_are_named() -> None:
    with pytest.raises(PluginError, match=r'got "shape"; no such detector\. Did you mean "shapes"?'):
        geneval(detector="shape")
    with pytest.raises(PluginError, match='got "nothing"; no such ocr'):
        ocr(ocr="nothing")
    with pytest.raises(PluginError, match='got "nothing"; no such judge'):
        unified(judge="nothing")


def declared() -> dict[str, str]:
    """The table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["uniar.rewards"]


def test_the_declared_entry_points_are_there() -> None:
    assert sorted(declared()) == ["geneval", "hpsv2", "ocr", "unified"]
    for target in declared().values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_training_finds_the_rewards_by_name(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from uniar.errors import ConfigError
    from uniar.training.grpo.rewards import load_reward, values_of

    # As an installation of this tree writes it; an editable one made before the table was would not show it.
    info = tmp_path / "uniar_rewards_here-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: uniar-rewards-here\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[uniar.rewards]\n" + "".join(f"{n} = {t}\n" for n, t in declared().items()))
    monkeypatch.syspath_prepend(str(tmp_path))
    image, row = world[0]
    made = values_of(load_reward("geneval", {"detector": "shapes"}), [image, None], [row, row])
    assert [(m.outcome, m.value) for m in made] == [("ok", 1.0), ("failed", None)]
    with pytest.raises(ConfigError, match=r'rewards\.geneval: cannot be built from .*no such detector\. Did you mean "shapes"\?'):
        load_reward("geneval", {"detector": "shape"})
    with pytest.raises(ConfigError, match=r'got "genevall".*Did you mean "geneval"?'):
        load_reward("genevall", {})


def test_a_judge_is_asked_many_things_at_once_and_a_lost_reply_has_no_value() -> None:
    import threading

    from evals.protocols import Reply
    from evals.rewards import UnifiedReward
    from evals.types import Outcome

    class Judge:
        name, concurrency = "toy", 3

        def __init__(self) -> None:
            # Nobody is answered before three are asked: one at a time would never end.
            self.barrier = threading.Barrier(3, timeout=20)

        def ask(self, question: str, images: Any) -> Reply:
            self.barrier.wait()
            if "lost" in question:
                return Reply(outcome=Outcome.JUDGE_ERROR, error="judge toy: got no reply; expected one.")
            score = images[0].getpixel((0, 0))[0]
            return Reply(text=f"Alignment Score: {score}\nCoherence Score: {score}\nStyle Score: {score}")

    images = [Image.new("RGB", (2, 2), (i + 1,) * 3) for i in range(6)]
    records = [{"task": "any", "instruction": "lost" if i == 4 else "a cat"} for i in range(6)]
    found = UnifiedReward(Judge()).rewards(images, records)
    assert [value.value for value in found] == pytest.approx([0.2, 0.4, 0.6, 0.8, None, 1.0])
    assert found[4].outcome == "failed" and "got no reply" in found[4].reason
