"""Records of a JSONL file -> training samples, by number, without holding the file in memory.

One record a line, in one of five forms; `id` may stand in each of them:

    {"prompt": "a cat", "image": "cat.png"}                                 generate
    {"prompt": "make it blue", "source": "cat.png", "image": "blue.png"}    edit
    {"image": "cat.png", "question": "what is it?", "answer": "a cat"}      understand; "images": [...] for several,
    {"image": "cat.png", "turns": [["what is it?", "a cat"], ...]}          "turns" for a conversation
    {"text": "Once upon a time"}                                            pre-training text
    {"messages": [{"role": "user", "content": "draw a cat"},                any conversation: what the assistant shows is
                  {"role": "assistant", "content": [{"type": "image", "image": "cat.png"}]}]}    written by the model

Image paths are relative to the file's folder and stay inside it. Every mistake names file, line and field. The same records in
tar shards are read by `uniar.data.shards`; the ChatML is written by `uniar.data.chat`.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from uniar.data.chat import ROLES, ChatParts, Turn, conversation, edit, plain_text
from uniar.data.faults import RecordError, broken, reason
from uniar.data.samples import Picture, TrainingSample
from uniar.data.sizing import MAX_PIXELS, Grid, Sizing, decode_image
from uniar.errors import InputError

MAX_RECORD_BYTES = 1 << 24
"""Longest record, bytes."""
_FORMS = {
    "messages": ("messages",),
    "turns": ("image", "images", "turns"),
    "question": ("image", "images", "question", "answer"),
    "source": ("prompt", "source", "image"),
    "prompt": ("prompt", "image"),
    "text": ("text",),
}
"""The key that tells a form -> its keys; the first that is there decides."""


class Records(Protocol):
    """Samples by number."""

    name: str
    """Of the source, in `TrainingSample.source`."""

    def __len__(self) -> int:
        """How many there are."""

    def sample(self, index: int) -> TrainingSample:
        """The sample of a number from 0; raises `RecordError` when its record is broken."""


class ImageName(NamedTuple):
    """An image of a record: what the record calls it and in which field."""

    name: str
    field: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A checked record whose images are still names."""

    id: str | None
    """As given."""
    form: str
    """Key of `_FORMS`."""
    turns: tuple[tuple[str, tuple[str | ImageName, ...]], ...]
    """(role, content) in order; a pre-training text is one turn of the role "text"."""


def parse_record(line: bytes, where: str) -> Record:
    """JSON -> a checked record.

    Args:
        line: UTF-8 JSON of one record.
        where: `file:line`, for the message.

    Raises:
        RecordError: of kind "format".
    """
    if len(line) > MAX_RECORD_BYTES:
        raise broken(f"{where}: record", f"more than {MAX_RECORD_BYTES} bytes", "one record a line", remedy="Split it.")
    try:
        data = json.loads(line.decode("utf-8"), object_pairs_hook=_unique)
        # Half of a surrogate pair is legal JSON, but no text.
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise broken(f"{where}: record", f"broken JSON ({reason(error)})", "one object in UTF-8") from None
    return _Parser(where).record(data)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        keys = [k for k, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} twice")
    return out


class _Parser:
    def __init__(self, where: str):
        self._where = where

    def fail(self, field: str, got: str, expected: str) -> RecordError:
        return broken(f"{self._where}: {field}", got, expected)

    def record(self, data: Any) -> Record:
        if not isinstance(data, dict):
            raise self.fail("record", _told(data), "an object")
        form = next((key for key in _FORMS if key in data), None)
        known = _FORMS[form] if form else tuple(dict.fromkeys(key for keys in _FORMS.values() for key in keys))
        self._keys(data, (*known, "id"), "")
        if form is None:
            raise self.fail("record", f"the keys {', '.join(data) or 'none'}", "prompt, question, turns, text or messages")
        if form == "messages":
            turns = [self._message(m, f"messages[{i}]") for i, m in enumerate(self._list(data, "messages"))]
        elif form in ("turns", "question"):
            turns = self._questions(data, form)
        elif form == "text":
            turns = [("text", (self._words(data, "text"),))]
        else:
            asked: list[str | ImageName] = [self._words(data, "prompt")]
            asked += [self._image(data, "source")] if form == "source" else []
            turns = [("user", tuple(asked)), ("assistant", (self._image(data, "image"),))]
        return Record(id=self._id(data), form=form, turns=tuple(turns))

    def _id(self, data: Mapping[str, Any]) -> str | None:
        value = data.get("id")
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int) or value == ""):
            raise self.fail("id", _told(value), "text or a whole number")
        return None if value is None else str(value)

    def _keys(self, data: Mapping[str, Any], known: Iterable[str], prefix: str) -> None:
        for key in data:
            if key not in known:
                near = difflib.get_close_matches(key, list(known), 1)
                remedy = f'Did you mean "{near[0]}"?' if near else ""
                raise broken(f"{self._where}: {prefix}{key}", "an unknown key", f"one of {', '.join(known)}", remedy=remedy)

    def _words(self, data: Mapping[str, Any], key: str, prefix: str = "") -> str:
        value = data.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.fail(prefix + key, _told(value), "words")
        return value

    def _image(self, data: Mapping[str, Any], key: str, prefix: str = "") -> ImageName:
        return ImageName(self._words(data, key, prefix), prefix + key)

    def _list(self, data: Mapping[str, Any], key: str) -> list[Any]:
        value = data.get(key)
        if not isinstance(value, list) or not value:
            raise self.fail(key, _told(value), "a list that is not empty")
        return value

    def _questions(self, data: Mapping[str, Any], form: str) -> list[tuple[str, tuple[str | ImageName, ...]]]:
        if ("image" in data) == ("images" in data):
            raise self.fail("image", "both image and images" if "image" in data else "none", "one of image, images")
        names = data["images"] if "images" in data else [data["image"]]
        if "images" in data:
            self._list(data, "images")
        field = "images[{}]" if "images" in data else "image"
        seen = tuple(self._image({field.format(i): n}, field.format(i)) for i, n in enumerate(names))
        pairs = [[data.get("question"), data.get("answer")]] if form == "question" else self._list(data, "turns")
        turns: list[tuple[str, tuple[str | ImageName, ...]]] = []
        for i, pair in enumerate(pairs):
            if not isinstance(pair, list) or len(pair) != 2:
                raise self.fail(f"turns[{i}]", _told(pair), "[question, answer]")
            names = ("question", "answer") if form == "question" else (f"turns[{i}][0]", f"turns[{i}][1]")
            question, answer = (self._words({n: words}, n) for n, words in zip(names, pair, strict=True))
            turns += [("user", (*(seen if i == 0 else ()), question)), ("assistant", (answer,))]
        return turns

    def _message(self, data: Any, at: str) -> tuple[str, tuple[str | ImageName, ...]]:
        if not isinstance(data, dict):
            raise self.fail(at, _told(data), "an object with role and content")
        self._keys(data, ("role", "content"), f"{at}.")
        if data.get("role") not in ROLES:
            raise self.fail(f"{at}.role", _told(data.get("role")), f"one of {', '.join(ROLES)}")
        content = data.get("content")
        if isinstance(content, str):
            return data["role"], (self._words(data, "content", f"{at}."),)
        if not isinstance(content, list) or not content:
            raise self.fail(f"{at}.content", _told(content), "words or a list of parts")
        return data["role"], tuple(self._part(p, f"{at}.content[{i}]") for i, p in enumerate(content))

    def _part(self, data: Any, at: str) -> str | ImageName:
        kind = data.get("type") if isinstance(data, dict) else None
        if kind not in ("text", "image"):
            raise self.fail(f"{at}.type", _told(kind), "text or image")
        self._keys(data, ("type", kind), f"{at}.")
        return self._image(data, "image", f"{at}.") if kind == "image" else self._words(data, "text", f"{at}.")


def _told(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def build_sample(
    record: Record, *, key: str, source: str, where: str, sizing: Sizing, load: Callable[[ImageName], Image.Image]
) -> TrainingSample:
    """A record -> a training sample with its images decoded and sized.

    Args:
        record: checked.
        key: of the sample.
        source: of the sample.
        where: `file:line`, for the message.
        sizing: of the checkpoint's processor.
        load: name -> decoded RGB image; raises `RecordError`.
    """

    def picture(name: ImageName, grid: Grid | None = None) -> Picture:
        image = load(name)
        try:
            return sizing.picture(image, grid)
        except InputError as error:
            raise RecordError(f"{where}: {name.field}: {error}", "size") from None

    def made() -> ChatParts:
        if record.form == "text":
            return plain_text(str(record.turns[0][1][0]))
        if record.form == "source":
            (_, (prompt, before)), (_, (after,)) = record.turns
            target = picture(after)
            return edit(prompt, picture(before, Grid(target.rows, target.columns)), target)
        turns = []
        for role, content in record.turns:
            turns.append(Turn(role=role, content=tuple(picture(c) if isinstance(c, ImageName) else c for c in content)))
        return conversation(turns)

    try:
        parts, unconditional = made()
    except RecordError:
        raise
    except InputError as error:
        raise RecordError(f"{where}: {error}", "format") from None
    return TrainingSample(key=key, source=source, parts=parts, unconditional=unconditional)


def confined(root: Path, name: ImageName, where: str) -> Path:
    """The file of an image inside a root folder.

    Raises:
        RecordError: of kind "path" (absolute, `..`, or a link that leads out) or "missing".
    """
    at, told, pure = f"{where}: {name.field}", _told(name.name), PurePosixPath(name.name)
    if pure.is_absolute() or PureWindowsPath(name.name).anchor or ".." in pure.parts or "\\" in name.name or "\0" in name.name:
        raise broken(at, told, f"a relative path inside {root}", kind="path")
    try:
        path = (root / pure).resolve()
        if not path.is_relative_to(root.resolve()):
            raise broken(at, f"{told}, a link that leads out", f"a file inside {root}", kind="path", remedy="Copy it there.")
        there = path.is_file()
    # Names that the system does not take, and links that go round in circles.
    except (OSError, RuntimeError):
        there = False
    if not there:
        raise broken(at, told, f"a file of that name in {root}", kind="missing")
    return path


class JsonlRecords:
    """The records of one JSONL file.

    Args:
        path: the file; it is read through once for the offsets of its lines.
        name: of the source.
        sizing: of the checkpoint's processor.
        root: folder that image paths are relative to; default: the file's own.
        max_pixels: largest image that is decoded.

    Raises:
        InputError: the file is missing or has no record.
    """

    def __init__(self, path: Path, *, name: str, sizing: Sizing, root: Path | None = None, max_pixels: int = MAX_PIXELS):
        self.path, self.name = Path(path), name
        self._root = self.path.parent if root is None else Path(root)
        self._sizing, self._max_pixels = sizing, max_pixels
        try:
            self._starts, self._ends, self._lines = _offsets(self.path)
        except OSError as error:
            raise InputError(f"{path}: got no readable file ({error.strerror}); expected a JSONL file.") from None
        if not len(self._starts):
            raise InputError(f"{path}: got no record; expected one a line.")

    def __len__(self) -> int:
        return len(self._starts)

    def where(self, index: int) -> str:
        """`file:line` of a record."""
        return f"{self.path}:{self._lines[index]}"

    def sample(self, index: int) -> TrainingSample:
        """The sample of a record, 0 to len - 1.

        Raises:
            RecordError: the record is broken.
        """
        where = self.where(index)
        start, end = int(self._starts[index]), int(self._ends[index])
        with self.path.open("rb") as file:
            file.seek(start)
            # One byte more than may be is enough to refuse it.
            record = parse_record(file.read(min(end - start, MAX_RECORD_BYTES + 1)), where)

        def load(name: ImageName) -> Image.Image:
            return decode_image(confined(self._root, name, where), f"{where}: {name.field}: {name.name}", self._max_pixels)

        key = f"{self.name}:{record.id or self._lines[index]}"
        return build_sample(record, key=key, source=self.name, where=where, sizing=self._sizing, load=load)


def _offsets(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # int64 (records,) each: first byte, end without the newline, line number from 1. Blocks, not lines: a line may be of any length.
    breaks, size = [], os.path.getsize(path)
    with path.open("rb") as file:
        for base in range(0, size, 1 << 22):
            block = np.frombuffer(file.read(1 << 22), np.uint8)
            breaks.append(np.flatnonzero(block == 10) + base)
        ends = np.concatenate([*breaks, np.array([size])]).astype(np.int64)
        starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
        filled = ends > starts
        # The one character of a line may be the carriage return of a file written on Windows.
        for i in np.flatnonzero(ends - starts == 1):
            file.seek(int(starts[i]))
            filled[i] = file.read(1) != b"\r"
    return starts[filled], ends[filled], np.flatnonzero(filled) + 1
