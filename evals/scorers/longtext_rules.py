"""LongText-Bench's verdict as pure functions: clean what was read, normalise, count the words that match, sum up.

Source: X-Omni 2b8237b, textbench (`clean_and_remove_hallucinations`, `summary_scores.py`). English is matched by words without
case, Chinese by characters with case; order and further text do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from evals.scorers.text_rules import HALLUCINATIONS, common, kept_characters, single_spaced, without_all, without_spaces


class Match(NamedTuple):
    """What was read of one image against what was wanted."""

    cleaned: str
    read: str
    """Normalised."""
    wanted: str
    """Normalised."""
    matched: int
    """Words (en) or characters (zh)."""
    total: int

    @property
    def accuracy(self) -> float:
        """Matched share of what was wanted.

        Raises:
            ZeroDivisionError: nothing is wanted, as in the official code.
        """
        return self.matched / self.total


def clean(text: str, *, strict: bool = False) -> str:
    """Delete what the OCR model says instead of reading.

    The official code starts each phrase from the original text again, so that only the last phrase is ever deleted; `strict`
    deletes both, as was meant.

    >>> clean("addCriterion\\nNo text recognized."), clean("addCriterion\\nNo text recognized.", strict=True)
    ('addCriterion\\n', '\\n')
    """
    return without_all(text, HALLUCINATIONS if strict else HALLUCINATIONS[-1:])


def normalize(text: str, language: str) -> str:
    """Keep what counts; English in lower case with single spaces, Chinese without any space and as it is.

    Args:
        text: anything.
        language: `en` or `zh`.
    """
    kept = kept_characters(text)
    return without_spaces(kept) if language == "zh" else single_spaced(kept).lower()


def match(read: str, wanted: Sequence[str], *, language: str, strict: bool = False) -> Match:
    """Compare one image's text with the wanted texts.

    Args:
        read: what the OCR gave, lines joined by newlines.
        wanted: the texts of the prompt, which are joined by a space.
        language: `en` or `zh`.
        strict: see `clean`.
    """
    cleaned = clean(read, strict=strict)
    got, want = normalize(cleaned, language), normalize(" ".join(wanted), language)
    units = (lambda text: list(text)) if language == "zh" else str.split
    return Match(cleaned, got, want, common(units(want), units(got)), len(units(want)))


def text_score(pairs: Iterable[tuple[float, float]]) -> float:
    """The benchmark's number: matched over wanted, summed over all images.

    Args:
        pairs: (matched, total) of each image.

    Raises:
        ZeroDivisionError: nothing was wanted.
    """
    rows = list(pairs)
    return sum(matched for matched, _ in rows) / sum(total for _, total in rows)


def score_line(score: float) -> str:
    """The official script's line, as text."""
    return f"Text Score: {score:.4f}\n"
