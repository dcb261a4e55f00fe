"""A free answer -> yes, no, or neither: the four rules in use, which differ on "y", "eyes" and "Not really".

Sources: VLMEvalKit e8e78f0 (`YOrN_Extraction`), lmms-eval 75571cf (MME `parse_pred_ans`), the official MME `calculation.py`, the
official POPE evaluation (as carried by TorchUMM 083395e).
"""

from __future__ import annotations

from evals.understanding.punctuation import process_punctuation

UNKNOWN = "Unknown"


def vlmevalkit(text: str) -> str:
    """`Yes`, `No` or `Unknown`: exactly one of the words occurs, punctuation set aside.

    >>> vlmevalkit("The answer is yes."), vlmevalkit("yes or no"), vlmevalkit("Nope")
    ('Yes', 'Unknown', 'Unknown')
    """
    words = process_punctuation(text.lower()).split()
    if ("yes" in words) == ("no" in words):
        return UNKNOWN
    return "Yes" if "yes" in words else "No"


def lmms_mme(text: str) -> str:
    """`yes`, `no` or `other` by the first four characters, after stripping and dropping full stops; a lone y or n counts.

    >>> lmms_mme("Y"), lmms_mme("Not really"), lmms_mme("The answer is no")
    ('yes', 'no', 'other')
    """
    plain = text.lower().strip().replace(".", "")
    if len(plain) == 1:
        return {"y": "yes", "n": "no"}.get(plain, "other")
    return _by_prefix(plain)


def mme_official(text: str) -> str:
    """`yes`, `no` or `other` by the first four characters of the lower-cased text, nothing stripped.

    >>> mme_official("  Yes"), mme_official("eyes")
    ('other', 'yes')
    """
    return _by_prefix(text.lower())


def pope_official(text: str) -> str:
    """`no` when the first sentence holds the word No, no or not; everything else is `yes`, silence included.

    >>> pope_official("There is not. Yes"), pope_official("I cannot tell")
    ('no', 'yes')
    """
    words = text.split(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "no", "not"} & set(words) else "yes"


def _by_prefix(text: str) -> str:
    if text in ("yes", "no"):
        return text
    for word in ("yes", "no"):
        if word in text[:4]:
            return word
    return "other"
