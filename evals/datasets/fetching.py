"""Benchmark files from their source: GitHub at a commit, or a dataset of the Hugging Face hub. The only network of this room.

Streams to a temporary name and renames; nothing half is ever seen. `mirror` replaces the hosts (a local server, an
institution's mirror): `MIRROR/<repository>/<revision>/<path>`, `MIRROR/<repository>/tar.gz/<revision>`, and the hub's own paths.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from evals.datasets import adopting
from evals.datasets.catalogue import Benchmark, Folder, Source
from evals.errors import DataError

RAW = "https://raw.githubusercontent.com"
ARCHIVES = "https://codeload.github.com"
HUB = "https://huggingface.co"
TIMEOUT_S = 30.0
TRIES = 3
_LISTING = 64 << 20

Say = Callable[[str], None]


class Absent(DataError):
    """The server has no such file."""


def fetch(
    entry: Benchmark,
    root: Path,
    *,
    mirror: str | None = None,
    only: Callable[[str], bool] = lambda name: True,
    say: Say = lambda line: None,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Download a benchmark's files into its data folder and record them in the lock file.

    Args:
        entry: the benchmark.
        root: its data folder.
        mirror: base address instead of the source's hosts.
        only: which names are wanted.
        say: told each file.
        pause: sleeps between tries.

    Returns:
        name -> facts, as in the lock file.

    Raises:
        DataError: offline, a file that is not at the source, another sha256, or a broken transfer; what came whole is kept.
    """
    web = _Web(entry, mirror, pause)
    facts: dict[str, Any] = {}

    def keep(name: str, fact: dict[str, Any], source: Source) -> None:
        # Recorded one by one: after an interrupt the files that are whole are known.
        facts[name] = fact
        adopting.record(root, {name: fact}, origin={"source": f"{source.kind}:{source.repository}", "revision": source.revision})
        say(f"{name}  {fact['bytes']} bytes")

    for file in entry.files:
        if only(file.name):
            fact = web.first(entry.source, file.places, adopting.inside(root, file.name), file.sha256)
            keep(file.name, fact, entry.source)
    for folder in entry.folders:
        if facts and not _may_hold(folder, only):
            continue
        source = entry.folder_source or entry.source
        with tempfile.TemporaryDirectory(prefix="uniar-data-") as temporary:
            for name, fact, at in web.folder(source, folder, root, Path(temporary), only):
                keep(name, fact, at)
    return facts


def _may_hold(folder: Folder, only: Callable[[str], bool]) -> bool:
    # `--only '*.json'` must not download the pictures to find that none of them is wanted.
    homes = folder.remote if folder.name == "." else (folder.name,)
    return any(only(f"{home}/{folder.start}x{suffix}") for home in homes for suffix in folder.suffixes)


class _Web:
    """Addresses and transfers of one fetch."""

    def __init__(self, entry: Benchmark, mirror: str | None, pause: Callable[[float], None]) -> None:
        if mirror is not None and urlsplit(mirror).scheme not in ("http", "https"):
            raise DataError(f"--mirror: got {mirror}; expected an address that begins with http:// or https://.")
        self._entry, self._pause = entry, pause
        self._mirror = None if mirror is None else mirror.rstrip("/")
        self._left = entry.max_bytes

    def first(self, source: Source, places: tuple[str, ...], target: Path, sha256: str | None) -> dict[str, Any]:
        """Download the first of several places that is there."""
        for place in places:
            try:
                return self._store(self._file(source, place), target, sha256)
            except Absent:
                if place == places[-1]:
                    raise
        raise AssertionError("a file has at least one place")

    def folder(
        self, source: Source, folder: Folder, root: Path, temporary: Path, only: Callable[[str], bool]
    ) -> Iterator[tuple[str, dict[str, Any], Source]]:
        """Download the files of a folder: out of an archive, or one by one as the hub lists them."""
        if source.kind == "git" or folder.archive is not None:
            url = self._archive(source) if folder.archive is None else self._file(source, folder.archive)
            path = temporary / "archive"
            self._store(url, path, None)
            part = Benchmark(name=self._entry.name, title="", source=source, folders=(folder,), max_bytes=self._entry.max_bytes)
            with adopting.opened(path) as copy:
                for name, fact in adopting.take(part, copy._replace(shown=url), root, only=only).items():
                    yield name, fact, source
            return
        revision, listed = self._listing(source)
        pinned = Source(kind="hub", repository=source.repository, revision=revision)
        names = [name for name in sorted(listed) if folder.takes(name)]
        bases = ["" if place == "." else f"{place}/" for place in folder.remote]
        base = next((base for base in bases if any(name.startswith(base) for name in names)), None)
        if base is None:
            raise DataError(f"hub:{source.repository}: got no {' or '.join(folder.suffixes)} file in revision {revision}; expected some.")
        for name in names:
            local = f"{folder.name}/{name[len(base) :]}"
            if name.startswith(base) and only(local):
                yield local, self._store(self._file(pinned, name), adopting.inside(root, local), listed[name]), pinned

    def _file(self, source: Source, path: str) -> str:
        if source.kind == "hub":
            return f"{self._mirror or HUB}/datasets/{source.repository}/resolve/{source.revision}/{quote(path)}"
        return f"{self._mirror or RAW}/{source.repository}/{source.revision}/{quote(path)}"

    def _archive(self, source: Source) -> str:
        return f"{self._mirror or ARCHIVES}/{source.repository}/tar.gz/{source.revision}"

    def _listing(self, source: Source) -> tuple[str, dict[str, str | None]]:
        # Commit, and file -> sha256 where the hub tells one (large files).
        url = f"{self._mirror or HUB}/api/datasets/{source.repository}/revision/{source.revision}?blobs=true"
        with self._open(url) as (response, _):
            data = response.read(_LISTING)
        try:
            found = json.loads(data)
            files = {str(one["rfilename"]): (one.get("lfs") or {}).get("sha256") for one in found["siblings"]}
            return str(found["sha"]), files
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{url}: got an answer that is no list of files ({error}); expected the hub's. Check --mirror.") from error

    def _store(self, url: str, target: Path, sha256: str | None) -> dict[str, Any]:
        for attempt in range(1, TRIES + 1):
            try:
                with self._open(url) as (response, length):
                    if length is not None and length > self._left:
                        raise DataError(f"{url}: got {length} bytes; expected at most {self._left}, what is left to {self._entry.name}.")
                    fact = adopting.stored(_Whole(response, length), target, sha256, self._left, url)
            except (_Broken, HTTPException, ConnectionError, TimeoutError) as error:
                if attempt == TRIES:
                    raise DataError(
                        f"{url}: got a broken transfer ({error}) {TRIES} times; expected the whole file. Run it again."
                    ) from error
                self._pause(float(attempt))
                continue
            self._left -= fact["bytes"]
            return fact
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _open(self, url: str) -> Iterator[tuple[IO[bytes], int | None]]:
        for attempt in range(1, TRIES + 1):
            try:
                response = urlopen(Request(url, headers={"User-Agent": "uniar-eval"}), timeout=TIMEOUT_S)
                break
            except HTTPError as error:
                code = error.code
                error.close()
                if code == 404:
                    raise Absent(
                        f"{url}: got 404; expected the file of the pinned revision. Check the source, or use --from PATH."
                    ) from error
                if attempt == TRIES or (code < 500 and code != 429):
                    raise DataError(f"{url}: got HTTP {code}; expected the file. {self._remedy()}") from error
            except (URLError, OSError) as error:
                reason = getattr(error, "reason", error)
                if attempt == TRIES or not isinstance(reason, (TimeoutError, ConnectionResetError)):
                    host = urlsplit(url).hostname
                    raise DataError(
                        f"data fetch {self._entry.name}: got no connection to {host} ({reason}); expected the internet. {self._remedy()}"
                    ) from error
            self._pause(float(attempt))
        with response:
            told = response.headers.get("Content-Length")
            yield response, int(told) if told and told.isdigit() and not response.headers.get("Content-Encoding") else None

    def _remedy(self) -> str:
        return f"Get a copy on another machine and run `uniar-eval data fetch {self._entry.name} --from PATH`."


class _Broken(Exception):
    """A body that ended early."""


class _Whole:
    """A stream that notices a body shorter than its header said."""

    def __init__(self, response: IO[bytes], length: int | None) -> None:
        self._response, self._length, self._read = response, length, 0

    def read(self, size: int) -> bytes:
        """Read on; the end must come where the header said."""
        block = self._response.read(size)
        self._read += len(block)
        if not block and self._length is not None and self._read < self._length:
            raise _Broken(f"{self._read} of {self._length} bytes")
        return block
