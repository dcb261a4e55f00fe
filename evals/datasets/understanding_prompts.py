"""How each understanding benchmark words its question to the model; where harnesses differ, each by its name.

`official` is the form of lmms-eval 75571cf; `vlmevalkit` that of VLMEvalKit e8e78f0; `internvl` that of the InternVL and BAGEL scripts,
which join the same endings by a blank or a line break. Markers `<image 1>` stay in the words: the images are shown there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from evals.errors import DataError

LETTER = "Answer with the option's letter from the given choices directly."
WORD = "Answer the question using a single word or phrase."
SINGLE_WORD = "Answer the question with a single word."
YES_OR_NO = " Please answer yes or no."
"""What MME's questions end with, and lmms-eval takes away."""


class Asked(NamedTuple):
    """What a row asks."""

    question: str
    hint: str | None = None
    options: Mapping[str, str] | None = None
    """Letter -> text; None for a question without options, or with options inside its words."""
    query: str | None = None
    """MathVista: the question with its hint and choices, as published."""


Form = Callable[[Asked], str]


def _lines(asked: Asked) -> str:
    """The options, one a line."""
    return "\n".join(f"{letter}. {text}" for letter, text in (asked.options or {}).items())


def _with_options(asked: Asked) -> str:
    return f"{asked.question}\n{_lines(asked)}" if asked.options else asked.question


def _choice(ending: str = LETTER) -> Form:
    return lambda asked: f"{_with_options(asked)}\n{ending}"


def _ending(ending: str, joint: str = "\n") -> Form:
    return lambda asked: f"{asked.question}{joint}{ending}"


def _question(asked: Asked) -> str:
    return asked.question


def _mmmu(asked: Asked) -> str:
    return f"{_with_options(asked)}\n\n{LETTER if asked.options else WORD}"


def _mmbench(asked: Asked) -> str:
    hint = f"{asked.hint} " if asked.hint else ""
    return f"{hint}{asked.question} There are several options:\n{_lines(asked)}\n{LETTER}"


def _mmbench_internvl(asked: Asked) -> str:
    hint = f"{asked.hint}\n" if asked.hint else ""
    return f"{hint}{_with_options(asked)}\n{LETTER}"


def _scienceqa(asked: Asked) -> str:
    context = f"Context: {asked.hint}\n" if asked.hint else ""
    return f"{context}{_with_options(asked)}\n{LETTER}"


def _stripped_with_options(asked: Asked) -> str:
    return _with_options(asked._replace(question=asked.question.strip()))


def _stripped(asked: Asked) -> str:
    return asked.question.strip()


def _pope(asked: Asked) -> str:
    return f"{asked.question.strip()}\n{WORD}"


def _mme(asked: Asked) -> str:
    return f"{asked.question.strip().replace(YES_OR_NO, '')}\n{WORD}"


def _textvqa(asked: Asked) -> str:
    # As published: the first letter is made a capital and all others small.
    return f"{asked.question.capitalize()}\n{WORD}"


def _mathvista(asked: Asked) -> str:
    return asked.query or asked.question


def _mcq(asked: Asked) -> str:
    """VLMEvalKit's multiple-choice form; it ends with a blank and a line break."""
    hint = f"Hint: {asked.hint}\n" if asked.hint else ""
    choices = f"Options:\n{_lines(asked)}\nPlease select the correct answer from the options above. \n" if asked.options else ""
    return f"{hint}Question: {asked.question}\n{choices}"


FORMS: dict[str, dict[str, Form]] = {
    "mmmu": {"official": _mmmu, "vlmevalkit": _mcq},
    "mmbench": {"official": _mmbench, "vlmevalkit": _mcq, "internvl": _mmbench_internvl},
    # Without the period, as published.
    "mmstar": {"official": _choice(LETTER[:-1]), "vlmevalkit": _mcq},
    "seedbench": {"official": _choice(), "vlmevalkit": _mcq},
    "ai2d": {"official": _choice(), "vlmevalkit": _mcq},
    "scienceqa": {"official": _scienceqa, "vlmevalkit": _mcq},
    "realworldqa": {"official": _stripped_with_options, "vlmevalkit": _mcq},
    "pope": {"official": _pope, "vlmevalkit": _question},
    "mme": {"official": _mme, "vlmevalkit": _question, "internvl": _ending(WORD, " ")},
    "hallusion": {"official": _question, "vlmevalkit": _question},
    "textvqa": {"official": _textvqa, "vlmevalkit": _ending(WORD), "internvl": _ending(WORD, " ")},
    "chartqa": {"official": _ending(SINGLE_WORD), "vlmevalkit": _ending(WORD), "internvl": _ending(WORD, " ")},
    "docvqa": {"official": _ending(WORD), "vlmevalkit": _ending(WORD), "internvl": _ending(WORD, " ")},
    "infovqa": {"official": _ending(WORD), "vlmevalkit": _ending(WORD), "internvl": _ending(WORD, " ")},
    "ocrbench": {"official": _stripped, "vlmevalkit": _question},
    "mathvista": {"official": _mathvista, "vlmevalkit": _mathvista},
}
"""Benchmark -> protocol -> form."""


def form_of(benchmark: str, protocol: str) -> Form:
    """Return a benchmark's form.

    Raises:
        DataError: it has no such form.
    """
    known = FORMS[benchmark]
    if protocol not in known:
        raise DataError(f"understanding: protocol: got {protocol}; expected one of {', '.join(known)} for {benchmark}. Change the suite.")
    return known[protocol]
