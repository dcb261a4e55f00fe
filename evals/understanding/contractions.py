"""Words without an apostrophe -> with it: the table of the VQA evaluation (Antol et al. 2015, its odd entries included).

Written as stems and endings; `somebody'd` loses its apostrophe there, and so it does here.
"""

from __future__ import annotations


def _table() -> dict[str, str]:
    out: dict[str, str] = {}
    # n't, and n't've in both half-written forms.
    for stem in [
        "ai",
        "are",
        "ca",
        "could",
        "did",
        "does",
        "do",
        "had",
        "has",
        "have",
        "is",
        "might",
        "must",
        "need",
        "ought",
        "sha",
        "should",
        "was",
        "were",
        "wo",
        "would",
    ]:
        out[f"{stem}nt"] = f"{stem}n't"
    for stem in ("could", "had", "might", "should", "would"):
        out |= {f"{stem}nt've": f"{stem}n't've", f"{stem}n'tve": f"{stem}n't've"}
    for stem in ("could", "might", "must", "should", "would", "I", "they", "we", "what", "where", "who", "you", "not"):
        out[f"{stem}ve"] = f"{stem}'ve"
    for stem in ("he", "I", "it", "she", "somebody", "someone", "something", "there", "they", "we", "who", "you"):
        out |= {f"{stem}d've": f"{stem}'d've", f"{stem}'dve": f"{stem}'d've"}
    for stem in ("he", "how", "it", "someone", "something", "there", "they", "where", "who", "you"):
        out[f"{stem}d"] = f"{stem}'d"
    for stem in ("how", "it", "somebody", "someone", "something", "they", "what", "who", "why", "you"):
        out[f"{stem}ll"] = f"{stem}'ll"
    for stem in ("he", "how", "somebody", "someone", "that", "there", "what", "when", "where", "who", "why"):
        out[f"{stem}s"] = f"{stem}'s"
    for stem in ("there", "they", "what", "why", "you"):
        out[f"{stem}re"] = f"{stem}'re"
    out |= {"Im": "I'm", "maam": "ma'am", "oclock": "o'clock", "twas": "'twas", "somebody'd": "somebodyd"}
    out |= dict.fromkeys(("ow's'at", "'ows'at", "'ow'sat"), "'ow's'at")
    out |= {"yall": "y'all", "yall'll": "y'all'll", "y'allll": "y'all'll"}
    out |= dict.fromkeys(("yall'd've", "y'alld've", "y'all'dve"), "y'all'd've")
    return out


CONTRACTIONS = _table()
"""Word -> the word that is compared."""
