"""The judge ledger: every reply that a run was scored by, in one append-only file that goes with the run.

Two addresses. The *key* of a request is the sha256 of all that decides the reply: the judge's identity, the texts, the
pixels, the limits, the number of the try. The *address* of an entry is the sha256 of its key, the version that
answered, the outcome and the words. Both are checked when a file is read, so a changed line cannot pass as a reply.
`LedgerJudge` puts the ledger before a judge: what is in it is not asked, and not billed, again.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evals.errors import StoreError
from evals.protocols import Reply
from evals.store.atomic import sync_folder
from evals.store.journal import append_line, cut_torn_tail, read_rows
from evals.types import Outcome

SETTLED = frozenset({Outcome.OK, Outcome.REFUSED})
"""Outcomes that a run takes from the ledger; a `judge_error` is kept, and asked again by the next run."""
_TOKENS = ("prompt_tokens", "completion_tokens")


def digest(data: Any) -> str:
    """Return the sha256 of JSON data in one canonical form: sorted keys, no blanks, ASCII."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def address_of(key: str, reply: Reply) -> str:
    """Return an entry's address: of the request's key, the version that answered, the outcome and the words."""
    return digest([key, reply.version, reply.outcome.value, reply.text])


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One reply with the request it belongs to."""

    key: str
    request: dict[str, Any]
    """`judge` (its identity), `question`, `system`, `images` (address of each one's pixels), `max_tokens`,
    `images_first`, `attempt`."""
    reply: Reply

    def to_json(self) -> dict[str, Any]:
        """Return one ledger line."""
        reply = {field.name: getattr(self.reply, field.name) for field in fields(Reply) if field.name != "address"}
        reply["outcome"] = self.reply.outcome.value
        return {"address": self.reply.address, "key": self.key, "request": self.request, "reply": reply}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Entry:
        """Rebuild an entry.

        Raises:
            ValueError: a field too many or too few, or an address that is not that of the content.
        """
        if set(row) != {"address", "key", "request", "reply"} or not all(isinstance(row[name], dict) for name in ("request", "reply")):
            raise ValueError(f"the fields {', '.join(sorted(map(str, row)))}; expected address, key, request and reply")
        told = dict(row["reply"])
        if set(told) != {field.name for field in fields(Reply)} - {"address"}:
            raise ValueError("a reply with other fields")
        told["outcome"] = Outcome(told["outcome"])
        reply = Reply(**told, address=row["address"])
        if digest(row["request"]) != row["key"] or address_of(row["key"], reply) != row["address"]:
            raise ValueError("a content that is not what its address says: the line was changed")
        return cls(key=row["key"], request=row["request"], reply=reply)


class Ledger:
    """The entries of one file, several threads may read and add.

    Args:
        path: the file; None keeps entries in memory until `attach` names it.
        read_only: never write; the file must exist.

    Raises:
        StoreError: see `attach`.
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        self.path: Path | None = None
        self.read_only = read_only
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._last: dict[str, Reply] = {}
        self._settled: dict[str, Reply] = {}
        if path is not None:
            self.attach(path)

    def attach(self, path: str | Path) -> None:
        """Read a file, then write what was gathered before into it; a torn last line (a kill) is cut off.

        Call it under the run's lock: one process writes a ledger. Attaching the same file again does nothing.

        Raises:
            StoreError: no such file (read only), a damaged or changed line, an unwritable file, another file before.
        """
        path = Path(path)
        with self._lock:
            if self.path is not None:
                if self.path.resolve() == path.resolve():
                    return
                raise StoreError(f"{path}: got a second ledger; this judge already writes {self.path}. Build another judge.")
            if self.read_only and not path.is_file():
                raise StoreError(
                    f"{path}: got no such file; expected the judge ledger of the run. Restore it, or ask a live judge instead of replay."
                )
            gathered, self._entries = self._entries, []
            for number, row in read_rows(path):
                try:
                    self._add(Entry.from_json(row))
                except (TypeError, ValueError) as error:
                    raise StoreError(
                        f"{path}:{number}: got {error}; expected a reply of the judge. Restore the file from a copy."
                    ) from error
            self.path = path
            if not self.read_only:
                self._open_for_writing(path)
                for entry in gathered:
                    self._write(entry)
                    self._add(entry)

    def last(self, key: str) -> Reply | None:
        """Return the last reply to a request, whatever became of it."""
        return self._last.get(key)

    def settled(self, key: str) -> Reply | None:
        """Return the last `ok` or `refused` reply to a request."""
        return self._settled.get(key)

    def append(self, entry: Entry) -> None:
        """Keep an entry; on disk, fsynced, before this returns (once a file is attached).

        Raises:
            StoreError: the file cannot be written.
        """
        with self._lock:
            assert not self.read_only, "a ledger that is replayed is not written"
            if self.path is not None:
                self._write(entry)
            self._add(entry)

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first."""
        with self._lock:
            return list(self._entries)

    def totals(self) -> dict[str, Any]:
        """Return what all replies took together.

        Returns:
            `replies` (entries), `outcomes` (count of each), `requests` (sent, failed ones included), `prompt_tokens`,
            `completion_tokens`, `cost` (each None when no reply tells), `seconds`, `versions` (count of each).
        """
        replies = [entry.reply for entry in self.entries()]
        return {
            "replies": len(replies),
            "outcomes": dict(sorted(Counter(reply.outcome.value for reply in replies).items())),
            "requests": sum(reply.attempts for reply in replies),
            **{name: _sum(getattr(reply, name) for reply in replies) for name in (*_TOKENS, "cost")},
            "seconds": round(sum(reply.seconds for reply in replies), 3),
            "versions": dict(sorted(Counter(reply.version for reply in replies if reply.version).items())),
        }

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._last[entry.key] = entry.reply
        if entry.reply.outcome in SETTLED:
            self._settled[entry.key] = entry.reply

    def _open_for_writing(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            cut_torn_tail(path)
            sync_folder(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from error

    def _write(self, entry: Entry) -> None:
        assert self.path is not None
        try:
            with self.path.open("ab", buffering=0) as file:
                append_line(file, entry.to_json())
        except OSError as error:
            raise _unwritable(self.path, error) from error


def _sum(values: Any) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path}: got {error.strerror or error}; expected a file that the judge's replies can be kept in. "
        "Make room or give another --out; nothing more is asked until they are safe."
    )
