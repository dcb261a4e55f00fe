"""Tables as streams: the three formats, pictures kept once under their content, short image cells, and broken rows by number."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from evals.datasets.tables import Pictures, Read, check_hash, listed, read_table
from evals.errors import DataError


def png(color: str, *, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), color).save(stream, kind)
    return stream.getvalue()


def b64(color: str) -> str:
    return base64.b64encode(png(color)).decode()


def tsv(path: Path, header: Sequence[str], *rows: Sequence[Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    return path


def read(path: Path, **choices: Any) -> list[Read]:
    return list(read_table(path, Pictures(path.parent / "cache"), **choices))


def seen(path: Path, name: str) -> tuple[int, int, int]:
    with Image.open(path.parent / "cache" / name) as image:
        return image.convert("RGB").getpixel((0, 0))


def test_tsv_shares_lists_and_lacks_images(tmp_path: Path) -> None:
    both = str([b64("red"), b64("blue")])
    path = tsv(
        tmp_path / "t.tsv",
        ("index", "question", "A", "B", "image"),
        ("1", 'a\tb\n"c"', "None", "nan", b64("red")),
        ("1000001", "q", "NA", "", "1"),
        ("3", "q", "x", "y", both),
        ("4", "q", "x", "y", ""),
        ("5", "q", "x", "y", "6"),
        ("6", "q", "x", "y", b64("lime")),
    )
    rows = read(path)
    assert rows[0].row == {"index": "1", "question": 'a\tb\n"c"', "A": "None", "B": None} and rows[1].row["A"] == "NA"
    assert rows[0].images == rows[1].images and seen(path, rows[0].images[0]) == (255, 0, 0)
    assert [seen(path, name) for name in rows[2].images] == [(255, 0, 0), (0, 0, 255)] and rows[2].images[0] == rows[0].images[0]
    assert (rows[3].images, rows[3].asked) == ((), True)
    # A reference may name a row that comes later.
    assert rows[4].images == rows[5].images and seen(path, rows[4].images[0]) == (0, 255, 0)
    assert len(list((tmp_path / "cache").rglob("*.png"))) == 3
    assert rows[0].where == f"{path}: row 1" and rows[0].images[0].split("/")[1] == f"{hashlib.sha256(png('red')).hexdigest()}.png"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("2", "q", "9"), "row 2: image: got '9'; expected base64 or the index of a row"),
        (("2", "q", "2"), "row 2: image: got '2'; expected base64 or the index of a row"),
        (("2", "q"), "row 2: got 2 cells; expected 3"),
        (("2", "q", "!" * 80), "row 2: image: got no base64"),
        (
            ("2", "q", base64.b64encode(b"no picture at all, though long enough to be one " * 2).decode()),
            "row 2: image: this picture cannot be read",
        ),
        (("2", "q", base64.b64encode(png("red")[:50]).decode()), "row 2: image: this picture cannot be read"),
    ],
)
def test_a_broken_row_of_a_tsv_is_named(tmp_path: Path, row: Sequence[str], told: str) -> None:
    path = tsv(tmp_path / "t.tsv", ("index", "question", "image"), ("1", "q", b64("red")), row)
    with pytest.raises(DataError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: {told}")
    assert not list(tmp_path.rglob("*.part"))


def test_a_broken_tsv_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    for content, told in (
        (b"", "got an empty file"),
        (b"a\ta\n1\t2\n", "header: got a twice"),
        (b'a\tb\n1\t2\n3\t"open\n', "row 2: got no readable TSV"),
        (b"a\tb\n1\t2\n" + b"\xff\xfe\t3\n", "got no readable TSV"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=told):
            read(path)


def test_a_row_before_the_broken_one_is_read_first(tmp_path: Path) -> None:
    path = tsv(tmp_path / "t.tsv", ("index", "image"), ("1", b64("red")), ("2",))
    rows = read_table(path, Pictures(tmp_path / "cache"))
    assert next(rows).row["index"] == "1"
    with pytest.raises(DataError, match="row 2: got 1 cells"):
        next(rows)


def test_parquet_structs_and_lists(tmp_path: Path) -> None:
    def cell(color: str) -> dict[str, Any]:
        return {"bytes": png(color), "path": None}

    path = tmp_path / "t.parquet"
    (tmp_path / "far.jpg").write_bytes(png("white", kind="JPEG"))
    rows = [
        {"id": "a", "image_1": cell("red"), "image_2": cell("blue"), "precision": 1.0},
        {"id": "b", "image_1": {"bytes": None, "path": "far.jpg"}, "image_2": None, "precision": float("nan")},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    found = read(path, columns=(("image_1", "image_2"), ("image",)))
    assert [len(one.images) for one in found] == [2, 1] and found[1].row == {"id": "b", "precision": None}
    assert [seen(path, name) for name in found[0].images] == [(255, 0, 0), (0, 0, 255)]
    assert found[1].images[0].endswith(".jpg") and (tmp_path / "cache" / found[1].images[0]).read_bytes() == png("white", kind="JPEG")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"image": [cell("red"), cell("blue")]}]), path)
    assert len(read(path)[0].images) == 2
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([rows[0], {"id": "c", "image_1": None, "image_2": cell("red")}]), path)
    with pytest.raises(DataError, match=r"row 2: image_1: got none before image_2"):
        read(path, columns=(("image_1", "image_2"),))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="row 1: got no readable parquet"):
        read(path)


def test_json_lines_name_pictures_or_hold_them(tmp_path: Path) -> None:
    (tmp_path / "a.webp").write_bytes(png("red", kind="WEBP"))
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join([json.dumps({"q": 1, "image": ["a.webp", b64("blue")]}), "", json.dumps({"q": 2, "image": None})]))
    first, second = read(path)
    # WebP is no format of a browser's every age; it is kept as PNG.
    assert first.images[0].endswith(".png") and seen(path, first.images[1]) == (0, 0, 255)
    assert (second.images, second.asked, second.where) == ((), True, f"{path}: row 3")
    for line, told in (
        ("[1]", "row 1: got list; expected an object"),
        ("{", "row 1: got no readable JSON"),
        (json.dumps({"image": "../a.png"}), r"row 1: image: got '\.\./a\.png'; expected a path inside"),
        (json.dumps({"image": "/etc/a.png"}), r"row 1: image: got '/etc/a\.png'"),
        (json.dumps({"image": "lost.png"}), r"row 1: image: got no lost\.png in"),
        (json.dumps({"image": 7}), "row 1: image: got int"),
    ):
        path.write_text(line)
        with pytest.raises(DataError, match=told):
            read(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png("red"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").symlink_to(tmp_path / "secret.png")
    path = tmp_path / "data" / "t.jsonl"
    path.write_text(json.dumps({"image": "a.png"}))
    with pytest.raises(DataError, match="expected a path inside"):
        read(path)


def test_a_picture_that_would_unpack_to_gigabytes_is_refused(tmp_path: Path) -> None:
    head = bytearray(png("red"))
    head[16:24] = (50_000).to_bytes(4, "big") * 2
    head[29:33] = zlib.crc32(head[12:29]).to_bytes(4, "big")
    with pytest.raises(DataError, match="got 50000 x 50000 pixels; expected at most"):
        Pictures(tmp_path / "cache").keep(bytes(head), "t.tsv: row 1")


def test_hashes(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(b"x")
    check_hash(path, f"md5:{hashlib.md5(b'x').hexdigest()}")
    check_hash(path, f"sha256:{hashlib.sha256(b'x').hexdigest().upper()}")
    with pytest.raises(DataError, match=f"md5: got {hashlib.md5(b'x').hexdigest()}; expected {'0' * 32}"):
        check_hash(path, "md5:" + "0" * 32)
    for wrong in ("crc32:00", "md5:00", "abc"):
        with pytest.raises(DataError, match="checksum: got "):
            check_hash(path, wrong)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got \.csv; expected one of \.tsv, \.parquet, \.jsonl"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("cell", "items"), [("['a', 1]", ["a", "1"]), ('["a"]', ["a"]), ("[a]", None), ("(1,)", None), (3, None), (("x",), ["x"])]
)
def test_lists_written_as_text(cell: Any, items: list[str] | None) -> None:
    assert listed(cell) == items
