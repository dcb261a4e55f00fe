"""MathVista: from a free answer to one that can be compared, and whether it is right.

Sources: the official `extract_answer.py` and `calculate_score.py` (copies in TorchUMM 083395e and lmms-eval 75571cf). What no rule can
extract is asked of a language model there; that judge is the caller's, and None stands for "ask". VLMEvalKit (e8e78f0) compares a list
or a text with the word None, so that such an answer is never right: a bug, kept behind `vlmevalkit_check` for parity alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evals.scorers.text_rules import edit_distance
from evals.understanding.choice import infer, letters

Problem = Mapping[str, Any]
"""`question_type` (multi_choice or free_form), `answer_type` (text, integer, float, list), `choices`, `precision`, `answer`."""

_QUOTED = re.compile(r'The answer is "(.*)"\.')
_LETTER = re.compile(r"\(([a-zA-Z])\)")


def quick_extraction(response: str, problem: Problem) -> str | None:
    """Return what the rules extract, None when a language model would be asked.

    >>> quick_extraction("18", {"question_type": "free_form", "answer_type": "integer", "choices": None})
    '18'
    """
    if not response:
        return ""
    if problem["question_type"] == "multi_choice" and response in (problem["choices"] or ()):
        return response
    kind = problem["answer_type"]
    if kind in ("integer", "float"):
        try:
            return str(int(response)) if kind == "integer" else str(float(response))
        except ValueError:
            pass
    found = _QUOTED.search(response)
    return found.group(1) if found else None


def normalize(extraction: str, problem: Problem) -> str | None:
    """Return an extracted answer in the form of the benchmark's, None when it has none (no number where one is due).

    >>> problem = {"question_type": "multi_choice", "answer_type": "text", "choices": ["3/11", "8/11"], "precision": None}
    >>> normalize("(b)", problem), normalize("8/12", problem)
    ('8/11', '8/11')
    """
    if problem["question_type"] == "multi_choice":
        return _choice(str(extraction).strip(), problem["choices"])
    try:
        if problem["answer_type"] == "integer":
            return str(int(float(extraction)))
        if problem["answer_type"] == "float":
            precision = problem["precision"]
            return str(round(float(extraction), None if precision is None else int(precision)))
    except (ValueError, OverflowError, TypeError):
        return None
    return str(extraction)


def is_correct(normalized: str | None, answer: str, *, strip: bool = False) -> bool:
    """Return whether a normalised answer is the benchmark's; `strip` sets blanks at both ends aside (lmms-eval)."""
    if strip:
        return str(normalized).strip() == str(answer).strip()
    return normalized == answer


def accuracy(rows: Iterable[tuple[Mapping[str, Any], float]]) -> dict[str, float]:
    """Return the share that is right of all rows (`Overall`), of each task and of each skill; a row counts once in each of its skills.

    Args:
        rows: (the row's `metadata` with `task` and a list `skills`, 1 right or 0 wrong).

    >>> accuracy([({"task": "VQA", "skills": ["a", "b"]}, 1.0), ({"task": "TQA", "skills": ["b"]}, 0.0)])
    {'Overall': 0.5, 'VQA': 1.0, 'a': 1.0, 'b': 0.5, 'TQA': 0.0}
    """
    groups: dict[str, list[float]] = {}
    for metadata, right in rows:
        names = ["Overall", metadata.get("task"), *(metadata.get("skills") or ())]
        for name in dict.fromkeys(name for name in names if name):
            groups.setdefault(name, []).append(right)
    return {name: sum(values) / len(values) for name, values in groups.items()}


def _choice(text: str, choices: Sequence[str]) -> str:
    letters = _LETTER.findall(text)
    if letters:
        text = letters[0].upper()
    options = [chr(ord("A") + i) for i in range(len(choices))]
    if text in options:
        return choices[options.index(text)]
    # The nearest by edits, the first of equals: an answer that is none of them becomes one, as published.
    distances = [edit_distance(text, choice) for choice in choices]
    return choices[distances.index(min(distances))]


def vlmevalkit_check(line: Mapping[str, Any], response: str, *, prefetch: bool) -> Any:
    """VLMEvalKit's `post_check`: the extracted value (prefetch) or True when it equals the answer, else False."""
    got: Any = None
    wanted: Any = line["answer"]
    try:
        if line["question_type"] == "multi_choice":
            wanted = line["answer_option"]
            got = infer(response, dict(zip(letters(len(line["choices"])), line["choices"], strict=True))) or False
            if prefetch:
                return got
        elif line["answer_type"] == "integer":
            got, wanted = int(response), int(line["answer"])
        elif line["answer_type"] == "float":
            got, wanted = float(response), float(line["answer"])
        else:
            got, wanted = str(got), str(wanted)
    except ValueError:
        pass
    return (got if prefetch else True) if got == wanted else False
