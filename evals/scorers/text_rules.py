"""What the two text benchmarks share: which characters count, how words are matched, and the edit distance.

Source: X-Omni 2b8237b (textbench) and OneIG-Benchmark 41b4983 (scripts/text), which use one character class. Pure functions of
strings; leaves cleaning and sums, in which they differ, to `longtext_rules` and `oneig_text_rules`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

LANGUAGES = ("en", "zh")
HALLUCINATIONS = ("addCriterion", "No text recognized.")
"""What the benchmarks' OCR model says instead of reading, in the order of their lists."""

_KEPT = "\u4e00-\u9fa5a-zA-Z0-9àâäéèêëîïôöùûüçÀÂÄÉÈÊËÎÏÔÖÙÛÜÇ"
_DROPPED = re.compile(rf"[^{_KEPT}\s]")
_CHINESE = re.compile("[\u4e00-\u9fa5]")


def kept_characters(text: str) -> str:
    """Delete all but Chinese U+4E00 to U+9FA5, Latin letters, digits, French accented letters and white space.

    >>> kept_characters("CENTRAL-PARK: 2 blocks")
    'CENTRALPARK 2 blocks'
    """
    return _DROPPED.sub("", text)


def single_spaced(text: str) -> str:
    """Collapse every run of white space to one space and strip the ends."""
    return re.sub(r"\s+", " ", text).strip()


def without_spaces(text: str) -> str:
    """Delete all white space."""
    return re.sub(r"\s+", "", text)


def has_chinese(text: str) -> bool:
    """Whether any character is Chinese (of the class above)."""
    return _CHINESE.search(text) is not None


def without_all(text: str, phrases: Sequence[str] = HALLUCINATIONS) -> str:
    """Delete every phrase, one after the other; what a deletion brings together is deleted once more only next to a newline.

    >>> without_all("addCriterion\\nNo text recognized.")
    '\\n'
    """
    for phrase in phrases:
        # The second and third form find only what the first has brought together.
        for form in (phrase, f"\n{phrase}", f"{phrase}\n"):
            text = text.replace(form, "")
    return text


def common(wanted: Sequence[str], read: Sequence[str]) -> int:
    """Size of the multiset intersection: each wanted word (or character of a string) counts as often as it was read.

    >>> common("Locally roasted".split(), "roasted roasted Locally".split())
    2
    """
    return (Counter(wanted) & Counter(read)).total()


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance in characters.

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
