"""A row of a published understanding table -> what the scorer reads: ids, options, gold answers and the benchmark's own fields.

Sources: the fields and their forms as lmms-eval 75571cf and VLMEvalKit e8e78f0 read them.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from evals.datasets.tables import listed
from evals.datasets.understanding_prompts import Asked
from evals.datasets.understanding_tables import TABLES, Names, Table
from evals.errors import DataError
from evals.understanding import mmbench, mmmu, ocrbench

Row = dict[str, Any]
WITHOUT_IMAGE = ("scienceqa", "hallusion")
"""Benchmarks that also ask without an image (not in their TSV files)."""
YES_NO = ("pope", "mme", "hallusion")
"""Benchmarks whose every answer is yes or no."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MARK = re.compile(r"<image (\d+)>")
_HALLUSION_PLACES = {"set_id": 3, "figure_id": 4, "question_id": 5}
"""Where VLMEvalKit finds the ids in an index, split at underscores."""


class Shaped(NamedTuple):
    """One question."""

    name: str
    """The official id, safe as a file name; MME's is the same for the two questions of an image."""
    task: str
    metadata: dict[str, Any]
    asked: Asked


def shape(benchmark: str, where: str, row: Row, images: tuple[str, ...], number: int) -> Iterator[Shaped]:
    """Yield what a row asks: one question, or with POPE one for each split that the row names.

    Args:
        benchmark: of `TABLES`.
        where: file and row, for messages.
        row: cells by official name, None where empty.
        images: of the row, in order.
        number: of the row in the whole set, from 0; the id where the benchmark has none.

    Raises:
        DataError: a field is lacking or of another form.
    """
    table = TABLES[benchmark]
    question = _first(row, table.question)
    if question is None:
        raise DataError(f"{where}: question: got nothing; expected {' or '.join(table.question)}. Fetch the file again.")
    raw = _first(row, table.answer)
    if raw is None:
        raise DataError(
            f"{where}: answer: got nothing; expected the benchmark's key (test splits have none). Name another split, or fetch again."
        )
    index = _first(row, table.index)
    metadata: dict[str, Any] = {
        "benchmark": benchmark,
        "index": f"{number:05d}" if index is None else str(index),
        "question": str(question),
        "options": _options(row, table),
        "answer": str(raw),
        "answers": [str(raw)],
        "images": list(images),
        **{key: _first(row, names) for key, names in table.own.items()},
    }
    if table.answers:
        metadata["answers"] = listed(_first(row, table.answers)) or [str(raw)]
        metadata["answer"] = max(metadata["answers"], key=metadata["answers"].count)
    task = _first(row, table.task)
    metadata["_task"] = benchmark if task is None else str(task)
    _SPECIAL.get(benchmark, _plain)(where, row, metadata)
    if benchmark in YES_NO:
        metadata["candidates"] = ["Yes", "No"]
    # POPE: a row counts in every split that it names.
    parts = metadata["category"].split(",") if benchmark == "pope" else [None]
    for part in parts:
        own = metadata if part is None else {**metadata, "category": part.strip(), "_task": part.strip()}
        task, name = own["_task"], own.get("_name", own["index"])
        asked = Asked(own["question"], _hint(row), own["options"], own.get("query"))
        kept = {key: value for key, value in own.items() if not key.startswith("_")}
        yield Shaped(safe(name if part is None else f"{task}-{name}"), task, kept, asked)


def safe(name: str) -> str:
    """Return an official id as a file name.

    >>> safe("artwork/1.jpg")
    'artwork_1.jpg'
    """
    return _UNSAFE.sub("_", str(name)).strip(".") or "_"


# -- fields ----------------------------------------------------------------------------------------------------------


def _first(row: Row, names: Names) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _hint(row: Row) -> str | None:
    hint = row.get("hint")
    return None if hint is None else str(hint)


def _options(row: Row, table: Table) -> dict[str, str] | None:
    """Options by letter: the columns A, B, ..., one column a choice, or a list; None without any."""
    if len(table.options) > 1:
        texts = [row[name] for name in table.options if row.get(name) is not None]
    else:
        texts = listed(_first(row, table.options)) or []
    if texts:
        return {letter: str(text) for letter, text in zip(string.ascii_uppercase, texts, strict=False)}
    return {letter: str(row[letter]) for letter in string.ascii_uppercase if row.get(letter) is not None} or None


def _expect(where: str, field: str, got: Any, known: Any) -> None:
    if got not in known:
        raise DataError(f"{where}: {field}: got {got}; expected one of {', '.join(map(str, known))}. Fetch the file again.")


def _letter(where: str, metadata: dict[str, Any]) -> None:
    """Bring the key to a letter: some files hold the option's number, from 0."""
    options, answer = metadata["options"] or {}, metadata["answer"].strip()
    if answer.isdigit() and int(answer) < len(options):
        answer = string.ascii_uppercase[int(answer)]
    _expect(where, "answer", answer, options)
    metadata.update(answer=answer, answers=[answer])


# -- benchmarks ------------------------------------------------------------------------------------------------------


def _plain(where: str, row: Row, metadata: dict[str, Any]) -> None:
    """Nothing beside the table."""


def _mmmu(where: str, row: Row, metadata: dict[str, Any]) -> None:
    metadata["id"] = metadata["index"]
    kind = metadata["question_type"] or ("multiple-choice" if metadata["options"] else "open")
    _expect(where, "question_type", kind, ("multiple-choice", "open"))
    metadata["question_type"] = kind
    if kind == "open":
        answers = listed(metadata["answer"]) or [metadata["answer"]]
        metadata.update(options=None, answers=answers, answer=answers[0])
    else:
        _expect(where, "answer", metadata["answer"], metadata["options"] or ())
    if metadata["_task"] == "mmmu":
        try:
            metadata["_task"] = mmmu.subject_of(metadata["id"])
        except ValueError as error:
            raise DataError(f"{where}: id: got {metadata['id']!r}; expected SPLIT_SUBJECT_NUMBER, or a category. Fetch again.") from error
    words = " ".join((metadata["question"], *(metadata["options"] or {}).values()))
    absent = next((mark for mark in _MARK.findall(words) if not 1 <= int(mark) <= len(metadata["images"])), None)
    if absent is not None:
        raise DataError(f"{where}: image: got {len(metadata['images'])} for words that show <image {absent}>; expected it. Fetch again.")


def _mmbench(where: str, row: Row, metadata: dict[str, Any]) -> None:
    try:
        index, given = int(metadata["index"]), metadata["g_index"]
        metadata["g_index"] = index % mmbench.ROTATION if given is None else int(given)
    except ValueError as error:
        raise DataError(f"{where}: index: got {metadata['index']!r}; expected a whole number. Fetch the file again.") from error
    _letter_only(where, row, metadata)


def _letter_only(where: str, row: Row, metadata: dict[str, Any]) -> None:
    _expect(where, "answer", metadata["answer"], metadata["options"] or ())


def _numbered(where: str, row: Row, metadata: dict[str, Any]) -> None:
    _letter(where, metadata)


def _pope(where: str, row: Row, metadata: dict[str, Any]) -> None:
    _expect(where, "answer", metadata["answer"].strip().lower(), ("yes", "no"))
    if metadata["category"] is None:
        raise DataError(f"{where}: category: got nothing; expected adversarial, popular or random. Fetch the file again.")
    metadata["question_id"] = metadata["index"]


def _mme(where: str, row: Row, metadata: dict[str, Any]) -> None:
    _expect(where, "answer", metadata["answer"].strip().lower(), ("yes", "no"))
    if metadata["category"] is None:
        raise DataError(f"{where}: category: got nothing; expected a subtask. Fetch the file again.")
    # Both questions of an image have one id; a file without ids still has one image for both.
    own = metadata["question_id"]
    metadata["question_id"] = str(next(iter(metadata["images"]), metadata["index"]) if own is None else own)
    metadata["_name"] = f"{metadata['category']}-{metadata['question_id'].removeprefix(metadata['category'] + '/')}"


def _hallusion(where: str, row: Row, metadata: dict[str, Any]) -> None:
    gold = metadata["answer"].strip().lower()
    _expect(where, "answer", gold, ("0", "1", "no", "yes"))
    right = gold in ("1", "yes")
    answer = "Yes" if right else "No"
    metadata.update(answer=answer, answers=[answer], gt_answer="1" if right else "0")
    if metadata["set_id"] is None:
        parts = metadata["index"].split("_")
        if len(parts) <= max(_HALLUSION_PLACES.values()):
            raise DataError(
                f"{where}: index: got {metadata['index']!r}; expected set, figure and question after three fields. Fetch again."
            )
        metadata.update({key: parts[place] for key, place in _HALLUSION_PLACES.items()})
    else:
        places = ("category", "subcategory", "set_id", "figure_id", "question_id")
        metadata["index"] = "_".join(str(metadata[key]) for key in places)
    metadata.update({key: str(metadata[key]) for key in _HALLUSION_PLACES})


def _ocrbench(where: str, row: Row, metadata: dict[str, Any]) -> None:
    groups = {kind: group for group, kinds in ocrbench.GROUPS.items() for kind in kinds}
    _expect(where, "question_type", metadata["question_type"], groups)
    metadata["_task"] = groups[metadata["question_type"]]


def _mathvista(where: str, row: Row, metadata: dict[str, Any]) -> None:
    _expect(where, "question_type", metadata["question_type"], ("multi_choice", "free_form"))
    _expect(where, "answer_type", metadata["answer_type"], ("text", "integer", "float", "list"))
    told = row["metadata"] if isinstance(row.get("metadata"), dict) else row
    groups = {"task": told.get("task"), "skills": listed(told.get("skills")) or []}
    metadata["metadata"] = groups
    metadata["_task"] = str(groups["task"] or "mathvista")
    try:
        metadata["precision"] = None if metadata["precision"] is None else float(metadata["precision"])
    except ValueError as error:
        raise DataError(f"{where}: precision: got {metadata['precision']!r}; expected a number. Fetch the file again.") from error
    metadata["choices"] = list(metadata["options"].values()) if metadata["options"] else None
    if metadata["question_type"] == "multi_choice":
        choices = metadata["choices"] or []
        _expect(where, "answer", metadata["answer"], choices)
        metadata["answer_option"] = string.ascii_uppercase[choices.index(metadata["answer"])]


_SPECIAL: dict[str, Callable[[str, Row, dict[str, Any]], None]] = {
    "mmmu": _mmmu,
    "mmbench": _mmbench,
    "seedbench": _letter_only,
    "ai2d": _numbered,
    "scienceqa": _numbered,
    "pope": _pope,
    "mme": _mme,
    "hallusion": _hallusion,
    "ocrbench": _ocrbench,
    "mathvista": _mathvista,
}
