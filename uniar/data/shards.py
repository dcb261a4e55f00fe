"""Records in tar shards (the WebDataset layout) -> training samples, by number; nothing is ever extracted to disk.

The members of a sample lie side by side and share a key: `a/7.json` is the record, `a/7.png`, `a/7.jpg`, `a/7.0.png` ... its images,
which the record names by what follows the key ("png", "0.png"). The records are those of `uniar.data.records`. A shard is read
once for the place of each sample; a sample's bytes are then read in one stretch.
"""

from __future__ import annotations

import glob
import io
import re
import tarfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from uniar.data.faults import broken, reason
from uniar.data.records import ImageName, build_sample, parse_record
from uniar.data.samples import TrainingSample
from uniar.data.sizing import MAX_PIXELS, Sizing, decode_image
from uniar.errors import InputError

MAX_SAMPLE_BYTES = 1 << 28
"""Longest stretch of a shard that one sample may take, bytes."""
MAX_SHARDS = 100_000
"""Shards that one pattern may name."""
_BLOCK = 512
_BRACES = re.compile(r"\{([^{}]*)\}")


class _Place(NamedTuple):
    key: str
    start: int
    end: int


def expand(pattern: str) -> list[str]:
    """Names that a pattern with braces stands for.

    >>> expand("s-{08..10}.tar")
    ['s-08.tar', 's-09.tar', 's-10.tar']
    >>> expand("{a,b}/*.tar")
    ['a/*.tar', 'b/*.tar']

    Raises:
        InputError: more than `MAX_SHARDS` names.
    """
    pieces = _BRACES.split(pattern)
    choices, count = [], 1
    for i, piece in enumerate(pieces):
        options = [piece]
        if i % 2 and (span := re.fullmatch(r"(\d+)\.\.(\d+)", piece)):
            first, last = int(span[1]), int(span[2])
            if last - first >= MAX_SHARDS or last < first:
                raise InputError(f"{pattern}: got {{{piece}}}; expected a rising range of at most {MAX_SHARDS} shards.")
            width = len(span[1]) if span[1][0] == "0" else 0
            options = [f"{n:0{width}d}" for n in range(first, last + 1)]
        elif i % 2:
            options = piece.split(",")
        count *= len(options)
        choices.append(options)
    if count > MAX_SHARDS:
        raise InputError(f"{pattern}: got {count} shards; expected at most {MAX_SHARDS}. Pack more samples into each.")
    return ["".join(parts) for parts in product(*choices)]


def shard_paths(pattern: str, folder: Path) -> list[Path]:
    """The shards of a pattern: braces in their order, the matches of `*`, `?` and `[...]` sorted by name.

    Args:
        pattern: relative to `folder`, or absolute.
        folder: where relative patterns start.

    Raises:
        InputError: a name that is not there, or a pattern that nothing matches.
    """
    paths: list[Path] = []
    for name in expand(pattern):
        full = str(Path(folder) / name)
        # The folder itself is a name, not a pattern.
        found = sorted(glob.glob(glob.escape(str(folder)) + "/" + name if not Path(name).is_absolute() else name))
        if not found:
            raise InputError(f"{full}: got no such shard; expected a tar file. Check the pattern {pattern!r}.")
        paths += [Path(f) for f in found]
    return list(dict.fromkeys(paths))


class ShardRecords:
    """The samples of some shards.

    Args:
        paths: tar files, uncompressed; their order decides the numbers.
        name: of the source.
        sizing: of the checkpoint's processor.
        max_pixels: largest image that is decoded.

    Raises:
        InputError: a shard that is damaged, compressed or empty, a member whose name leaves the archive, or a key in two places.
    """

    def __init__(self, paths: list[Path], *, name: str, sizing: Sizing, max_pixels: int = MAX_PIXELS):
        self.paths, self.name = [Path(p) for p in paths], name
        self._sizing, self._max_pixels = sizing, max_pixels
        found = [_index(path) for path in self.paths]
        if not any(found):
            raise InputError(f"{', '.join(map(str, self.paths)) or 'shards'}: got no sample; expected members such as 0.json and 0.png.")
        # Keys are read again with their sample; only numbers stay in memory.
        self._shard = np.repeat(np.arange(len(found)), [len(places) for places in found])
        self._start = np.array([p.start for places in found for p in places], np.int64)
        self._end = np.array([p.end for places in found for p in places], np.int64)

    def __len__(self) -> int:
        return len(self._shard)

    def sample(self, index: int) -> TrainingSample:
        """The sample of a number, 0 to len - 1.

        Raises:
            RecordError: its record is broken.
        """
        path, start, end = self.paths[self._shard[index]], int(self._start[index]), int(self._end[index])
        if end - start > MAX_SAMPLE_BYTES:
            raise broken(f"{path}: sample {index}", f"{end - start} bytes", f"at most {MAX_SAMPLE_BYTES} bytes a sample", kind="size")
        with path.open("rb") as file:
            file.seek(start)
            held = file.read(end - start)
        members: dict[str, tarfile.TarInfo] = {}
        key = ""
        for member in _members(io.BytesIO(held), str(path)):
            key, extension = _split(member.name)
            members[extension] = member

        def content(extension: str) -> bytes:
            member = members[extension]
            return held[member.offset_data : member.offset_data + member.size]

        where = f"{path}: {key}.json"
        if "json" not in members or not members["json"].isreg():
            raise broken(where, "no such file", f"the record beside {', '.join(f'{key}.{e}' for e in members)}", kind="missing")
        record = parse_record(content("json"), where)

        def load(name: ImageName) -> Image.Image:
            at = f"{where}: {name.field}"
            # The sample's own members are all that a name can reach, whatever it spells.
            member = members.get(name.name.lower())
            images = [e for e in members if e != "json"]
            if member is None or name.name.lower() == "json":
                known = f"what follows the key of a member ({', '.join(images) or 'none is here'})"
                raise broken(at, f'"{name.name}"', known, kind="path" if "/" in name.name else "missing")
            if not member.isreg():
                raise broken(at, f'"{name.name}", a link', "a regular file in the shard", kind="path", remedy="Pack the image itself.")
            return decode_image(io.BytesIO(content(name.name.lower())), f"{at}: {name.name}", self._max_pixels)

        own = f"{self.name}:{record.id or f'{path.stem}/{key}'}"
        return build_sample(record, key=own, source=self.name, where=where, sizing=self._sizing, load=load)


def _index(path: Path) -> list[_Place]:
    places: list[_Place] = []
    done: set[str] = set()
    extensions: set[str] = set()
    try:
        with path.open("rb") as file:
            for member in _members(file, str(path)):
                key, extension = _split(member.name)
                at = f"{path}: {member.name}"
                if not places or key != places[-1].key:
                    if key in done:
                        raise InputError(f"{at}: got the key {key} in two places; expected its members side by side. Sort the shard.")
                    done.add(key)
                    extensions = set()
                    places.append(_Place(key, member.offset, member.offset))
                if extension in extensions:
                    raise InputError(f"{at}: got the member twice; expected it once. Pack the shard again.")
                extensions.add(extension)
                places[-1] = places[-1]._replace(end=_end(member))
    except OSError as error:
        raise InputError(f"{path}: got no readable file ({error.strerror or error}); expected a tar shard.") from None
    return places


def _members(file: BinaryIO, where: str) -> Iterator[tarfile.TarInfo]:
    # Everything but folders; links and devices too, so that a record that names one is told so.
    end, size = 0, file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                # tarfile keeps every member it has seen.
                archive.members.clear()
                end, pure = _end(member), PurePosixPath(member.name)
                if pure.is_absolute() or ".." in pure.parts or "\\" in member.name:
                    told = "got a name that leads out of the archive; expected a plain one"
                    raise InputError(f"{where}: {member.name}: {told}. Pack the shard again.")
                if end > size:
                    raise tarfile.ReadError("it ends in the middle of a member")
                if not member.isdir():
                    yield member
            # It also takes a damaged header for the end of the archive, and does not look beyond the end.
            file.seek(end)
            while rest := file.read(1 << 20):
                if rest.strip(b"\0"):
                    raise tarfile.ReadError(f"what follows byte {end} is neither a member nor empty")
    except (tarfile.TarError, ValueError, EOFError) as error:
        told = f"got a damaged or compressed archive ({reason(error)}); expected a plain tar file"
        raise InputError(f"{where}: {told}. Fetch or pack it again.") from None


def _end(member: tarfile.TarInfo) -> int:
    # Links have a size in some archives, but no bytes.
    return member.offset_data + (-(-member.size // _BLOCK) * _BLOCK if member.isreg() else 0)


def _split(name: str) -> tuple[str, str]:
    # WebDataset: the key ends at the first dot of the last part of the path.
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return f"{folder}{slash}{stem}", extension.lower()
