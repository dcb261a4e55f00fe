"""What a judge settles of an answer that no rule reads, when a suite declares one.

Benchmarks ask a language model at four places: which option an answer means (VLMEvalKit), whether it means yes or no (VLMEvalKit),
what the answer is (MathVista, with five examples), and whether it is right (HallusionBench). The wording here is our own, the replies
that are read and what they are worth are theirs. A reply that cannot be read is asked for again, then it is a typed outcome: the
random draw of the published code is not taken over. The image is not shown, as there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from evals.judges.reading import evidence, unusable
from evals.scorers.understanding_rules import Reading, Row
from evals.types import Outcome
from evals.understanding import choice, hallusion, mathvista

TRIES = 3
"""As VLMEvalKit."""


class Settled(NamedTuple):
    """What came of asking."""

    reading: Reading | None
    """None when nothing could be read."""
    outcome: Outcome
    reason: str
    replies: list[dict[str, Any]]


class Matter(NamedTuple):
    """One of the four places."""

    question: Callable[[Row, str], str]
    read: Callable[[Row, str], Reading | None]
    """Reply -> verdict, None when it is no reply to the question."""


def settle(judge: Any, matter: Matter, row: Row, text: str, *, tries: int = TRIES) -> Settled:
    """Ask until a reply can be read, `tries` times at most.

    Args:
        judge: see `evals.protocols.Judge`.
        matter: what to ask.
        row: the sample's metadata.
        text: the model's answer.
        tries: the first included.
    """
    question, said = matter.question(row, text), []
    for attempt in range(tries):
        reply = judge.ask(question, attempt=attempt)
        said.append(evidence(reply))
        failed = unusable(reply)
        if failed is not None:
            return Settled(None, *failed, said)
        found = matter.read(row, reply.text or "")
        if found is not None:
            return Settled(found, Outcome.OK, "", said)
    return Settled(None, Outcome.JUDGE_UNPARSED, f"none of {tries} replies of the judge could be read", said)


def matter_of(benchmark: str, row: Row) -> Matter | None:
    """Return what a judge can settle of a row's answer; None where the benchmark asks none."""
    if benchmark == "hallusion":
        return HALLUSION
    if benchmark in ("pope", "mme"):
        return YES_NO
    if benchmark == "mathvista":
        return EXTRACTION
    return OPTION if row.get("options") else None


# -- which option ----------------------------------------------------------------------------------------------------


def _which_option(row: Row, text: str) -> str:
    options = "\n".join(f"{letter}. {told}" for letter, told in row["options"].items())
    return (
        "Below are a question, its options and somebody's answer to it. Say which option the answer means. Do not answer the question "
        f"yourself.\nReply with the option's letter alone; reply {choice.REFUSED} if the answer means none of the options, or several.\n\n"
        f"Question: {row['question']}\nOptions:\n{options}\nAnswer: {text}\nLetter:"
    )


def _option(row: Row, reply: str) -> Reading | None:
    letter = choice.infer_option(reply, [*row["options"], choice.REFUSED])
    if letter is None:
        return None
    key = str(row.get("answer_option") or row["answer"])
    return Reading(float(letter == key), letter, "judge: which option the answer means")


# -- yes or no -------------------------------------------------------------------------------------------------------

_WORDS = re.compile(r"\b(yes|no|unknown)\b")


def _yes_or_no(row: Row, text: str) -> str:
    return (
        "Below are a question and somebody's answer to it. Say whether the answer means yes or no. Do not answer the question yourself.\n"
        "Reply with one word: Yes, No, or Unknown if it means neither.\n\n"
        f"Question: {row['question']}\nAnswer: {text}\nWord:"
    )


def _read_yes_or_no(row: Row, reply: str) -> Reading | None:
    found = set(_WORDS.findall(reply.lower()))
    if len(found) != 1:
        return None
    (word,) = found
    return Reading(float(word == str(row["answer"]).strip().lower()), word.capitalize(), "judge: whether the answer means yes")


# -- the answer itself -----------------------------------------------------------------------------------------------

_EXAMPLES = (
    ("How many sides does the field have?", "integer", "Going round the outline I count six sides, so it is a hexagon.", "6"),
    ("What is the slope of the line, to one decimal?", "float", "It rises 3 over 2, hence the slope is about 1.5 in these units.", "1.5"),
    ("Which years have the highest bar? Give a list.", "list", "The bars of 1998 and 2004 are equally high.", "[1998, 2004]"),
    ("Which of them is heavier?\n(A) the ball\n(B) the cube", "text", "The pan with the cube hangs lower; option B.", "B"),
    ("What colour is the longest segment?", "text", "Clearly the green one is the longest.", "green"),
)


def _extraction(row: Row, text: str) -> str:
    def shown(question: str, kind: str, answer: str, extracted: str) -> str:
        return f"Question: {question}\nKind of answer: {kind}\nResponse: {answer}\nExtracted answer:{extracted}"

    choices = "".join(f"\n({chr(65 + i)}) {told}" for i, told in enumerate(row.get("choices") or ()))
    own = shown(f"{row['question']}{choices}", str(row["answer_type"]), text, "")
    given = "\n\n".join(shown(question, kind, answer, f" {extracted}") for question, kind, answer, extracted in _EXAMPLES)
    return f"Take the final answer out of the response at the end, as in the examples. Reply with the answer alone.\n\n{given}\n\n{own}"


def _extracted(row: Row, reply: str) -> Reading | None:
    problem: Mapping[str, Any] = {"choices": None, "precision": None, **row}
    extraction = reply.strip().removeprefix("Extracted answer:").strip()
    if not extraction:
        return None
    normal = mathvista.normalize(extraction, problem)
    right = mathvista.is_correct(normal, row["answer"], strip=True)
    return Reading(float(right), extraction if normal is None else normal, "judge: extraction")


# -- right or wrong --------------------------------------------------------------------------------------------------


def _right_or_wrong(row: Row, text: str) -> str:
    reference = row.get("gt_answer_details") or row["answer"]
    return (
        "Below are a question, the true answer and somebody's answer. Say whether the answer agrees with the true one. Reply with one "
        "word: correct; incorrect, if it contradicts it; or unclear, if it takes no side or says that it cannot tell.\n\n"
        f"Question: {row['question']}\nTrue answer: {reference}\nAnswer: {text}\nWord:"
    )


def _hallusion(row: Row, reply: str) -> Reading | None:
    if not reply.strip():
        return None
    said = hallusion.read_judgement(reply)
    word = {hallusion.RIGHT: "correct", hallusion.WRONG: "incorrect", hallusion.UNCLEAR: "unclear"}[said]
    return Reading(float(hallusion.official_hit({**row, "judge": said})), word, "judge: correct, incorrect or unclear")


OPTION, YES_NO = Matter(_which_option, _option), Matter(_yes_or_no, _read_yes_or_no)
EXTRACTION, HALLUSION = Matter(_extraction, _extracted), Matter(_right_or_wrong, _hallusion)
