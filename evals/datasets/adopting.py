"""A copy of a benchmark on this machine (folder, tar or zip) -> the benchmark's data folder. The copy is not trusted.

A path that leaves the copy, a link, a device, or more bytes than the benchmark can have: refused before anything is kept.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from evals.datasets.catalogue import Benchmark, File, Folder
from evals.errors import DataError
from evals.store import atomic

LOCK = "uniar-data.json"
"""In a benchmark's data folder: what was fetched, from where, with which sha256."""
MAX_MEMBERS = 500_000
_BLOCK = 1 << 20


class Copy(NamedTuple):
    """A readable copy of a benchmark."""

    shown: str
    paths: tuple[str, ...]
    """Files, relative, with `/`; in the order in which they are best read."""
    open: Callable[[str], IO[bytes]]
    real: Callable[[str], Path | None]
    """The file on disk, where it is one (`--link`)."""


@contextmanager
def opened(path: Path) -> Iterator[Copy]:
    """Open a folder, `.tar`, `.tar.gz`, `.tgz`, `.tar.bz2`, `.tar.xz` or `.zip`.

    Raises:
        DataError: absent, of another kind, damaged, or with a path that leaves it, a link or a device.
    """
    if path.is_dir():
        yield _folder(path)
        return
    if not path.is_file():
        raise DataError(f"--from: got {path}; expected a folder, a tar or a zip with the benchmark's files.")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _zip(path, archive)
            return
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as bundle:
                yield _tar(path, bundle)
            return
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            # The disk's own complaint, not the archive's.
            raise
        raise DataError(f"{path}: got a damaged archive ({error}); expected a whole tar or zip. Download it again.") from error
    raise DataError(f"--from: got {path}, which is no archive; expected a folder, a tar or a zip with the benchmark's files.")


def take(
    entry: Benchmark, copy: Copy, root: Path, *, link: bool = False, only: Callable[[str], bool] = lambda name: True
) -> dict[str, Any]:
    """Put a copy's files into the benchmark's data folder, each whole or not at all.

    Args:
        entry: the benchmark.
        copy: what `opened` yields.
        root: the benchmark's data folder.
        link: make links to the copy's files instead of copying them (folders only).
        only: which names are wanted.

    Returns:
        name -> `{"sha256", "bytes"}` of what was put there.

    Raises:
        DataError: none of the files is there, a known sha256 differs, or the copy is larger than the benchmark can be.
    """
    there = dict(plan(entry, copy))
    wanted = {name: path for name, path in there.items() if only(name)}
    if not there:
        first = next((file.name for file in entry.files), next((folder.name for folder in entry.folders), "nothing"))
        raise DataError(
            f"{copy.shown}: got none of the files of {entry.name}; expected for example {first}, as the benchmark publishes it."
        )
    order = {path: index for index, path in enumerate(copy.paths)}
    known = {file.name: file.sha256 for file in entry.files}
    left, kept = entry.max_bytes, {}
    for name, path in sorted(wanted.items(), key=lambda pair: order[pair[1]]):
        target = inside(root, name)
        real = copy.real(path) if link else None
        if link and real is None:
            raise DataError(f"--link: got {copy.shown}, which is an archive; expected a folder. Leave --link out.")
        with copy.open(path) as file:
            fact = linked(file, target, real, known.get(name), left) if real else stored(file, target, known.get(name), left, copy.shown)
        left -= fact["bytes"]
        kept[name] = fact
    return kept


def plan(entry: Benchmark, copy: Copy) -> Iterator[tuple[str, str]]:
    """Yield (name in the data folder, path in the copy) of every file of the benchmark that the copy has."""
    there = set(copy.paths)
    # Archives of a repository have one folder around everything.
    tops = {path.partition("/")[0] for path in there}
    prefixes = ("", f"{next(iter(tops))}/") if len(tops) == 1 and all("/" in path for path in there) else ("",)
    for file in entry.files:
        found = next((p + place for p in prefixes for place in (file.name, *file.places, _base(file)) if p + place in there), None)
        if found is not None:
            yield file.name, found
    named = {file.name for file in entry.files}
    for folder in entry.folders:
        for name, path in _members(folder, copy, prefixes):
            if name not in named:
                yield name, path


def _base(file: File) -> str:
    return PurePosixPath(file.name).name


def _members(folder: Folder, copy: Copy, prefixes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    own_names = folder.name == "."
    for prefix in prefixes:
        any_found = False
        for place in folder.remote if own_names else dict.fromkeys((folder.name, *folder.remote)):
            base = prefix if place == "." else f"{prefix}{place}/"
            found = [path for path in copy.paths if path.startswith(base) and folder.takes(path)]
            home = place if own_names else folder.name
            yield from ((f"{home}/{path[len(base) :]}", path) for path in found)
            any_found = any_found or bool(found)
            if found and not own_names:
                return
        if any_found:
            return


def stored(file: IO[bytes], target: Path, sha256: str | None, limit: int, shown: str) -> dict[str, Any]:
    """Copy a stream into a file: to a temporary name, checked, then renamed.

    Raises:
        DataError: more bytes than `limit`, or another sha256 than the known one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with part.open("wb") as out:
            while block := file.read(_BLOCK):
                size += len(block)
                if size > limit:
                    raise DataError(
                        f"{shown}: {target.name}: got more than {limit} bytes left to this benchmark; expected less. Check the copy."
                    )
                digest.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        _same(digest.hexdigest(), sha256, f"{shown}: {target.name}")
        part.replace(target)
        atomic.sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return {"sha256": digest.hexdigest(), "bytes": size}


def linked(file: IO[bytes], target: Path, real: Path, sha256: str | None, limit: int) -> dict[str, Any]:
    """Link to a file instead of copying it; it is read once for its sha256.

    Raises:
        DataError: as `stored`.
    """
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = real.stat().st_size
    if size > limit:
        raise DataError(f"{real}: got more than {limit} bytes left to this benchmark; expected less. Check the copy.")
    _same(digest, sha256, str(real))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.symlink_to(real.resolve())
    part.replace(target)
    return {"sha256": digest, "bytes": size}


def _same(got: str, known: str | None, shown: str) -> None:
    if known is not None and got != known:
        raise DataError(f"{shown}: sha256: got {got}; expected {known}. This is another version of the file: take the pinned revision.")


def inside(root: Path, name: str) -> Path:
    """Return the path of a name under a folder.

    Raises:
        DataError: it would leave the folder.
    """
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or "\0" in name:
        raise DataError(f'got the path "{name}"; expected one inside {root}.')
    return root.joinpath(*parts)


def record(root: Path, facts: dict[str, Any], *, origin: dict[str, str]) -> None:
    """Add what was fetched to the folder's lock file."""
    entries = read_lock(root)
    entries.update({name: {**fact, **origin} for name, fact in facts.items()})
    atomic.write_json(root / LOCK, {"schema_version": 1, "files": dict(sorted(entries.items()))})


def read_lock(root: Path) -> dict[str, Any]:
    """Return name -> facts of a data folder; empty without a lock file.

    Raises:
        DataError: the file is damaged.
    """
    path = root / LOCK
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: got a damaged file ({error}); expected what a fetch wrote. Delete it and fetch again.") from error
    return dict(found)


def _folder(path: Path) -> Copy:
    root = path.resolve()
    found = []
    for folder, _, names in os.walk(path):
        for name in names:
            one = Path(folder) / name
            # A link inside the copy may only lead to another file of it.
            if one.is_file() and one.resolve().is_relative_to(root):
                found.append(one.relative_to(path).as_posix())
            elif one.is_symlink():
                raise DataError(f"{one}: got a link that leads out of {path}; expected plain files. Copy the file itself.")
    return Copy(str(path), tuple(sorted(found)), lambda name: inside(path, name).open("rb"), lambda name: inside(path, name))


def _tar(path: Path, bundle: tarfile.TarFile) -> Copy:
    members: dict[str, tarfile.TarInfo] = {}
    for count, member in enumerate(bundle, 1):
        if count > MAX_MEMBERS:
            raise DataError(f"{path}: got more than {MAX_MEMBERS} members; expected a benchmark's files.")
        if member.isdir() or member.name == "pax_global_header":
            continue
        if not member.isreg():
            raise DataError(f"{path}: {member.name}: got a link or a device; expected plain files.")
        members[_clean(member.name, path)] = member

    def read(name: str) -> IO[bytes]:
        file = bundle.extractfile(members[name])
        assert file is not None
        return file

    # Reading forward only: going back in a packed tar means unpacking it from its start.
    return Copy(str(path), tuple(sorted(members, key=lambda name: members[name].offset)), read, lambda name: None)


def _zip(path: Path, archive: zipfile.ZipFile) -> Copy:
    members: dict[str, zipfile.ZipInfo] = {}
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise DataError(f"{path}: got {len(infos)} members; expected at most {MAX_MEMBERS}.")
    for info in infos:
        if info.is_dir():
            continue
        kind = (info.external_attr >> 16) & 0o170000
        if kind not in (0, 0o100000):
            raise DataError(f"{path}: {info.filename}: got a link or a device; expected plain files.")
        if info.flag_bits & 1:
            raise DataError(f"{path}: {info.filename}: got a file with a password; expected plain files.")
        members[_clean(info.filename, path)] = info
    return Copy(str(path), tuple(members), lambda name: archive.open(members[name]), lambda name: None)


def _clean(name: str, archive: Path) -> str:
    # `./a/b` is a plain name in many tars.
    plain = name.removeprefix("./")
    try:
        inside(Path(), plain)
    except DataError as error:
        raise DataError(f'{archive}: got the path "{name}"; expected one inside the archive.') from error
    return PurePosixPath(plain).as_posix()
