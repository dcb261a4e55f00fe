"""WISE as a scorer: ask a judge about picture, prompt and explanation, and read its marks.

Source: PKU-YuanGroup/WISE eb51174. Two versions, chosen by `mode`: `legacy` (three marks of 0 to 2, WiScore) and `verified`
(one mark of 0 or 1). The official rubric is read from the benchmark's script; the mini world has one of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, PluginError
from evals.judges.reading import evidence, unusable
from evals.protocols import Reply, Roles
from evals.scorers import wise_rules as rules
from evals.scorers.wise_rubric import Rubric, Slot, read_rubric
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

SCRIPTS: dict[str, tuple[str, ...]] = {"legacy": ("WISE_legacy/gpt_eval.py", "gpt_eval.py"), "verified": ("vllm_eval.py",)}
"""Where the repository keeps each version's rubric; the first that is there."""
_MINI_LEGACY = (
    "You see a picture of flat shapes. Mark three things, each 0, 1 or 2, and answer with three lines and nothing else.\n"
    "Consistency: does it show what is expected? Realism: are the shapes whole and cleanly drawn? "
    "Aesthetic Quality: do they stand inside the picture and apart from each other?\n"
)
_MINI_VERIFIED = (
    "You see a picture of flat shapes. Does it show all that is expected? Answer with one line and nothing else, Score: 1 or Score: 0.\n"
)
_MINI_ROW = ('PROMPT: "', Slot("Prompt"), '"\nEXPLANATION: "', Slot("Explanation"), '"')
MINI = {"legacy": Rubric((_MINI_LEGACY, *_MINI_ROW)), "verified": Rubric((_MINI_VERIFIED, *_MINI_ROW))}
"""Rubrics of the mini world; `evals/judges/shapes_wise.py` knows them by their first sentences."""


class WiseScorer:
    """WiScore (legacy: 0 to 1 of three marks) or the mark itself (verified: 0 or 1), by the official and by a strict reading."""

    name = "wise"
    version = "1"
    source = "PKU-YuanGroup/WISE eb51174, WISE_legacy/gpt_eval.py, Calculate.py, vllm_eval.py"

    def __init__(
        self,
        *,
        roles: Roles,
        mode: str = "legacy",
        rubric: str = "official",
        folder: str | None = None,
        tries: int = 3,
        max_tokens: int = 2000,
    ) -> None:
        """Bind the rules to a judge and read the rubric.

        Args:
            roles: `judge`.
            mode: `legacy` or `verified`.
            rubric: `official` (out of the benchmark's script) or `mini`.
            folder: a copy of the benchmark's repository; None looks under the data root.
            tries: how often a reply that cannot be read is asked for again, the first included.
            max_tokens: longest reply.

        Raises:
            PluginError: no judge, or a setting that is none of its words.
            DataError: the official script is not there or not readable.
        """
        if "judge" not in roles:
            raise PluginError("scorer wise: roles: got no judge; expected one. Add `judge:` under `roles:`.")
        for key, got, known in (("mode", mode, tuple(SCRIPTS)), ("rubric", rubric, ("official", "mini"))):
            if got not in known:
                raise PluginError(f"scorer wise: {key}: got {got}; expected one of {', '.join(known)}. Change the suite.")
        if tries < 1:
            raise PluginError(f"scorer wise: tries: got {tries}; expected at least 1. Raise it.")
        self.judge = roles["judge"]
        self.mode = mode
        self.tries = tries
        self.max_tokens = max_tokens
        self.rubric = MINI[mode] if rubric == "mini" else _official(mode, folder)

    def canary(self) -> None:
        """Read replies with known marks.

        Raises:
            CanaryError: one is read otherwise.
        """
        for text, legacy, verified, strict in _CANARY:
            got = (
                rules.wiscore(rules.parse_legacy(text)),
                rules.parse_verified(text).get("score"),
                rules.wiscore(rules.strict_legacy(text)),
            )
            if not all(_close(a, b) for a, b in zip(got, (legacy, verified, strict), strict=True)):
                raise CanaryError(
                    f"scorer wise: canary: got {got} for {text!r}; expected {(legacy, verified, strict)}. "
                    "The rules in evals/scorers/wise_rules.py are not WISE's."
                )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Ask about one image, again while the reply cannot be read, `tries` times at most.

        Raises:
            DataError: the sample's row lacks what the rubric names.
        """
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        question = self.rubric.question(sample.metadata)
        replies: list[Reply] = []
        official: dict[str, float] = {}
        for attempt in range(self.tries):
            reply = self.judge.ask(
                question,
                [image],
                system=self.rubric.system,
                max_tokens=self.max_tokens,
                images_first=self.rubric.images_first,
                attempt=attempt,
            )
            failed = unusable(reply)
            if failed is not None:
                return Score(**key, outcome=failed[0], reason=failed[1], evidence={"replies": [evidence(r) for r in (*replies, reply)]})
            replies.append(reply)
            official = self._read(reply, strict=False)
            if official:
                break
        # The strict reading takes the same tries: the first that it can read, so that it costs no question of its own.
        strict = next((marks for marks in (self._read(reply, strict=True) for reply in replies) if marks), {})
        found = {"replies": [evidence(reply) for reply in replies]}
        beyond = {name: mark for name, mark in official.items() if mark > (rules.TOP if self.mode == "legacy" else 1.0)}
        if beyond:
            name, mark = next(iter(beyond.items()))
            reason = f"the judge marked {name} {mark:g}, and the scale ends at {rules.TOP:g}"
            return Score(**key, outcome=Outcome.OFF_SCALE, reason=reason, evidence=found)
        if not official and not strict:
            reason = f"none of {len(replies)} replies holds {'all three marks' if self.mode == 'legacy' else 'a mark of 0 or 1'}"
            return Score(**key, outcome=Outcome.JUDGE_UNPARSED, reason=reason, evidence=found)
        values = self._values(official) if official else {}
        if strict:
            values["strict"] = self._values(strict)["wiscore"]
        else:
            found["outcomes"] = {"strict": Outcome.JUDGE_UNPARSED.value}
        if not official:
            lost = ("wiscore", "consistency", "realism", "aesthetic") if self.mode == "legacy" else ("wiscore",)
            found["outcomes"] = dict.fromkeys(lost, Outcome.JUDGE_UNPARSED.value)
        told = ", ".join(f"{name.replace('_', ' ')} {mark:g}" for name, mark in (official or strict).items())
        return Score(**key, outcome=Outcome.OK, values=values, reason=told, evidence=found)

    def _read(self, reply: Reply, *, strict: bool) -> dict[str, float]:
        # Some of the three marks are a failed try, as in the official script.
        text = reply.text or ""
        if self.mode == "verified":
            return rules.strict_verified(text) if strict else rules.parse_verified(text)
        marks = rules.strict_legacy(text) if strict else rules.parse_legacy(text)
        return marks if len(marks) == len(rules.MARKS) else {}

    def _values(self, marks: dict[str, float]) -> dict[str, float]:
        # `wiscore` in both versions, so that one report reads either.
        if self.mode == "verified":
            return {"wiscore": marks["score"]}
        score = rules.wiscore(marks)
        assert score is not None
        return {
            "wiscore": score,
            "consistency": marks["consistency"],
            "realism": marks["realism"],
            "aesthetic": marks["aesthetic_quality"],
        }


def _official(mode: str, folder: str | None) -> Rubric:
    from evals.datasets.local import data_file

    return read_rubric(data_file("wise", *SCRIPTS[mode], folder=folder))


def _close(a: Any, b: Any) -> bool:
    return a is b or (a is not None and b is not None and abs(a - b) < 1e-9)


# (reply, WiScore, verified mark, WiScore of the strict reading); worked by hand from the published rules.
_CANARY: tuple[tuple[str, float | None, float | None, float | None], ...] = (
    ("Consistency: 2\nRealism: 1\nAesthetic Quality: 0", 0.8, None, 0.8),
    ("**Consistency**: 1\n**Realism**: 1\n**Aesthetic Quality**: 1", 0.5, None, 0.5),
    ("**Consistency:** 2\n**Realism:** 2\n**Aesthetic Quality:** 2", None, None, 1.0),
    ("Consistency: 1.5\nRealism: 1\nAesthetic Quality: 1", 0.5, None, None),
    ("Consistency: 2\nRealism: 2", None, None, None),
    ("0\n2\n2", 0.3, 0.0, 0.3),
    ("**Score**: 1", None, 1.0, None),
    ("1\n0", None, None, None),
)
