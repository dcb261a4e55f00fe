"""Answers by log-likelihood: the model does not write, it tells how likely each option is, and the likeliest is its answer.

Three ways, as in lm-evaluation-harness: the option's letter, its text (`acc` there), its text per byte (`acc_norm` there). Options
are those of the sample's row (`options`, letter -> text) or its `candidates` (words, for yes/no questions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evals.types import Sample


def continuations(sample: Sample, answer_by: str) -> dict[str, str]:
    """Return what is asked of each option, by its name: the letter, or the word itself; empty for a question without options.

    Args:
        sample: of an understanding dataset.
        answer_by: `letter`, `option` or `option_norm`.
    """
    options: Mapping[str, Any] | None = sample.metadata.get("options")
    if options:
        return {letter: letter if answer_by == "letter" else str(text) for letter, text in options.items()}
    return {word: word for word in sample.metadata.get("candidates") or ()}


def ranked(found: Mapping[str, float], told: Mapping[str, str], answer_by: str) -> dict[str, float]:
    """Return the numbers that are compared: log-probabilities, or with `option_norm` each over the bytes of its text."""
    if answer_by != "option_norm":
        return dict(found)
    return {name: value / len(told[name].encode()) for name, value in found.items()}


def likeliest(values: Mapping[str, float]) -> str | None:
    """Return the option with the highest number, None when two share it.

    >>> likeliest({"A": -0.5, "B": -0.1}), likeliest({"A": -0.1, "B": -0.1})
    ('B', None)
    """
    best = max(values.values())
    names = [name for name, value in values.items() if value == best]
    return names[0] if len(names) == 1 else None


def without_options(samples: Sequence[Sample]) -> int:
    """Return of how many samples the question has no options, so that it is answered in words."""
    return sum(not continuations(sample, "letter") for sample in samples)


def choose(model: Any, asked: Iterable[tuple[Sample, Any]], answer_by: str) -> list[dict[str, float]]:
    """Ask for the options' likelihoods.

    Args:
        model: `uniar.load(...)`.
        asked: (sample, its images as `understand` takes them) with options.
        answer_by: see `continuations`.

    Returns:
        Option -> the number that is compared, one table a sample.
    """
    pairs = list(asked)
    told = [continuations(sample, answer_by) for sample, _ in pairs]
    found = model.likelihoods([sample.prompt for sample, _ in pairs], [images for _, images in pairs], [list(t.values()) for t in told])
    return [
        ranked(dict(zip(names, (one.logprob for one in row), strict=True)), names, answer_by)
        for names, row in zip(told, found, strict=True)
    ]
