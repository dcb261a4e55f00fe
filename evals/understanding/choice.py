"""Multiple choice: which option an answer names, and the letter rules of single benchmarks.

Sources: VLMEvalKit e8e78f0, `vlmeval/utils/matching_util.py` (option and text inference) and `dataset/utils/multiple_choice.py`
(accuracy by split and group); lmms-eval 75571cf, `tasks/_task_utils/mcq_extract.py` (candidates by priority) and the tasks
scienceqa, seedbench, ai2d, realworldqa. MMBench's own inference stands in `mmbench`, MMMU's in `mmmu`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

API_FAILURE = "Failed to obtain answer via API"
"""What VLMEvalKit writes in place of an answer; it is no answer, whatever options it may contain."""
REFUSED = "Z"
"""What inference returns for a refusal: decided, and never the key."""

_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_SPACED = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_LAST_TOKENS = 4
_ANSWER_IS = re.compile(r"answer\s+is\s+\**([A-D])", re.IGNORECASE)


def letters(count: int) -> list[str]:
    """The first `count` option letters.

    >>> letters(3)
    ['A', 'B', 'C']
    """
    return list(string.ascii_uppercase[:count])


def options_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Options of a TSV row by letter; a column that is absent, None or NaN is no option.

    >>> options_of({"A": "red", "B": float("nan"), "question": "Q?"})
    {'A': 'red'}
    """
    present = {letter: row[letter] for letter in string.ascii_uppercase if letter in row}
    return {letter: str(text) for letter, text in present.items() if text is not None and text == text}


def infer_option(answer: str, options: Collection[str]) -> str | None:
    """VLMEvalKit, first step: the only option letter that stands as a token, among the last four tokens.

    Args:
        answer: what the model said.
        options: letters.

    Returns:
        A letter; `REFUSED` for a known refusal or the token Z; None when undecided. "answer is B" decides where tokens do not
        (A to D, any case, asterisks before the letter allowed).
    """
    if API_FAILURE in answer:
        return None
    if any(phrase in answer for phrase in _REFUSALS):
        return REFUSED
    tokens = answer.translate(_SPACED).split()
    named = [letter for letter in options if letter in tokens]
    if len(named) == 1 and tokens.index(named[0]) >= len(tokens) - _LAST_TOKENS:
        return named[0]
    if not named and REFUSED in tokens:
        return REFUSED
    found = _ANSWER_IS.search(answer)
    return found[1].upper() if found and found[1].upper() in options else None


def infer_text(answer: str, options: Mapping[str, str], *, limit: float | None = 2.0) -> str | None:
    """The only option whose text stands in the answer, ignoring case.

    Args:
        answer: what the model said.
        options: letter -> text.
        limit: an answer longer than this many times all option texts is not looked at; None looks at any.
    """
    answer, texts = answer.lower(), {letter: str(text).lower() for letter, text in options.items()}
    if limit is not None and len(answer) > limit * sum(map(len, texts.values())):
        return None
    found = [letter for letter, text in texts.items() if text in answer]
    return found[0] if len(found) == 1 else None


def infer(answer: str, options: Mapping[str, str]) -> str | None:
    """VLMEvalKit: the option an answer names by letter or else by text; `REFUSED`; None when undecided.

    >>> infer("A dog is in the picture", {"A": "teddy bear", "B": "rabbit", "C": "cat", "D": "dog"})
    'D'
    """
    if API_FAILURE in answer:
        return None
    return infer_option(answer, options) or infer_text(answer, options)


_SHAPES = {"({})": 6, "{}.": 5, "{}:": 4, "{})": 3, "{} ": 2}
_START, _END, _PHRASE, _ANYWHERE = 10, 9, 7, 0
_PHRASES = (
    *(
        f"{article}{subject} is"
        for article, subject in product(
            ("", "the "),
            ("answer", "correct answer", "best answer", "correct option", "best option", "choice", "correct choice"),
        )
    ),
    "my answer is",
    "my choice is",
    "i choose",
    "i select",
    "i pick",
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)


def extract_letter(response: str, options: Sequence[str] = tuple("ABCDEFGH")) -> str | None:
    """lmms-eval's robust extractor: the option letter found in the best place, and the last of equally good ones.

    Places from best to worst: start of the text, end of it, anywhere after a phrase such as "the answer is", "(X)", "X.", "X:",
    "X)", "X " and, if there is none of these, anywhere. Letters are upper case.

    Args:
        response: what the model said.
        options: letters that may be found.

    Returns:
        A letter, None when there is none. It decides more than it should: "A or B" gives A, and after "the answer is" a letter
        of a later word counts ("The answer is **D**. Because" gives B); `infer` leaves the first open.
    """
    text = response.strip()
    if not text:
        return None
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    bare, text = text.strip(), f" {text} "
    found: list[tuple[int, int, str]] = []
    for letter in options:
        for shape, rank in _SHAPES.items():
            found.append((rank, text.rfind(shape.format(letter)), letter))
        if bare.startswith(letter) and not bare[1:2].isalpha():
            found.append((_START, 0, letter))
        if bare.endswith(letter) and not bare[:-1][-1:].isalpha():
            found.append((_END, len(text) - 1, letter))
    lowered = text.lower()
    for phrase in _PHRASES:
        at = lowered.find(phrase)
        if at >= 0:
            found += [(_PHRASE, text.find(letter, at + len(phrase)), letter) for letter in options]
    found = [one for one in found if one[1] >= 0] or [(_ANYWHERE, text.rfind(letter), letter) for letter in options if letter in text]
    return max(found, key=lambda one: one[:2])[2] if found else None


def scienceqa_right(response: str, gold: str) -> bool:
    """ScienceQA: the letter alone (any case), or an upper-case letter followed by a period; blanks around do not matter.

    >>> scienceqa_right("b", "B"), scienceqa_right("B. a lens", "B"), scienceqa_right("(B)", "B")
    (True, True, False)
    """
    text = response.strip()
    return text.lower() == gold.lower() or text[:2] == f"{gold.upper()}."


def seed_right(response: str, gold: str) -> bool:
    """SEED-Bench: the first character that is not blank, any case."""
    return bool(gold) and response.strip()[:1].lower() == gold.strip().lower()


_LEADING_LETTER = re.compile(r"\s*([A-Z])\.")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def ai2d_filtered(response: str) -> str:
    """AI2D: the upper-case letter that the response starts with if a period follows it, else the response as it is."""
    found = _LEADING_LETTER.match(response)
    return found[1] if found else response


def ai2d_right(response: str, gold: str) -> bool:
    """AI2D: the filtered response equals the letter, ignoring case and ASCII punctuation; blanks count.

    >>> ai2d_right("(B)", "B"), ai2d_right("B) a lens", "B"), ai2d_right(" B ", "B")
    (True, False, False)
    """

    def plain(text: str) -> str:
        return text.lower().translate(_NO_PUNCTUATION)

    return plain(ai2d_filtered(response)) == plain(gold)


def realworldqa_right(response: str, gold: str) -> bool:
    """RealWorldQA: a key A to D is looked for by `extract_letter`; any other key must equal the response, ignoring case, blanks
    around it and periods at its end.
    """
    gold = gold.strip()
    if gold.upper() in ("A", "B", "C", "D"):
        return extract_letter(response, "ABCD") == gold.upper()
    return response.lower().strip().rstrip(".") == gold.lower()


def mean(values: Iterable[float]) -> float:
    """Mean; NaN of none, as an empty column of the official tables."""
    values = list(values)
    return sum(values) / len(values) if values else float("nan")


Table = dict[str, dict[str, float]]


def accuracy_table(
    rows: Sequence[Mapping[str, Any]],
    credit_of: Callable[[Mapping[str, Any]], float | None],
    *,
    names: Mapping[Hashable, str] | None = None,
) -> Table:
    """VLMEvalKit's table: mean credit by split, over all rows and over the rows of each l2-category and category.

    Args:
        rows: of one benchmark; `split`, `l2-category` and `category` are read where rows have them, the split is `none` if not.
        credit_of: row -> credit, None for a row without a verdict, which is left out.
        names: group -> what it is called in the table.

    Returns:
        split -> column -> mean, NaN where a split has no row of the group. A group of both levels keeps the value of `category`.
    """
    judged = [(row, credit) for row in rows if (credit := credit_of(row)) is not None]
    table: Table = {}
    for split in dict.fromkeys(row.get("split", "none") for row in rows):
        here = [(row, credit) for row, credit in judged if row.get("split", "none") == split]
        column = {"Overall": mean(credit for _, credit in here)}
        for level in ("l2-category", "category"):
            for group in sorted({row[level] for row in rows if isinstance(row.get(level), str)}):
                name = (names or {}).get(group, group)
                column[name] = mean(credit for row, credit in here if row.get(level) == group)
        table[split] = column
    return table
