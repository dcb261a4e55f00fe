"""Tar shards: the samples of the JSONL form found in place, nothing written, no name that leads out, no damage passed over."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from uniar.data.faults import RecordError
from uniar.data.records import JsonlRecords
from uniar.data.samples import Picture
from uniar.data.shards import ShardRecords, expand, shard_paths
from uniar.data.sizing import Sizing
from uniar.errors import InputError

SIZING = Sizing(unit=16, min_pixels=256, max_pixels=64 * 64)


def _png(seed: int, size: tuple[int, int] = (32, 48)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def _tar(path: Path, members: Sequence[tuple[str, Any]], *, form: int = tarfile.PAX_FORMAT) -> Path:
    """Write a shard: bytes as they are, other values as JSON, `TarInfo` members without content."""
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
                continue
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def _link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def _folder() -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type = tarfile.DIRTYPE
    return info


def _open(*paths: Path) -> ShardRecords:
    return ShardRecords(list(paths), name="web", sizing=SIZING)


def _pixels(sample: Any) -> list[np.ndarray]:
    return [np.array(p.image) for p in sample.parts if isinstance(p, Picture)]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_the_same_samples_as_from_jsonl(tmp_path, form: int):
    # A long key has a header of its own in front of each member.
    long = "folder/" + "é" * 120
    shards = [
        _tar(tmp_path / "s-0.tar", [("0.json", {"prompt": "a", "image": "png"}), ("0.png", _png(0))], form=form),
        _tar(
            tmp_path / "s-1.tar",
            [
                ("folder", _folder()),
                (f"{long}.0.PNG", _png(1)),
                (f"{long}.1.png", _png(2, (20, 40))),
                (f"{long}.json", {"prompt": "b", "source": "0.png", "image": "1.png", "id": "own"}),
                ("folder/2.json", {"text": "words"}),
            ],
            form=form,
        ),
    ]
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    records = _open(*shards)
    assert len(records) == 3
    made = [records.sample(i) for i in (2, 1, 0)][::-1]
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before

    for seed, size in ((0, (32, 48)), (1, (32, 48)), (2, (20, 40))):
        (tmp_path / f"{seed}.png").write_bytes(_png(seed, size))
    rows = [{"prompt": "a", "image": "0.png"}, {"prompt": "b", "source": "1.png", "image": "2.png"}, {"text": "words"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flat = JsonlRecords(tmp_path / "rows.jsonl", name="web", sizing=SIZING)
    for i, sample in enumerate(made):
        assert [getattr(p, "text", None) for p in sample.parts] == [getattr(p, "text", None) for p in flat.sample(i).parts]
        for a, b in zip(_pixels(sample), _pixels(flat.sample(i)), strict=True):
            assert np.array_equal(a, b)
    assert [s.key for s in made] == ["web:s-0/0", "web:own", "web:s-1/folder/2"]


def test_samples_are_found_by_number_in_any_order(tmp_path):
    counts = [3, 1, 5]
    for s, count in enumerate(counts):
        _tar(tmp_path / f"{s}.tar", [(f"{i:04d}.json", {"text": f"{s} {i}"}) for i in range(count)])
    records = _open(*shard_paths("{0..2}.tar", tmp_path))
    texts = [f"{s} {i}" for s, count in enumerate(counts) for i in range(count)]
    for i in np.random.default_rng(0).permutation(len(records)):
        assert records.sample(int(i)).parts[0].text.startswith(texts[i] + "<|endoftext|>")


@pytest.mark.parametrize(
    "pattern, names",
    [
        ("a.tar", ["a.tar"]),
        ("s-{8..11}.tar", ["s-8.tar", "s-9.tar", "s-10.tar", "s-11.tar"]),
        ("s-{008..010}.tar", ["s-008.tar", "s-009.tar", "s-010.tar"]),
        ("{x,y}/{1..2}.tar", ["x/1.tar", "x/2.tar", "y/1.tar", "y/2.tar"]),
    ],
)
def test_braces_by_hand(pattern: str, names: list[str]):
    assert expand(pattern) == names


@pytest.mark.parametrize("pattern", ["{0..100000}.tar", "{5..3}.tar", "{0..999}/{0..999}.tar"])
def test_braces_that_name_too_much(pattern: str):
    with pytest.raises(InputError, match=rf"^{re.escape(pattern)}: got .*; expected .*\."):
        expand(pattern)


def test_patterns_find_files_once_and_sorted(tmp_path):
    folder = tmp_path / "odd [name]"
    folder.mkdir()
    for name in ("b.tar", "a.tar", "c.txt"):
        (folder / name).touch()
    assert shard_paths("*.tar", folder) == [folder / "a.tar", folder / "b.tar"]
    assert shard_paths("{b,a,?}.tar", folder) == [folder / "b.tar", folder / "a.tar"]
    assert shard_paths(str(tmp_path / "*" / "a.tar"), Path("elsewhere")) == [folder / "a.tar"]
    for pattern in ("z*.tar", "{a,z}.tar"):
        with pytest.raises(InputError, match=r"z\*?\.tar: got no such shard; expected a tar file\."):
            shard_paths(pattern, folder)


GOOD = {"prompt": "p", "image": "png"}
BROKEN = [
    ([("0.json", {"prompt": "p"}), ("0.png", _png(0))], "0.json: image: got nothing; expected words.", "format"),
    ([("0.json", b"{"), ("0.png", _png(0))], "0.json: record: got broken JSON (", "format"),
    ([("0.json", {"promt": "p", "image": "png"}), ("0.png", _png(0))], "0.json: promt: got an unknown key", "format"),
    ([("0.png", _png(0)), ("0.txt", b"")], "0.json: got no such file; expected the record beside 0.png, 0.txt.", "missing"),
    ([("0.json", _link("/etc/passwd")), ("0.png", _png(0))], "0.json: got no such file; expected the record beside", "missing"),
    ([("0.json", GOOD), ("0.jpg", _png(0))], '0.json: image: got "png"; expected what follows the key of a member (jpg).', "missing"),
    ([("0.json", GOOD | {"image": "0.png"}), ("0.png", _png(0))], '0.json: image: got "0.png"; expected what follows the key', "missing"),
    ([("0.json", GOOD | {"image": "json"})], '0.json: image: got "json"; expected what follows the key of a member (none', "missing"),
    ([("0.json", GOOD | {"image": "../1.png"}), ("0.png", _png(0))], '0.json: image: got "../1.png"; expected what follows', "path"),
    ([("0.json", GOOD | {"image": "/etc/passwd"}), ("0.png", _png(0))], '0.json: image: got "/etc/passwd"; expected what follows', "path"),
    ([("0.json", GOOD), ("0.png", _link("/etc/passwd"))], '0.json: image: got "png", a link; expected a regular file in', "path"),
    ([("0.json", GOOD), ("0.png", _link("1.png", tarfile.LNKTYPE))], '0.json: image: got "png", a link; expected a regular file', "path"),
    ([("0.json", GOOD), ("0.png", b"no image")], "0.json: image: png: got a file that cannot be decoded (", "image"),
    ([("0.json", GOOD), ("0.png", _png(0, (900, 2)))], "0.json: image: size: got 900 x 2 pixels; expected sides", "size"),
]


@pytest.mark.parametrize("members, told, kind", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_sample_is_one_sentence_and_its_neighbour_is_whole(tmp_path, members: list, told: str, kind: str):
    path = _tar(tmp_path / "s.tar", [*members, ("1.json", GOOD), ("1.png", _png(1))])
    records = _open(path)
    assert len(records) == 2
    with pytest.raises(RecordError) as caught:
        records.sample(0)
    assert str(caught.value).startswith(f"{path}: {told}")
    assert caught.value.kind == kind and "\n" not in str(caught.value)
    assert records.sample(1).key == "web:s/1"


@pytest.mark.parametrize("name", ["../0.png", "a/../../0.png", "/0.png", "..\\0.png"])
def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path, name: str):
    (tmp_path / "deep").mkdir()
    path = _tar(tmp_path / "deep" / "s.tar", [("0.json", GOOD), (name, _png(0))])
    with pytest.raises(InputError, match=re.escape(f"{path}: {name}: got a name that leads out of the archive; expected a plain one.")):
        _open(path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_a_key_in_two_places_and_a_member_twice(tmp_path):
    path = _tar(tmp_path / "s.tar", [("0.json", GOOD), ("1.json", GOOD), ("0.png", _png(0))])
    with pytest.raises(InputError, match=re.escape(f"{path}: 0.png: got the key 0 in two places; expected its members side by side.")):
        _open(path)
    path = _tar(tmp_path / "t.tar", [("0.json", GOOD), ("0.png", _png(0)), ("0.PNG", _png(0))])
    with pytest.raises(InputError, match=re.escape(f"{path}: 0.PNG: got the member twice; expected it once.")):
        _open(path)


def test_no_damage_is_taken_for_the_end(tmp_path):
    members = [(f"{i}.{e}", GOOD if e == "json" else _png(i)) for i in range(3) for e in ("json", "png")]
    whole = _tar(tmp_path / "s.tar", members).read_bytes()
    used = whole.rstrip(b"\0")
    damaged = {
        "cut in the middle of a member": whole[: len(used) - 1000],
        "cut in a header": whole[:1000],
        "a header overwritten": whole[:1024] + b"x" * 512 + whole[1536:],
        "two archives in one file": whole + whole,
        "compressed": b"\x1f\x8b" + whole,
        "no archive": b"hello",
        "nothing": b"",
    }
    for case, content in damaged.items():
        (tmp_path / "d.tar").write_bytes(content)
        with pytest.raises(InputError, match=r"d\.tar: got a damaged or compressed archive \(.+\); expected a plain tar file\.") as caught:
            _open(tmp_path / "d.tar")
        assert "\n" not in str(caught.value), case
    # Without its padding an archive is still whole.
    (tmp_path / "d.tar").write_bytes(whole[: -(-len(used) // 512) * 512])
    assert len(_open(tmp_path / "d.tar")) == 3


def test_shards_without_samples(tmp_path):
    with pytest.raises(InputError, match=r"none\.tar: got no readable file \(.+\); expected a tar shard\."):
        _open(tmp_path / "none.tar")
    with pytest.raises(InputError, match=r"empty\.tar: got no sample; expected members such as 0\.json and 0\.png\."):
        _open(_tar(tmp_path / "empty.tar", [("folder", _folder())]))
