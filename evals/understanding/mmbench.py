"""MMBench: a question is right only if every rotation of its options is (circular evaluation).

Sources: VLMEvalKit e8e78f0, `dataset/utils/multiple_choice.py` (groups, prefetch, abbreviations); lmms-eval 75571cf,
`tasks/mmbench/mmbench_evals.py` (its own inference, the static mode). An undecided rotation is settled by a judge if there is one;
neither harness's random draw is taken over.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from evals.understanding import choice
from evals.understanding.verdict import Verdict, verdict

Row = Mapping[str, Any]
T = TypeVar("T")
Infer = Callable[[str, Mapping[str, str]], "str | None"]
"""(answer, options) -> letter, None when undecided."""

ROTATION = 1_000_000
"""Rotation k of question i has the index i + k times this."""
ABBREVIATIONS = {
    "coarse_perception": "CP",
    "finegrained_perception (instance-level)": "FP-S",
    "finegrained_perception (cross-instance)": "FP-C",
    "logic_reasoning": "LR",
    "relation_reasoning": "RR",
    "attribute_reasoning": "AR",
}

_LMMS_LETTERS = "ABCDE"
_LMMS_SHAPES = ("{}.", "{},", "{}:", "{})", "{}).", "({})", "({}).", ":{}", ":{},", ":{}.", ":{})", ":{}).")
_LMMS_TRUSTED_TOKENS = 3


def infer_lmms(answer: str, options: Mapping[str, str]) -> str | None:
    """lmms-eval's inference for MMBench: one bare letter A to E between blanks, else one in a shape such as "(B)." or ":B", else the
    only option text contained, in an answer of any length.

    A bare letter is not trusted when A is among more than three tokens, since it may be an article; "A woman" still gives A.
    """
    tokens = answer.split()
    if choice.API_FAILURE not in answer:
        article = "A" in tokens and len(tokens) > _LMMS_TRUSTED_TOKENS
        for shape in (*([] if article else ["{}"]), *_LMMS_SHAPES):
            named = [letter for letter in _LMMS_LETTERS if shape.format(letter) in tokens]
            if len(named) == 1:
                return named[0]
    return choice.infer_text(answer, options, limit=None)


def infer_lmms_static(answer: str, options: Mapping[str, str]) -> str | None:
    """lmms-eval's static mode for one answer: `infer_lmms`, then `choice.extract_letter`, both over the options A to D.

    Decides more wrong answers than right ones can lose: see `choice.extract_letter`.

    >>> infer_lmms_static("A dog is in the picture", {"A": "cat", "B": "dog"}), infer_lmms_static("**B**", {"A": "cat", "B": "dog"})
    ('B', 'B')
    """
    known = {letter: text for letter, text in options.items() if letter in string.ascii_uppercase[:4]}
    return infer_lmms(answer, known) or choice.extract_letter(answer, sorted(known))


def base_of(row: Row) -> int:
    """Index of the question a row is a rotation of: `g_index`, or the index modulo a million."""
    given = row.get("g_index")
    return int(row["index"]) % ROTATION if given is None or given != given else int(given)


def groups(rows: Iterable[T], *, fields: Callable[[T], Row] = lambda row: row) -> dict[int, list[T]]:
    """Rotations of each question, by its index; a question whose unrotated row is missing has no place in the score.

    Args:
        rows: of any kind.
        fields: row -> its `index` and `g_index`.
    """
    found: dict[int, list[T]] = {}
    for row in rows:
        found.setdefault(base_of(fields(row)), []).append(row)
    return {base: group for base, group in found.items() if any(int(fields(row)["index"]) == base for row in group)}


def combined(rotations: Iterable[Verdict]) -> Verdict:
    """Verdict of a question over those of its rotations: one wrong decides, else one undecided leaves it open.

    >>> combined([Verdict.UNDECIDED, Verdict.WRONG]).value, combined([Verdict.RIGHT, Verdict.UNDECIDED]).value
    ('wrong', 'undecided')
    """
    found = set(rotations)
    return next((one for one in (Verdict.WRONG, Verdict.UNDECIDED) if one in found), Verdict.RIGHT)


def group_verdict(rotations: Sequence[Row], *, infer: Infer = choice.infer, settle: Callable[[Row], str | None] | None = None) -> Verdict:
    """Verdict over the rotations of one question.

    Args:
        rotations: rows with `prediction`, `answer` and option columns.
        infer: rule that is tried first, on all rotations: a single decided wrong one fails the question at once.
        settle: asked for the letter of each rotation that is still undecided (a judge), in order, until one is wrong.

    Returns:
        Undecided if nothing decided is wrong and a rotation has no letter.
    """
    read = [verdict(infer(str(row["prediction"]), choice.options_of(row)), row["answer"]) for row in rotations]
    for place, row in enumerate(rotations):
        if combined(read) is Verdict.WRONG or settle is None:
            break
        if read[place] is Verdict.UNDECIDED:
            read[place] = verdict(settle(row), row["answer"])
    return combined(read)


def circular(rows: Sequence[Row], *, settle: Callable[[Row], str | None] | None = None) -> dict[int, Verdict]:
    """Verdict of each question by VLMEvalKit's rule; `Verdict.exact` is its `exact_matching` mode."""
    return {base: group_verdict(group, settle=settle) for base, group in groups(rows).items()}


def circular_lmms_static(rows: Sequence[Row]) -> dict[int, Verdict]:
    """Verdict of each question by lmms-eval without a judge: `infer_lmms_static` on every rotation."""
    ordered = [{key: value for key, value in row.items() if key != "g_index"} for row in sorted(rows, key=lambda row: row["index"])]
    return {base: group_verdict(group, infer=infer_lmms_static) for base, group in groups(ordered).items()}


def accuracy(rows: Sequence[Row], credits: Mapping[int, float | None]) -> choice.Table:
    """VLMEvalKit's table over questions (their unrotated rows), by split; l2-categories under their abbreviations.

    Args:
        rows: all rows.
        credits: index of a question -> credit, None for one without a verdict.
    """
    main = [row for row in rows if int(row["index"]) == base_of(row)]
    return choice.accuracy_table(main, lambda row: credits.get(int(row["index"])), names=ABBREVIATIONS)
