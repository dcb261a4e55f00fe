"""MMMU: the option parser in both published forms, the open-answer parser, and accuracy by subject and domain.

Source: MMMU-Benchmark/MMMU, `eval_utils.py`: the current form (as copied in lmms-eval 75571cf, `mmmu_mcq_utils`) and the form of
2023 (as copied by InternVL and BAGEL). Where no option is found the official code draws one at random; here that is undecided
unless a draw is asked for by its seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from evals.understanding import choice

Form = str
"""`current` or `2023`."""
FORMS: tuple[Form, ...] = ("current", "2023")

DOMAINS: dict[str, tuple[str, ...]] = {
    "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        "Basic_Medical_Science",
        "Clinical_Medicine",
        "Diagnostics_and_Laboratory_Medicine",
        "Pharmacy",
        "Public_Health",
    ),
    "Humanities and Social Science": ("History", "Literature", "Sociology", "Psychology"),
    "Tech and Engineering": (
        "Agriculture",
        "Architecture_and_Engineering",
        "Computer_Science",
        "Electronics",
        "Energy_and_Power",
        "Materials",
        "Mechanical_Engineering",
    ),
}
"""Six domains and their thirty subjects, as they stand in question ids."""

_WORDS_FOR_TEXT = 5


def parse_choice(response: str, options: Sequence[str], *, form: Form = "current", seed: int | None = None) -> str | None:
    """The option letter a response gives.

    Looked for in this order, until something is found: "(X)"; a letter followed by a blank (2023: with blanks on both sides);
    "X." (current only); the option's text, if the response has more than five words. Of several, the one found last, counted in
    the first manner for brackets, with blanks on both sides for letters, by text for texts.

    Args:
        response: what the model said.
        options: texts, A first.
        form: `current` or `2023`. The current form takes any letter that ends a word: "DNA polymerase" gives A.
        seed: where nothing is found, draw a letter with this seed, as the official code does without one.

    Returns:
        A letter; None when nothing is found and no draw was asked for.

    Raises:
        ValueError: another form, or no options.
    """
    if form not in FORMS or not options:
        raise ValueError(f"form {form!r} with {len(options)} options; expected one of {', '.join(FORMS)} and at least one option")
    for mark in ",.!?;:'":
        response = response.strip(mark)
    text, texts = f" {response} ", dict(zip(choice.letters(len(options)), options, strict=True))
    lowered = text.lower()
    if found := [letter for letter in texts if f"({letter})" in text]:
        return _last(found, [text.rfind(f"({letter})") for letter in found])
    shapes = ("{} ", "{}.") if form == "current" else (" {} ",)
    for shape in shapes:
        if found := [letter for letter in texts if shape.format(letter) in text]:
            # A letter that never stands free is at -1; if none does, the first one wins.
            return _last(found, [text.rfind(f" {letter} ") for letter in found])
    if len(text.split()) > _WORDS_FOR_TEXT and (found := [letter for letter, option in texts.items() if option.lower() in lowered]):
        return _last(found, [lowered.rfind(texts[letter].lower()) for letter in found])
    return None if seed is None else random.Random(seed).choice(list(texts))


def _last(found: Sequence[str], places: Sequence[int]) -> str:
    return found[places.index(max(places))]


def choice_right(gold: str | Sequence[str], letter: str | None) -> bool:
    """Whether the letter is the key, or one of the keys."""
    return letter is not None and (letter == gold if isinstance(gold, str) else letter in gold)


_SIGNALS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = (":", ",", ".", "!", "?", ";", "'")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
"""With thousands separators, scientific, plain; the last also takes the tail of the first ("1,000" holds 000)."""


def numbers_in(text: str) -> list[str]:
    """Every number in a text, as written: those with thousands separators, then scientific, then plain ones.

    >>> numbers_in("about 1,000 or 2e5")
    ['1,000', '2e5', '000', '5']
    """
    return [number for pattern in _NUMBERS for number in pattern.findall(text)]


def normalise(text: str) -> list[float | str]:
    """A number as a float of two decimals, any other text in lower case; a single character as two texts with a blank.

    >>> normalise(" 1,000.456 "), normalise("C"), normalise("DNA")
    ([1000.46], [' c', 'c '], ['dna'])
    """
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
        return [f" {text}", f"{text} "] if len(text) == 1 else [text]


def _key_parts(response: str) -> list[str]:
    # Official code also splits at a period before a capital, which after lower-casing never occurs.
    response = response.strip().strip(".").lower()
    lines = response.split("\n")
    found = []
    for number, line in enumerate(lines, 1):
        signals = (*_SIGNALS, "=") if number == len(lines) else _SIGNALS
        # The first of the shortest, empty ones passed over as long as nothing else was seen: `shortest` may shrink to "".
        shortest = None
        for signal in signals:
            if signal in line:
                tail = line.split(signal)[-1].strip()
                if not shortest or len(tail) < len(shortest):
                    shortest = tail
        if shortest and shortest not in _TRIVIAL:
            found.append(shortest)
    return found or [response]


def parse_open(response: str) -> list[float | str]:
    """What a free answer may mean: the shortest tail of each line after a word such as "is" or "answer" (in the last line also after
    "="), or the whole response if there is none; and every number in those. All normalised, without repetition.

    >>> parse_open("x = 1.06\\nso y = 4")
    [4.0]
    """
    parts = _key_parts(response)
    texts = [*parts, *(number for part in parts for number in numbers_in(part))]
    return list(dict.fromkeys(value for text in texts for value in normalise(text)))


def open_gold(gold: str | Sequence[str]) -> list[float | str]:
    """Key or keys of an open question, normalised."""
    return [value for text in ([gold] if isinstance(gold, str) else gold) for value in normalise(str(text))]


def open_right(gold: str | Sequence[str], parsed: Iterable[float | str]) -> bool:
    """Whether a parsed answer holds a key: a text that contains a key's text, or a float that equals a key's.

    lmms-eval 75571cf stores only the first element of the parsed set, as text, and then goes through its characters, so that an
    open answer is never right there; that is not followed.
    """
    keys = open_gold(gold)
    texts = [key for key in keys if isinstance(key, str)]
    return any(any(text in value for text in texts) if isinstance(value, str) else value in keys for value in parsed)


def subject_of(question_id: str) -> str:
    """Subject in an id such as `validation_Art_Theory_12`.

    >>> subject_of("validation_Art_Theory_12")
    'Art_Theory'

    Raises:
        ValueError: an id of another form.
    """
    found = re.fullmatch(r"[^_]+_(.+?)_\d+", question_id)
    if found is None:
        raise ValueError(f"id {question_id!r}; expected SPLIT_SUBJECT_NUMBER")
    return found[1]


class Accuracy(NamedTuple):
    """Accuracy over questions (instance level), 0 to 1, not rounded."""

    overall: float
    subjects: dict[str, float]
    domains: dict[str, float]
    """Only domains with a question."""


def accuracy(credits: Mapping[str, float]) -> Accuracy:
    """Accuracy of a set of questions.

    Args:
        credits: question id -> 1 right or 0 wrong; leave questions without a verdict out.

    Returns:
        NaN over no questions. Sums go subject by subject, as the official code's, which decides ties of its 5-digit rounding.
    """
    by_subject: dict[str, list[float]] = {}
    for question_id, credit in credits.items():
        by_subject.setdefault(subject_of(question_id), []).append(credit)
    subjects = {name: choice.mean(values) for name, values in by_subject.items()}

    def over(names: Iterable[str]) -> float:
        names = [name for name in names if name in by_subject]
        count = sum(len(by_subject[name]) for name in names)
        return sum(subjects[name] * len(by_subject[name]) for name in names) / count if count else float("nan")

    domains = {domain: over(names) for domain, names in DOMAINS.items() if by_subject.keys() & set(names)}
    return Accuracy(over(by_subject), subjects, domains)
