"""OneIG-Bench's text dimension as pure functions: edit distance, complete rate, word accuracy and their one score.

Source: OneIG-Benchmark 41b4983, `scripts/text/text_utils.py` and `text_score.py`. What is wanted is the cell `text_content`, the
literal text of a Python list: it is never parsed, its brackets, quotes and commas fall to the normalisation. Case counts.
"""

from __future__ import annotations

from typing import NamedTuple

from evals.scorers.text_rules import common, edit_distance, has_chinese, kept_characters, single_spaced, without_all, without_spaces

LIMITS = {"en": 100, "zh": 50}
"""Language -> edit distance from which a text is worth nothing (M)."""
LONG_CELL = 60
"""White-space tokens of a cell above which the OCR model may say more."""
SHORT_REPLY, LONG_REPLY = 128, 256
"""`max_new_tokens` of the OCR model."""

BLACK_REPEATED = "entirely black: the tile is dropped, and where a prompt keeps none, the text of the prompt before it is compared again"
BLACK_DROPPED = "entirely black: the tile is dropped, and a prompt that keeps none is left out"
"""Reason of a score without values, by policy."""

clean = without_all
"""Here both phrases are deleted."""


class Match(NamedTuple):
    """One image's text against a prompt's cell."""

    read: str
    """Normalised."""
    wanted: str
    """Normalised."""
    distance: int
    matched: int
    """Characters where the wanted text has Chinese, else words."""
    total: int

    @property
    def exact(self) -> bool:
        """Whether the normalised texts are equal."""
        return self.distance == 0

    @property
    def accuracy(self) -> float:
        """Matched share of what was wanted; 0 when that is nothing, as in the official code."""
        return self.matched / self.total if self.total else 0.0


def normalize(text: str) -> str:
    """Keep what counts; without any space as soon as there is Chinese, else with single spaces.

    >>> normalize("['Hello World', 'Open 24h']"), normalize("['城市 A']")
    ('Hello World Open 24h', '城市A')
    """
    kept = kept_characters(text)
    return without_spaces(kept) if has_chinese(kept) else single_spaced(kept)


def match(read: str, cell: str) -> Match:
    """Compare one image's text (not yet cleaned) with the literal cell."""
    return compare(normalize(clean(read)), normalize(cell))


def compare(read: str, wanted: str) -> Match:
    """Compare two normalised texts."""
    chinese = has_chinese(wanted)
    want, got = (list(wanted), list(read)) if chinese else (wanted.split(), read.split())
    return Match(read, wanted, edit_distance(read, wanted), common(want, got), len(want))


def reply_tokens(cell: str) -> int:
    """Longest reply of the OCR model for a prompt with this cell."""
    return LONG_REPLY if len(cell.split()) > LONG_CELL else SHORT_REPLY


def text_score(distance: float, complete: float, accuracy: float, *, limit: float) -> float:
    """One number of the three: 1 - min(M, ED) (1 - CR) (1 - WAC) / M.

    Args:
        distance: mean edit distance over the images.
        complete: share of exact images.
        accuracy: matched over wanted, summed over the images.
        limit: M, see `LIMITS`.

    >>> text_score(20, 0.25, 0.6, limit=50)
    0.88
    """
    return 1 - min(limit, distance) * (1 - complete) * (1 - accuracy) / limit
