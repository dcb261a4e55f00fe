"""DPG-Bench as a scorer: every question about one picture is put to the judge, and the yeses are counted.

Source: ELLA 3c228f1, `dpg_bench/compute_dpg_bench.py`. The rules are in `dpg_rules`; what an item's pictures sum to is in
`evals.metrics.dpg`. The official visual-question model answers in bare lower-case words; another judge is told to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError, PluginError
from evals.judges.reading import evidence, unusable
from evals.protocols import Reply, Roles
from evals.scorers import dpg_rules as rules
from evals.scorers.dpg_rules import Question
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

READINGS: tuple[str, ...] = ("exact", "word")


class DpgScorer:
    """Share of an item's questions that a picture answers with yes, 0 to 100, by the official rule and by a strict one."""

    name = "dpg"
    version = "1"
    source = "ELLA 3c228f1, dpg_bench/compute_dpg_bench.py"

    def __init__(
        self,
        *,
        roles: Roles,
        instruction: str = "Answer with one word in lower case: yes or no.",
        reading: str = "exact",
        max_tokens: int = 16,
    ) -> None:
        """Bind the rules to a judge.

        Args:
            roles: `judge`.
            instruction: what is said behind each question; empty puts the question alone.
            reading: how the official rule reads a reply: `exact` (`yes` and nothing else counts) or `word` (whatever its case and
                final mark). The strict rule always reads words.
            max_tokens: longest reply.

        Raises:
            PluginError: no judge, or a setting that cannot be.
        """
        if "judge" not in roles:
            raise PluginError("scorer dpg: roles: got no judge; expected one. Add `judge:` under `roles:`.")
        if reading not in READINGS:
            raise PluginError(f"scorer dpg: reading: got {reading}; expected one of {', '.join(READINGS)}. Change the suite.")
        if max_tokens < 1:
            raise PluginError(f"scorer dpg: max_tokens: got {max_tokens}; expected at least 1. Raise it.")
        self.judge = roles["judge"]
        self.instruction = instruction
        self.reading = reading
        self.max_tokens = max_tokens

    def canary(self) -> None:
        """Judge hand-worked answers; then ask the judge about a red circle: it must say yes and no in words that the rule reads.

        A judge that says `Yes.` would give every model 0. Nothing is asked in a replay or of a judge with `canary: false`.

        Raises:
            CanaryError: a case or a reply is wrong.
        """
        for questions, answers, official, strict in _CANARY:
            yes = dict(zip((q.id for q in questions), answers, strict=True))
            got = tuple(_or_none(rule, questions, yes) for rule in (rules.official_score, rules.strict_score))
            if any((a is None) != (b is None) or abs((a or 0) - (b or 0)) > 1e-9 for a, b in zip(got, (official, strict), strict=True)):
                raise CanaryError(
                    f"scorer dpg: canary: got {got}; expected {(official, strict)} for answers {answers}. "
                    "The rules in evals/scorers/dpg_rules.py are not DPG-Bench's."
                )
        inner = getattr(self.judge, "judge", self.judge)
        if getattr(self.judge, "replay", False) or not getattr(inner, "wants_canary", True):
            return
        picture = _red_circle()
        for question, expected in (("Is there a red circle?", True), ("Is there a blue star?", False)):
            reply = self._ask(question, picture)
            text, failed = reply.text or "", unusable(reply)
            # A no must be readable too: an official rule that takes anything but yes for no could not tell noise from a no.
            right = failed is None and rules.read_word(text) is expected and self._yes(text) is expected
            if not right:
                wanted = "yes" if expected else "no"
                told = failed[1] if failed is not None else f'"{" ".join(text.split())[:80]}"'
                raise CanaryError(
                    f'scorer dpg: canary: {self.judge.name}: got {told} to "{question}" about a red circle; expected {wanted}'
                    f"{', and just so, since the official rule counts anything else as no' if self.reading == 'exact' else ''}. "
                    "Use another judge or `instruction:`, or set `reading: word` for one that writes Yes. No score was written."
                )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Ask all questions of the sample's item about one picture.

        Raises:
            DataError: the sample's row holds no questions.
        """
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        questions = _questions(sample)
        replies: list[Reply] = []
        for question in questions:
            reply = self._ask(question.text, image)
            replies.append(reply)
            failed = unusable(reply)
            if failed is not None:
                return Score(**key, outcome=failed[0], reason=failed[1], evidence={"answers": _told(questions, replies)})
        texts = {q.id: str(reply.text) for q, reply in zip(questions, replies, strict=True)}
        official = _or_none(rules.official_score, [q for q in questions if q.official], {i: self._yes(t) for i, t in texts.items()})
        words = {i: rules.read_word(text) for i, text in texts.items()}
        unread = [i for i, word in words.items() if word is None]
        strict = None if unread else _or_none(rules.strict_score, questions, {i: bool(word) for i, word in words.items()})
        found: dict[str, Any] = {"answers": self._counted(_told(questions, replies))}
        values = {name: 100 * share for name, share in (("score", official), ("strict", strict)) if share is not None}
        lost = {}
        if official is None:
            lost["score"] = Outcome.NOT_APPLICABLE
        if strict is None:
            lost["strict"] = Outcome.JUDGE_UNPARSED if unread else Outcome.NOT_APPLICABLE
        reason = "; ".join(self._reasons(questions, words, official, strict))
        if not values:
            return Score(**key, outcome=lost["score"], reason=reason, evidence=found)
        if lost:
            found["outcomes"] = {name: outcome.value for name, outcome in lost.items()}
        return Score(**key, outcome=Outcome.OK, values=values, reason=reason, evidence=found)

    def _ask(self, question: str, image: Image.Image) -> Reply:
        text = f"{question} {self.instruction}" if self.instruction else question
        return self.judge.ask(text, [image], max_tokens=self.max_tokens)

    def _yes(self, reply: str) -> bool:
        return rules.read_exact(reply) if self.reading == "exact" else rules.read_word(reply) is True

    def _counted(self, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "yes": self._yes(one["reply"]), "word": rules.read_word(one["reply"])} for one in answers]

    def _reasons(
        self, questions: Sequence[Question], words: Mapping[int, bool | None], official: float | None, strict: float | None
    ) -> list[str]:
        said = [q for q in questions if words[q.id]]
        told = [f"{len(said)} of {len(questions)} questions answered yes"]
        if official is not None and (no := [q.text for q in questions if words[q.id] is False]):
            told.append(f"no to: {' '.join(no[:3])}{' ...' if len(no) > 3 else ''}")
        if official is None:
            told.append("the official loader dropped the first row of the table, which this item needs: the official code leaves it out")
        if unread := [q.text for q in questions if words[q.id] is None]:
            told.append(f"neither yes nor no to: {' '.join(unread[:3])}{' ...' if len(unread) > 3 else ''}")
        elif strict is None:
            told.append("a question depends on one that the table does not have")
        return told


def _or_none(
    rule: Callable[[Sequence[Question], Mapping[int, bool]], float], questions: Sequence[Question], yes: Mapping[int, bool]
) -> Any:
    try:
        return rule(questions, yes)
    except KeyError:
        return None


def _questions(sample: Sample) -> list[Question]:
    try:
        return [Question.from_json(one) for one in sample.metadata["questions"]]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"sample {sample.sample_id}: metadata: got no readable questions ({error!r}); expected a row of a dpg dataset. Use one."
        ) from error


def _told(questions: Sequence[Question], replies: Sequence[Reply]) -> list[dict[str, Any]]:
    return [
        {"id": q.id, "question": q.text, "category": q.category, "official": q.official, **evidence(reply)}
        for q, reply in zip(questions, replies, strict=False)
    ]


def _red_circle() -> Image.Image:
    from PIL import Image, ImageDraw

    # Drawn large and averaged down: a hard edge is no circle to a detector. The mini world's red and gray.
    picture = Image.new("RGB", (1024, 1024), (158, 160, 163))
    ImageDraw.Draw(picture).ellipse((304, 304, 719, 719), fill=(214, 30, 34))
    return picture.resize((256, 256), Image.Resampling.BOX)


def _chain(*order: int) -> list[Question]:
    # Question 2 depends on 1, and 3 on 2.
    return [Question(i, f"q{i}", (i - 1,), "entity - whole") for i in order]


# (questions, answered yes, official, strict); worked by hand from the published rules.
_CANARY: tuple[tuple[list[Question], tuple[bool, ...], float | None, float | None], ...] = (
    (_chain(1, 2, 3), (False, True, True), 0.0, 0.0),
    (_chain(3, 2, 1), (True, True, False), 1 / 3, 0.0),
    (_chain(1, 2, 3), (True, True, True), 1.0, 1.0),
    (_chain(2, 3), (True, True), None, None),
    ([Question(1, "q1", (0, 0), "global"), Question(2, "q2", (0,), "global")], (False, True), 0.5, 0.5),
)
