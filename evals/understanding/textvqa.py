"""VQA accuracy with ten references (TextVQA), under two normalisers that differ.

`evalai` is the official one (MMF's TextVQAAccuracyEvaluator, copied in lmms-eval 75571cf); `vlmevalkit` is VLMEvalKit's
(e8e78f0, `vqa_eval.py`). They part on "red,green" and on "10.".
"""

from __future__ import annotations

from collections.abc import Sequence

from evals.errors import PluginError
from evals.understanding.contractions import CONTRACTIONS
from evals.understanding.punctuation import process_punctuation

FLAVOURS = ("evalai", "vlmevalkit")
_NUMBERS = {
    word: str(i) for i, word in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])
} | {"none": "0"}
_ARTICLES = ("a", "an", "the")


def normalize(text: str, *, flavour: str = "evalai") -> str:
    """Return an answer in the form in which answers are compared.

    Raises:
        PluginError: an unknown flavour.

    >>> normalize("The two dogs"), normalize("a.m."), normalize("red,green"), normalize("red,green", flavour="vlmevalkit")
    ('2 dogs', 'am', 'redgreen', 'red green')
    """
    if flavour not in FLAVOURS:
        raise PluginError(f"textvqa: normaliser: got {flavour}; expected one of {', '.join(FLAVOURS)}.")
    official = flavour == "evalai"
    if official:
        text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = process_punctuation(text.replace("\n", " ").replace("\t", " ").strip(), any_stop=official)
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(prediction: str, answers: Sequence[str], *, flavour: str = "evalai") -> float:
    """Return the mean over the references of min(1, equal ones among the others / 3).

    >>> vqa_accuracy("red", ["red"] * 2 + ["blue"] * 8), vqa_accuracy("red", ["red"] * 4 + ["blue"] * 6)
    (0.6, 1.0)
    """
    ours = normalize(prediction, flavour=flavour)
    equal = [normalize(answer, flavour=flavour) == ours for answer in answers]
    return sum(min(1.0, (sum(equal) - own) / 3.0) for own in equal) / len(equal)
