"""Which language a benchmark's file is written in: the Chinese file under the English name must not be measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evals.errors import DataError

NAMES = {"en": "English", "zh": "Chinese", "cn": "Chinese"}
"""Language codes of the benchmarks; GEdit writes `cn`."""
_CHINESE = re.compile("[\u4e00-\u9fa5]")
_LATIN = re.compile("[A-Za-z]")


def language_of(text: Any) -> str | None:
    """Return `zh` for a text with a Chinese character, `en` for one with Latin letters and none, None without either.

    >>> language_of("open 24h"), language_of(["\u5f00\u95e8", "open"]), language_of("24")
    ('en', 'zh', None)
    """
    words = " ".join(map(str, text)) if isinstance(text, list) else str(text or "")
    if _CHINESE.search(words):
        return "zh"
    return "en" if _LATIN.search(words) else None


def expect_language(texts: Sequence[tuple[str, Any]], language: str) -> None:
    """Refuse a file of which most rows are written in another language; a few quotations are part of some benchmarks.

    Args:
        texts: (file and row, text or list of texts) of every row.
        language: `en`, `zh` or `cn`.

    Raises:
        DataError: more than half of the rows are in another language.
    """
    wanted = "zh" if language == "cn" else language
    other = [where for where, text in texts if language_of(text) not in (wanted, None)]
    if len(other) * 2 > len(texts):
        found = NAMES["zh" if wanted == "en" else "en"]
        raise DataError(
            f"{other[0]}: got {found} text, as in {len(other)} of {len(texts)} rows; expected {NAMES[language]}. "
            "This is the file of the other language: fetch it again, or change the profile."
        )
