"""What a verdict rests on, as blocks that the panel draws: a difference of characters, a table, a judge's words, a path.

A scorer's evidence is its own JSON; what is known by its keys gets a form of its own, all else stays as text. A block is a list whose
first entry names its kind: `diff` (title, [[op, text], ...]), `table` (title, headers, rows), `quote` (title, text, note), `facts`
(title, [[name, value], ...]). Everything in it is plain text that has been made visible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from reports.text import plain, visible, words

Block = list[Any]
MAX_DIFF = 4_000
"""Characters of a text that is compared; beyond, texts are shown as they are."""
MAX_ROWS = 60
MAX_CELL = 400
MAX_QUOTE = 2_000

_PATH = {"answer": "Answer", "read": "Read as", "rule": "By", "expected": "Key"}
_ASKED = ("answers", "questions")
_HIDDEN = ("address", "version", "note")
"""Of a judge's reply in a table: where it is in the ledger, who spoke, and a remark."""
_HEADERS = {"reply": "reply", "context": "A in context", "re-encoded": "B from pixels", "detector": "C detector", "meant": "D meant"}


def blocks(evidence: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[list[Block], dict[str, Any]]:
    """Split a score's evidence into blocks and what is left of it.

    Args:
        evidence: of the score.
        metadata: of its sample (the options of a question).
    """
    rest = dict(evidence)
    found: list[Block] = []
    for take in (_path, _likelihoods, _difference, _asked, _replies):
        found += take(rest, metadata)
    return found, {key: value for key, value in rest.items() if value not in (None, "", {}, [])}


def difference(wanted: str, got: str) -> list[list[str]]:
    """Runs of characters of two texts in order: `=` in both, `-` wanted and absent, `+` there and not wanted.

    >>> difference("lemon", "lemn!")
    [['=', 'lem'], ['-', 'o'], ['=', 'n'], ['+', '!']]
    """
    runs: list[list[str]] = []
    for op, a, b, c, d in SequenceMatcher(None, wanted, got, autojunk=False).get_opcodes():
        if op == "equal":
            runs.append(["=", wanted[a:b]])
            continue
        runs += [["-", wanted[a:b]]] if b > a else []
        runs += [["+", got[c:d]]] if d > c else []
    return runs


def _path(rest: dict[str, Any], _: Mapping[str, Any]) -> list[Block]:
    """Understanding: the answer, what was read of it, by which rule, and the key."""
    if not {"read", "rule"} <= rest.keys():
        return []
    lines = [[label, visible(rest.pop(key), MAX_CELL) or "nothing"] for key, label in _PATH.items() if key in rest]
    return [["facts", "From answer to verdict", lines]]


def _likelihoods(rest: dict[str, Any], metadata: Mapping[str, Any]) -> list[Block]:
    found = rest.pop("likelihoods", None)
    if not isinstance(found, Mapping):
        return []
    options = metadata.get("options") or {}
    rows = [
        [visible(name, MAX_CELL), visible(options.get(name, ""), MAX_CELL), f"{value:.3f}"]
        for name, value in sorted(found.items(), key=lambda pair: -pair[1])
    ]
    return [["table", "Options by log-likelihood, the highest first", ["option", "text", "log-likelihood"], rows]]


def _difference(rest: dict[str, Any], _: Mapping[str, Any]) -> list[Block]:
    """Text in images: what was asked for against what was compared with it, after the benchmark's cleaning."""
    wanted, got = (_text(rest.get(key)) for key in ("wanted", "compared"))
    if wanted is None or got is None or max(len(wanted), len(got)) > MAX_DIFF:
        return []
    for key in ("wanted", "compared", "cleaned"):
        rest.pop(key, None)
    runs = [[op, visible(text)] for op, text in difference(wanted, got)]
    made: list[Block] = [["diff", "Wanted against read, as compared", runs]]
    read = rest.pop("read", None)
    return [*made, ["quote", "As the reader has it", visible(read, MAX_QUOTE), ""]] if read else made


def _asked(rest: dict[str, Any], _: Mapping[str, Any]) -> list[Block]:
    """Questions about the image, a row each, with every column that some row has."""
    found: list[Block] = []
    for key in _ASKED:
        rows = rest.get(key)
        if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) and "question" in row for row in rows):
            continue
        del rest[key]
        names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in (*_HIDDEN, "id", "question")]
        headers = ["question", *(_HEADERS.get(name, words(name)) for name in names)]
        cells = [[_cell(row.get(name)) for name in ("question", *names)] for row in rows[:MAX_ROWS]]
        more = f", first {MAX_ROWS} of {len(rows):,}" if len(rows) > MAX_ROWS else ""
        speaker = {str(row["version"]) for row in rows if row.get("version")}
        by = f", answered by {visible(speaker.pop(), MAX_CELL)}" if len(speaker) == 1 else ""
        found.append(["table", f"Questions{by}{more}", headers, cells])
    return found


def _replies(rest: dict[str, Any], _: Mapping[str, Any]) -> list[Block]:
    """A judge's words: one reply, several tries, or several rubrics with tries each."""
    given = rest.pop("replies", None)
    if given is None and isinstance(rest.get("reply"), str):
        given = [{key: rest.pop(key) for key in ("reply", *_HIDDEN) if key in rest}]
    named = given.items() if isinstance(given, Mapping) else [("", given or [])]
    return [_quote(name, number, len(tries), reply) for name, tries in named for number, reply in enumerate(tries, 1)]


def _quote(name: str, number: int, count: int, reply: Mapping[str, Any]) -> Block:
    speaker = visible(reply.get("version") or "the judge", MAX_CELL)
    title = " · ".join([*([visible(name, MAX_CELL)] if name else []), f"{speaker} said{f', reply {number} of {count}' if count > 1 else ''}"])
    text = reply.get("reply")
    return ["quote", title, "nothing" if text is None else visible(text, MAX_QUOTE), visible(reply.get("note") or "", MAX_CELL)]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return visible(plain(value), MAX_CELL)


def _text(value: Any) -> str | None:
    """A text, or a list of words as one; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    return None


