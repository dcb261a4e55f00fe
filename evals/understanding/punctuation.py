"""The punctuation rule of the VQA evaluation, as VLMEvalKit and the EvalAI processor (MMF, lmms-eval) have it.

A mark is deleted where it stands beside a space anywhere in the text, or where the text has digit,digit; else it becomes a space.
Full stops go by a pattern of their own, at most 32 of them: the published code passes a flag in the place of a count.
Sources: VLMEvalKit e8e78f0 `vqa_eval.py`; lmms-eval 75571cf `EvalAIAnswerProcessor`.
"""

from __future__ import annotations

import re

MARKS = (";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-", ">", "<", "@", "`", ",", "?", "!")
_COMMA = re.compile(r"(\d)(,)(\d)")
_LONE_STOP = re.compile(r"(?<!\d)\.(?!\d)")
_ANY_STOP = re.compile(r"\.(?!\d)")
_MOST_STOPS = 32


def process_punctuation(text: str, *, any_stop: bool = False) -> str:
    """Return the text without its punctuation.

    Args:
        text: as it is.
        any_stop: delete every full stop that no digit follows, as the published pattern with its mistyped look-behind does
            (EvalAI); else only those with no digit on either side (VLMEvalKit).

    >>> process_punctuation("v1.5, ok."), process_punctuation("10.", any_stop=True), process_punctuation("10.")
    ('v1.5 ok', '10', '10.')
    """
    numbers = _COMMA.search(text) is not None
    out = text
    for mark in MARKS:
        beside_space = f"{mark} " in text or f" {mark}" in text
        out = out.replace(mark, "" if beside_space or numbers else " ")
    return (_ANY_STOP if any_stop else _LONE_STOP).sub("", out, count=_MOST_STOPS)
