"""Rewards: loading by entry point, typed values whatever a reward does, and the limit on failures."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from uniar import UniARError
from uniar.errors import ConfigError, TrainingError
from uniar.training.grpo.rewards import RewardUse, RewardValue, load_reward, refuse_share, values_of

IMAGE = Image.new("RGB", (2, 2))
RECORD = {"instruction": "a star", "number": 3, "task": "t", "metadata": {"words": ["star"]}}

PLUGIN = '''"""A reward that lives in another package."""


class Brightness:
    """Answers its bias for every image."""

    def __init__(self, *, bias):
        if bias < 0:
            raise ValueError("bias must not be negative")
        self.bias = bias

    def rewards(self, images, records):
        from types import SimpleNamespace

        return [SimpleNamespace(value=self.bias, outcome="ok", reason="") for _ in images]
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install distributions whose `uniar.rewards` lines are given; an import path is all that an installation is."""

    def install(name: str, *lines: str) -> None:
        site = tmp_path / name
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[uniar.rewards]\n" + "\n".join(lines) + "\n")
        (site / f"{name}_plugin.py").write_text(PLUGIN)
        monkeypatch.syspath_prepend(str(site))

    return install


class Answers:
    """A reward that says what it was told to say, or raises it."""

    def __init__(self, *answers: object):
        self.answers = answers

    def rewards(self, images, records):
        if isinstance(self.answers[0], Exception):
            raise self.answers[0]
        return list(self.answers)


def ok(value: object) -> SimpleNamespace:
    return SimpleNamespace(value=value, outcome="ok", reason="")


def test_a_reward_of_another_package_is_found_by_name(installed):
    installed("outside", "outside-brightness = outside_plugin:Brightness")
    reward = load_reward("outside-brightness", {"bias": 0.5})
    assert values_of(reward, [IMAGE], [RECORD]) == [RewardValue(value=0.5, outcome="ok")]


def test_an_unknown_name_is_an_error_with_the_nearest_one(installed):
    installed("outside2", "outside-brightness = outside2_plugin:Brightness")
    with pytest.raises(ConfigError, match=r'got "outside-brigthness".*Did you mean "outside-brightness"?'):
        load_reward("outside-brigthness", {})


def test_a_name_found_twice_names_both_targets(installed):
    installed("outside3", "twice = outside3_plugin:Brightness")
    installed("outside4", "twice = outside4_plugin:Brightness")
    with pytest.raises(ConfigError, match="outside3_plugin:Brightness and outside4_plugin:Brightness"):
        load_reward("twice", {"bias": 1})


@pytest.mark.parametrize(
    ("target", "settings", "told"),
    [
        ("outside_broken_plugin:Nothing", {}, "AttributeError"),
        ("no_such_module_at_all:X", {}, "ModuleNotFoundError"),
        ("outside_broken_plugin:Brightness", {"bias": -1}, "bias must not be negative"),
        ("outside_broken_plugin:Brightness", {"colour": 1}, "TypeError"),
    ],
)
def test_a_reward_that_cannot_be_built_is_one_sentence(installed, target, settings, told):
    installed("outside_broken", f"broken = {target}")
    with pytest.raises(ConfigError, match=told) as caught:
        load_reward("broken", settings)
    assert str(caught.value).startswith("rewards.broken: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ok(0.25), RewardValue(value=0.25, outcome="ok")),
        (ok(1), RewardValue(value=1.0, outcome="ok")),
        (RewardValue(value=None, outcome="not_applicable", reason="no text"), None),
        (RewardValue(value=None, outcome="failed", reason="too dark"), None),
    ],
)
def test_proper_answers_are_kept(answer, expected):
    assert values_of(Answers(answer), [IMAGE], [RECORD]) == [expected or answer]


@pytest.mark.parametrize(
    "answer",
    [ok(math.nan), ok(math.inf), ok(None), ok(True), ok("0.5"), 0.5, None, SimpleNamespace(value=0.0, outcome="failed", reason="")],
)
def test_improper_answers_have_failed(answer):
    (made,) = values_of(Answers(answer), [IMAGE], [RECORD])
    assert (made.value, made.outcome) == (None, "failed") and "expected a finite number" in made.reason


def test_a_reward_that_raises_has_failed_for_every_image():
    made = values_of(Answers(ValueError("no\nservice")), [IMAGE, IMAGE], [RECORD, RECORD])
    assert made == [RewardValue(value=None, outcome="failed", reason="ValueError: no service")] * 2


def test_a_shortened_answer_is_not_shifted_against_its_images():
    made = values_of(Answers(ok(1.0), ok(0.0)), [IMAGE] * 3, [RECORD] * 3)
    assert [m.outcome for m in made] == ["failed"] * 3 and made[0].reason == "got 2 values for 3 images"


def test_a_missing_image_has_no_value_whatever_the_reward_says():
    answers = Answers(ok(0.0), RewardValue(value=None, outcome="not_applicable"), ok(1.0))
    made = values_of(answers, [None, None, IMAGE], [RECORD] * 3)
    assert [m.outcome for m in made] == ["failed", "not_applicable", "ok"]
    assert made[0].reason == "there is no image"


def test_a_reward_cannot_change_the_data_set():
    class Writing:
        """Writes into what it was given."""

        def rewards(self, images, records):
            records[0]["metadata"]["words"].append("moon")
            images.clear()
            return [ok(1.0)]

    record = {**RECORD, "metadata": {"words": ["star"]}}
    assert values_of(Writing(), [IMAGE], [record])[0].value == 1.0
    assert record["metadata"] == {"words": ["star"]}


def test_the_limit_on_failures():
    refuse_share("reward x", 0.25, limit=0.25, reason="down")
    refuse_share("reward x", 0.0, limit=0.0, reason=None)
    with pytest.raises(TrainingError) as caught:
        refuse_share("reward x", 0.5, limit=0.25, reason="down.")
    told = "reward x: 50.0% failed in one step; expected at most 25%. First: down. Mend it and resume; the last saved state is kept."
    assert str(caught.value) == told
    # What is above the limit by less than the message shows is above it all the same.
    with pytest.raises(TrainingError, match=r"reward x: 25\.0% failed .* First: late\. "):
        refuse_share("reward x", 0.2501, limit=0.25, reason="late")


def test_a_failure_without_a_reason_here_was_met_elsewhere():
    with pytest.raises(TrainingError, match=r"reward x: 30\.0% failed in one step; expected at most 25%\. Another process met it\. Mend"):
        refuse_share("reward x", 0.3, limit=0.25, reason=None)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_weight_must_be_above_zero(weight):
    with pytest.raises(UniARError, match=r"rewards\.x\.weight: got"):
        RewardUse(name="x", weight=weight)
