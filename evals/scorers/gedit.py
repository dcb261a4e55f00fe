"""GEdit-Bench as a scorer: two questions an edit, one of source and edited image, one of the edited image alone.

Source: stepfun-ai/Step1X-Edit 570eba6, `GEdit-Bench/run_gedit_score.py` and `viescore/` (VIEScore, task `tie`). The rules are in
`gedit_rules`, the questions in `edit_rubrics`; the judge is a role, so that official and mini are scored by the same code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, PluginError
from evals.judges.reading import evidence, unusable
from evals.protocols import Judge, Reply, Roles
from evals.scorers import edit_rubrics
from evals.scorers import gedit_rules as rules
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

_QUESTIONS = ("sc", "pq")


class GEditScorer:
    """SC, PQ and their geometric mean, 0 to 10; `strict` is the geometric mean by the careful reading."""

    name = "gedit"
    version = "1"
    source = "stepfun-ai/Step1X-Edit 570eba6, GEdit-Bench"
    needs_source = True

    def __init__(
        self,
        *,
        roles: Roles,
        rubric: str = "official",
        folder: str | None = None,
        tries: int = 2,
        random_guess: bool = False,
        guess_seed: int = 0,
        images_first: bool = False,
        max_tokens: int | None = 512,
    ) -> None:
        """Bind the rules to a judge and read the questions.

        Args:
            roles: `judge`.
            rubric: `official` (the benchmark's `vie_prompts.py`) or `mini`.
            folder: a copy of the benchmark's code; None looks under the data root.
            tries: how often both questions are asked while a reply cannot be read, the first included.
            random_guess: put a number drawn from 0 to 10 in place of a last reply without braces, as the official code does.
            guess_seed: of those draws, together with the sample's id, the repeat and the question.
            images_first: put the images before the text.
            max_tokens: longest reply.

        Raises:
            PluginError: no judge, or a setting that is none of its words.
            DataError: the official file is missing or malformed.
        """
        if "judge" not in roles:
            raise PluginError("scorer gedit: roles: got no judge; expected one. Add `judge:` under `roles:`.")
        if rubric not in ("official", "mini"):
            raise PluginError(f"scorer gedit: rubric: got {rubric}; expected official or mini. Change the suite.")
        if tries < 1:
            raise PluginError(f"scorer gedit: tries: got {tries}; expected at least 1. Raise it.")
        self.judge: Judge = roles["judge"]
        self.rubric = edit_rubrics.gedit_rubric(folder) if rubric == "official" else edit_rubrics.MINI_GEDIT
        self.tries = tries
        self.random_guess = random_guess
        self.guess_seed = guess_seed
        self.images_first = images_first
        self.max_tokens = max_tokens

    def canary(self) -> None:
        """Read replies with known scores.

        Raises:
            CanaryError: one is read otherwise.
        """
        for reply, *wanted in _CANARY:
            got = [rules.lowest(rules.parse(reply)), rules.strict(reply).value]
            if got != wanted:
                raise CanaryError(
                    f"scorer gedit: canary: got {got} for {reply!r}; expected {wanted} (official, strict). "
                    "The rules in evals/scorers/gedit_rules.py are not GEdit's."
                )

    def score(self, sample: Sample, output: Output, image: Image.Image | None, *, source: Image.Image) -> Score:
        """Judge one edit, the edited image brought to the source's size first."""
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        # PIL's default for RGB is bicubic, which the official script uses without naming it.
        edited = image.convert("RGB").resize(source.size)
        questions = {
            "sc": (self.rubric.sc.replace(edit_rubrics.INSTRUCTION_SLOT, sample.prompt), [source, edited]),
            "pq": (self.rubric.pq, [edited]),
        }
        replies: dict[str, list[Reply]] = {name: [] for name in _QUESTIONS}
        found: dict[str, Any] = {"replies": {name: [] for name in _QUESTIONS}}
        parsed: dict[str, rules.Parsed] = dict.fromkeys(_QUESTIONS, False)
        for attempt in range(self.tries):
            # One reply that cannot be read is reason to ask both questions again.
            for name, (question, images) in questions.items():
                reply = self.judge.ask(question, images, max_tokens=self.max_tokens, images_first=self.images_first, attempt=attempt)
                found["replies"][name].append(evidence(reply))
                failed = unusable(reply)
                if failed is not None:
                    return Score(**key, outcome=failed[0], reason=f"{name}: {failed[1]}", evidence=found)
                if reply.text == rules.RATE_LIMIT:
                    reason = f"{name}: the judge's reply is {rules.RATE_LIMIT}"
                    return Score(**key, outcome=Outcome.JUDGE_ERROR, reason=reason, evidence=found)
                replies[name].append(reply)
                parsed[name] = rules.parse(str(reply.text))
            if all(rules.lowest(one) is not None for one in parsed.values()):
                break
        if self.random_guess and len(replies["sc"]) > 1:
            self._guess(key, replies, parsed, found)
        return self._summed(key, parsed, replies, found)

    def _guess(self, key: dict[str, Any], replies: dict[str, list[Reply]], parsed: dict[str, rules.Parsed], found: dict[str, Any]) -> None:
        # The official code guesses from the second try on, and then also where the reply is a bare list or number.
        for name in _QUESTIONS:
            text = str(replies[name][-1].text)
            if not rules.has_braces(text):
                number = rules.guess(self.guess_seed, key["sample_id"], str(key["repeat"]), name)
                parsed[name] = {"score": [number], "reasoning": f"guess_if_cannot_parse | {text}"}
                found.setdefault("guessed", {})[name] = number

    def _summed(
        self, key: dict[str, Any], parsed: dict[str, rules.Parsed], replies: dict[str, list[Reply]], found: dict[str, Any]
    ) -> Score:
        sc, pq = (rules.lowest(parsed[name]) for name in _QUESTIONS)
        values: dict[str, float] = {}
        if sc is not None and pq is not None:
            if min(sc, pq) < 0:
                reason = f"the judge gave {min(sc, pq):g}, below the scale's 0"
                return Score(**key, outcome=Outcome.OFF_SCALE, reason=reason, evidence=found)
            values = {"sc": float(sc), "pq": float(pq), "overall": rules.overall(sc, pq)}
        # The strict reading takes the same tries, the first that it can read, so that it costs no question of its own.
        strict = [_first(rules.strict(str(reply.text)).value for reply in replies[name]) for name in _QUESTIONS]
        if strict[0] is not None and strict[1] is not None:
            values["strict"] = rules.overall(strict[0], strict[1])
        if not values:
            name = "sc" if sc is None else "pq"
            reason = (
                f"{name}: none of {len(replies[name])} replies can be read; the last one {rules.strict(str(replies[name][-1].text)).reason}"
            )
            return Score(**key, outcome=Outcome.JUDGE_UNPARSED, reason=reason, evidence=found)
        found["outcomes"] = {name: Outcome.JUDGE_UNPARSED.value for name in ("sc", "pq", "overall", "strict") if name not in values}
        told = f"SC {sc:g}, PQ {pq:g}" if "overall" in values else "official reading: none"
        if "guessed" in found:
            told += f" ({', '.join(found['guessed'])} guessed)"
        return Score(**key, outcome=Outcome.OK, values=values, reason=told, evidence=found)


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


# (reply, official, strict); worked by hand from the published rules.
_CANARY: tuple[tuple[Any, ...], ...] = (
    ('{"score" : [8, 7], "reasoning" : "fine"}', 7, 7.0),
    ("Scores: [2, 5]", 2, 2.0),
    ('{"score": 5, "reasoning": "fine"}', 5, None),
    ('{"score" : [4, 3], "reasoning" : "he said "hi""}', None, 3.0),
    ("[4, 0, 3]", None, None),
    ("I cannot judge this.", None, None),
)
