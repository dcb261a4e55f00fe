"""Scorers as rewards of reinforcement learning, under the entry points `uniar.rewards`: geneval, ocr, unified.

What an image shows is told by the suites' own scorer and roles, what that is worth by `evals.reward_rules`. A tool that fails, or a
reply without a score, is `failed` and no zero; a prompt that a reward does not ask is `not_applicable`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evals.errors import PluginError, sentence
from evals.judges.reading import unusable
from evals.protocols import Reply
from evals.registry import Registry
from evals.reward_rules import (
    ASPECTS,
    POLICIES,
    Credit,
    join_lines,
    ocr_reward,
    partial_credit,
    read_reply,
    unified_reward,
    wanted_text,
)
from evals.scorers.geneval import GenEvalScorer
from evals.store.pictures import through_jpeg
from evals.types import Outcome, Output, Sample

if TYPE_CHECKING:
    from PIL import Image

_COLOR_OF = {"shapes": "shapes", "mask2former": "open-clip"}
"""Detector -> the colour role that goes with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardValue:
    """What a reward says of one image; the fields are those that `uniar.rewards` asks for."""

    value: float | None
    """None unless the outcome is `ok`."""
    outcome: str
    """`ok`, `not_applicable` or `failed`."""
    reason: str = ""


# -- GenEval ---------------------------------------------------------------------------------------------------------


class GenEvalReward:
    """Partial credit of images whose task is `geneval`; others do not apply.

    Args:
        scorer: says what an image shows.
        policy: one of `POLICIES`.
        jpeg_quality: see `evals.store.pictures.through_jpeg`.
    """

    def __init__(self, scorer: GenEvalScorer, *, policy: str = "official", jpeg_quality: int | None = None) -> None:
        self.scorer, self.policy, self.jpeg_quality = scorer, _policy("geneval", policy), jpeg_quality

    def judge(self, row: Mapping[str, Any], image: Image.Image) -> tuple[Credit, bool]:
        """Credit of one image against its row, and whether it is right by the benchmark's own rule.

        Raises:
            UserError: the row is none, or asks for classes that the detector was not told of.
        """
        sample = Sample(sample_id="0", task=str(row.get("tag")), prompt=str(row.get("prompt", "")), metadata=dict(row))
        output = Output(sample_id="0", task=sample.task, repeat=0, seed=0, outcome=Outcome.OK)
        # A colour is needed where the count is right, and there the scorer has asked for it.
        score = self.scorer.score(sample, output, through_jpeg(image, self.jpeg_quality))
        found = score.evidence["detections"]
        credit = partial_credit(row, found, position_threshold=self.scorer.position_threshold, policy=self.policy)
        return credit, bool(score.values["correct"])

    def rewards(self, images: Sequence[Image.Image | None], records: Sequence[Mapping[str, Any]]) -> list[RewardValue]:
        """One value an image, in order."""

        def one(image: Image.Image, record: Mapping[str, Any]) -> RewardValue:
            return RewardValue(value=self.judge(record["metadata"], image)[0].score, outcome="ok")

        return _each(images, records, one, task="geneval")


class _Swapped:
    """A detector that is shown blue for red, as the published reward server shows it to its own."""

    def __init__(self, detector: Any) -> None:
        self.name, self._detector = detector.name, detector

    def detect(self, image: Image.Image, classes: Sequence[str]) -> Any:
        from PIL import Image

        return self._detector.detect(Image.merge("RGB", image.convert("RGB").split()[::-1]), classes)


def geneval(
    *,
    detector: str = "mask2former",
    detector_settings: Mapping[str, Any] | None = None,
    color: str | None = None,
    color_settings: Mapping[str, Any] | None = None,
    classes: str | Sequence[str] | None = None,
    policy: str = "official",
    jpeg_quality: int | None = None,
    swap_channels: bool = False,
    **thresholds: Any,
) -> GenEvalReward:
    """The reward `geneval`.

    Args:
        detector: plugin name: `mask2former`, or `shapes` for the mini world.
        detector_settings: its keyword arguments.
        color: plugin name of the colour role; None takes the one that goes with the detector.
        color_settings: its keyword arguments.
        classes: see `GenEvalScorer`; None takes the detector's world.
        policy: `official` or `strict`, see `partial_credit`.
        jpeg_quality: see `evals.store.pictures.through_jpeg`; the published server is sent 75.
        swap_channels: detect on swapped red and blue, as the published server does.
        thresholds: further settings of `GenEvalScorer`.

    Raises:
        UserError: an unknown plugin or setting, weights that are not there, or a detector that fails its self-check.
    """
    roles = {"detector": _plugin("detector", detector, detector_settings)}
    chosen = _COLOR_OF.get(detector) if color is None else color
    if chosen is not None:
        roles["color"] = _plugin("color", chosen, color_settings)
    world = ("shapes" if detector == "shapes" else "coco") if classes is None else classes
    scorer = GenEvalScorer(roles=roles, classes=world, **thresholds)
    scorer.canary()
    if swap_channels:
        scorer.detector = _Swapped(scorer.detector)
    return GenEvalReward(scorer, policy=policy, jpeg_quality=jpeg_quality)


# -- OCR -------------------------------------------------------------------------------------------------------------


class OcrReward:
    """How well the quoted text can be read off images whose task is `ocr`; without quoted text it does not apply.

    Args:
        ocr: `read(image)` -> lines, see `evals.protocols.Ocr`; plain texts do as well.
        jpeg_quality: see `evals.store.pictures.through_jpeg`.
    """

    def __init__(self, ocr: Any, *, jpeg_quality: int | None = None) -> None:
        self.ocr, self.jpeg_quality = ocr, jpeg_quality

    def rewards(self, images: Sequence[Image.Image | None], records: Sequence[Mapping[str, Any]]) -> list[RewardValue]:
        """One value an image, in order."""

        def one(image: Image.Image, record: Mapping[str, Any]) -> RewardValue:
            wanted = wanted_text(record["instruction"])
            if not wanted.replace(" ", ""):
                return RewardValue(value=None, outcome="not_applicable", reason="the prompt has no text in double quotes")
            read = join_lines(self.ocr.read(through_jpeg(image, self.jpeg_quality)))
            return RewardValue(value=ocr_reward(wanted, read), outcome="ok")

        return _each(images, records, one, task="ocr")


def ocr(*, ocr: str, jpeg_quality: int | None = None, **settings: Any) -> OcrReward:
    """The reward `ocr`: plugin name of an OCR engine and its settings.

    Raises:
        UserError: an unknown plugin or setting, weights that are not there, or an engine that fails its self-check.
    """
    engine = _plugin("ocr", ocr, settings)
    check = getattr(engine, "canary", None)
    if check is not None:
        check()
    return OcrReward(engine, jpeg_quality=jpeg_quality)


# -- a judge ---------------------------------------------------------------------------------------------------------

QUESTION = (
    "Judge this generated image. It was asked for with these words: {prompt}\n"
    "Give three scores from 1 (worst) to 5 (best): alignment (does it show what was asked?), coherence (is it free of broken or "
    "impossible parts?) and style (is it pleasing to look at?). End with exactly these three lines:\n"
    "Alignment Score (1-5): X\nCoherence Score (1-5): Y\nStyle Score (1-5): Z"
)


class UnifiedReward:
    """A judge's alignment, coherence and style of any image.

    Args:
        judge: `ask(question, images)` -> the reply's text (or an object with `text`).
        policy: what a reply that lacks a score is: `official` counts it as 0 as long as there is another, `strict` has no value.
        jpeg_quality: see `evals.store.pictures.through_jpeg`; the published judge is sent 95.
    """

    def __init__(self, judge: Any, *, policy: str = "official", jpeg_quality: int | None = None) -> None:
        self.judge, self.policy, self.jpeg_quality = judge, _policy("unified", policy), jpeg_quality

    def rewards(self, images: Sequence[Image.Image | None], records: Sequence[Mapping[str, Any]]) -> list[RewardValue]:
        """One value an image, in order."""

        def one(image: Image.Image, record: Mapping[str, Any]) -> RewardValue:
            reply = self.judge.ask(QUESTION.format(prompt=record["instruction"]), [through_jpeg(image, self.jpeg_quality)])
            lost = unusable(reply) if isinstance(reply, Reply) else None
            if lost is not None:
                return RewardValue(value=None, outcome="failed", reason=lost[1])
            scores = read_reply(reply if isinstance(reply, str) else reply.text)
            missing = [name for name, score in scores.items() if not score > 0]
            # A refusal is no verdict: without a single score there is nothing to weigh.
            if len(missing) == len(ASPECTS) or (missing and self.policy == "strict"):
                return RewardValue(value=None, outcome="failed", reason=f"the reply has no {', '.join(missing)}")
            return RewardValue(value=unified_reward(scores), outcome="ok")

        return _each(images, records, one, at_once=int(getattr(self.judge, "concurrency", 1)))


def unified(*, judge: str, policy: str = "official", jpeg_quality: int | None = None, **settings: Any) -> UnifiedReward:
    """The reward `unified`: plugin name of a judge and its settings.

    Raises:
        UserError: an unknown plugin or setting, or a judge that cannot be reached.
    """
    return UnifiedReward(_plugin("judge", judge, settings), policy=policy, jpeg_quality=jpeg_quality)


# -- shared ----------------------------------------------------------------------------------------------------------


def _each(
    images: Sequence[Image.Image | None],
    records: Sequence[Mapping[str, Any]],
    one: Callable[[Image.Image, Mapping[str, Any]], RewardValue],
    *,
    task: str | None = None,
    at_once: int = 1,
) -> list[RewardValue]:
    def value(image: Image.Image | None, record: Mapping[str, Any]) -> RewardValue:
        if task is not None and record["task"] != task:
            return RewardValue(value=None, outcome="not_applicable", reason=f"the task is {record['task']}")
        if image is None:
            return RewardValue(value=None, outcome="failed", reason="there is no image")
        # One bad image or record costs its own value, not its neighbours'.
        try:
            return one(image, record)
        except Exception as error:
            return RewardValue(value=None, outcome="failed", reason=sentence(error))

    if len(images) != len(records):
        raise ValueError(f"got {len(images)} images and {len(records)} records")
    if at_once <= 1:
        return list(map(value, images, records))
    # A judge behind a server answers many questions at a time; the values keep the images' order.
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(value, images, records))


def _policy(name: str, policy: str) -> str:
    if policy not in POLICIES:
        raise PluginError(f"reward {name}: policy: got {policy}; expected one of {', '.join(POLICIES)}.")
    return policy


def _plugin(kind: str, name: str, settings: Mapping[str, Any] | None) -> Any:
    return Registry().load(kind, name)(**(settings or {}))
