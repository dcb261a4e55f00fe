"""Records of a JSONL file: every form read, every mistake one sentence with file, line and field, no path out of the folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from uniar.data.chat import edit, generation, plain_text, understanding
from uniar.data.faults import RecordError
from uniar.data.records import MAX_RECORD_BYTES, JsonlRecords, parse_record
from uniar.data.samples import Picture, Text, TrainingSample
from uniar.data.sizing import Sizing
from uniar.errors import InputError

SIZING = Sizing(unit=16, min_pixels=256, max_pixels=64 * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of images beside which JSONL files are written; outside it lies one more image."""
    rng = np.random.default_rng(0)
    inside = tmp_path / "data"
    (inside / "sub").mkdir(parents=True)
    sizes = {"a.png": (32, 48), "b.jpg": (40, 30), "sub/c.webp": (33, 60), "../secret.png": (16, 16), "thin.png": (900, 2)}
    for name, size in sizes.items():
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(inside / name)
    return inside


def _open(folder: Path, *rows: Any, name: str = "photos") -> JsonlRecords:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return JsonlRecords(folder / "rows.jsonl", name=name, sizing=SIZING)


def _same(sample: TrainingSample, parts: tuple[Text | Picture, ...]) -> bool:
    """Whether the texts and grids are the same and the pixels are there."""
    blank = tuple(Picture(rows=p.rows, columns=p.columns, written=p.written) if isinstance(p, Picture) else p for p in sample.parts)
    return blank == parts and all(p.image is not None for p in sample.parts if isinstance(p, Picture))


def test_every_form(folder):
    a, b = Picture(rows=3, columns=2), Picture(rows=2, columns=2)
    records = _open(
        folder,
        {"prompt": "a cat", "image": "a.png", "id": "x7"},
        {"prompt": "make it blue", "source": "b.jpg", "image": "a.png"},
        {"image": "a.png", "question": "what?", "answer": "noise"},
        {"images": ["a.png", "./b.jpg"], "turns": [["one?", "yes"], ["two?", "no"]]},
        {"text": "Once upon a time", "id": 5},
        {"messages": [{"role": "user", "content": "draw"}, {"role": "assistant", "content": [{"type": "image", "image": "a.png"}]}]},
    )
    expected = [
        generation("a cat", a),
        # The verb brings the input to the size of the output.
        edit("make it blue", a, a),
        understanding([a], [("what?", "noise")]),
        understanding([a, b], [("one?", "yes"), ("two?", "no")]),
        plain_text("Once upon a time"),
        generation("draw", a),
    ]
    assert len(records) == 6
    samples = [records.sample(i) for i in range(6)]
    for sample, (parts, unconditional) in zip(samples, expected, strict=True):
        assert _same(sample, parts)
        assert (sample.unconditional is None) == (unconditional is None)
    assert [s.key for s in samples] == ["photos:x7", "photos:2", "photos:3", "photos:4", "photos:5", "photos:6"]
    assert {s.source for s in samples} == {"photos"}
    assert [s.writes for s in samples] == [True, True, False, False, False, True]


def test_pixels_are_sized_and_in_their_places(folder):
    sample = _open(folder, {"prompt": "p", "source": "b.jpg", "image": "sub/c.webp"}).sample(0)
    source, target = (p for p in sample.parts if isinstance(p, Picture))
    with Image.open(folder / "sub" / "c.webp") as image:
        wanted = SIZING.fit(image)
    assert np.array_equal(np.array(target.image), np.array(wanted))
    with Image.open(folder / "b.jpg") as image:
        assert np.array_equal(np.array(source.image), np.array(image.convert("RGB").resize(wanted.size)))


def test_lines_are_found_by_offset_whatever_their_ends(folder):
    path = folder / "odd.jsonl"
    texts = [f"text {i} é {'x' * (i * 37 % 300)}" for i in range(50)]
    ends = [b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"]
    path.write_bytes(b"".join(json.dumps({"text": t}, ensure_ascii=False).encode() + ends[i % 4] for i, t in enumerate(texts))[:-2])
    records = JsonlRecords(path, name="odd", sizing=SIZING)
    assert len(records) == 50
    # From the last to the first: nothing depends on what was read before.
    for i in reversed(range(50)):
        assert records.sample(i).parts == plain_text(texts[i]).parts
        assert json.loads(path.read_bytes().split(b"\n")[int(records.where(i).rsplit(":", 1)[1]) - 1])["text"] == texts[i]


def test_lines_across_the_blocks_of_the_scan(folder):
    texts = [chr(97 + i % 26) * (i * 7919 % 40_000 + 1) for i in range(300)]
    records = _open(folder, *({"text": t} for t in texts))
    assert (folder / "rows.jsonl").stat().st_size > 1 << 22
    assert [records.sample(i).parts for i in range(300)] == [plain_text(t).parts for t in texts]
    assert records.where(299).endswith(":300")


def test_an_image_root_of_its_own(folder):
    (folder.parent / "list.jsonl").write_text('{"prompt": "p", "image": "a.png"}')
    apart = JsonlRecords(folder.parent / "list.jsonl", name="n", sizing=SIZING, root=folder)
    assert apart.sample(0).parts[1].image is not None
    beside = JsonlRecords(folder.parent / "list.jsonl", name="n", sizing=SIZING)
    with pytest.raises(RecordError) as caught:
        beside.sample(0)
    assert caught.value.kind == "missing"


BROKEN = [
    ("{", "record: got broken JSON ("),
    ("[1]", "record: got [1]; expected an object."),
    ("x", "record: got broken JSON ("),
    ('{"text": "a", "text": "b"}', "record: got broken JSON (the key 'text' twice)"),
    ('{"text": "\\ud800"}', "record: got broken JSON ("),
    ("[" * 100_000, "record: got broken JSON ("),
    ({}, "record: got the keys none; expected prompt, question, turns, text or messages."),
    ({"id": 1}, "record: got the keys id; expected"),
    ({"promt": "a", "image": "a.png"}, 'promt: got an unknown key; expected one of messages, image, images, turns, '),
    ({"prompt": "a", "imag": "a.png"}, 'imag: got an unknown key; expected one of prompt, image, id. Did you mean "image"?'),
    ({"prompt": "a", "image": "a.png", "question": "q", "answer": "a"}, "prompt: got an unknown key; expected one of image, images, q"),
    ({"prompt": "a"}, "image: got nothing; expected words."),
    ({"prompt": " ", "image": "a.png"}, 'prompt: got " "; expected words.'),
    ({"prompt": 3, "image": "a.png"}, "prompt: got 3; expected words."),
    ({"prompt": "a", "image": ["a.png"]}, 'image: got ["a.png"]; expected words.'),
    ({"prompt": "a", "image": "a.png", "id": True}, "id: got true; expected text or a whole number."),
    ({"text": ""}, 'text: got ""; expected words.'),
    ({"question": "q", "answer": "a"}, "image: got none; expected one of image, images."),
    ({"image": "a.png", "images": ["a.png"], "question": "q", "answer": "a"}, "image: got both image and images; expected one of"),
    ({"images": [], "question": "q", "answer": "a"}, "images: got []; expected a list that is not empty."),
    ({"images": ["a.png", 4], "question": "q", "answer": "a"}, "images[1]: got 4; expected words."),
    ({"image": "a.png", "question": "q"}, "answer: got nothing; expected words."),
    ({"image": "a.png", "turns": [["q", "a"], ["q"]]}, 'turns[1]: got ["q"]; expected [question, answer].'),
    ({"image": "a.png", "turns": [["q", None]]}, "turns[0][1]: got nothing; expected words."),
    ({"messages": "hello"}, 'messages: got "hello"; expected a list that is not empty.'),
    ({"messages": ["hello"]}, 'messages[0]: got "hello"; expected an object with role and content.'),
    ({"messages": [{"role": "boss", "content": "x"}]}, 'messages[0].role: got "boss"; expected one of system, user, assistant.'),
    (
        {"messages": [{"role": "user", "contents": "x"}]},
        'messages[0].contents: got an unknown key; expected one of role, content. Did you mean "content"?',
    ),
    ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content: got 3; expected words or a list of parts."),
    ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, 'messages[0].content[0].type: got "video"; expected text or image.'),
    ({"messages": [{"role": "user", "content": [{"type": "text", "image": "a.png"}]}]}, "messages[0].content[0].image: got an unknown key"),
    ({"messages": [{"role": "user", "content": "x"}]}, "turns: got 1 turns that end without an answer"),
]


@pytest.mark.parametrize("row, told", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_record_is_one_sentence_with_file_line_and_field(folder, row: Any, told: str):
    records = _open(folder, {"text": "whole"}, "", row, {"text": "whole"})
    assert len(records) == 3
    with pytest.raises(RecordError) as caught:
        records.sample(1)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'rows.jsonl'}:3: {told}")
    assert caught.value.kind == "format" and message.endswith((".", "?")) and "\n" not in message
    # Its neighbours are not harmed.
    assert records.sample(0).parts == records.sample(2).parts


ESCAPES = ["../secret.png", "sub/../../secret.png", "/etc/passwd", "C:\\a.png", "C:a.png", "..\\secret.png"]
ESCAPES += ["link.png", "tunnel/secret.png", "a\0.png"]


@pytest.mark.parametrize("name", ESCAPES)
def test_no_path_leads_out_of_the_folder(folder, name: str):
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "tunnel").symlink_to(folder.parent)
    for row in ({"prompt": "p", "image": name}, {"messages": [{"role": "user", "content": [{"type": "image", "image": name}]}]}):
        with pytest.raises(RecordError) as caught:
            _open(folder, row).sample(0)
        field = "image" if "prompt" in row else "messages[0].content[0].image"
        assert str(caught.value).startswith(f"{folder / 'rows.jsonl'}:1: {field}: got {json.dumps(name)}")
        assert caught.value.kind == "path" and "\n" not in str(caught.value)


def test_a_link_inside_the_folder_is_followed(folder):
    (folder / "again.png").symlink_to(folder / "a.png")
    (folder.parent / "door").symlink_to(folder)
    sample = _open(folder.parent / "door", {"prompt": "p", "image": "again.png"}).sample(0)
    assert sample.parts[1].image is not None


@pytest.mark.parametrize(
    "name, kind, told",
    [
        ("none.png", "missing", 'image: got "none.png"; expected a file of that name in '),
        ("sub", "missing", 'image: got "sub"; expected a file of that name in '),
        ("loop.png", "missing", 'image: got "loop.png"; expected a file of that name in '),
        ("x" * 5000, "missing", "image: got "),
        ("rows.jsonl", "image", "image: rows.jsonl: got a file that cannot be decoded ("),
        ("thin.png", "size", "image: size: got 900 x 2 pixels; expected sides at most 200 times each other. Crop it."),
    ],
    ids=["none", "folder", "loop", "long", "text", "thin"],
)
def test_an_image_that_cannot_be_used(folder, name: str, kind: str, told: str):
    (folder / "loop.png").symlink_to(folder / "loop.png")
    with pytest.raises(RecordError) as caught:
        _open(folder, {"text": "whole"}, {"prompt": "p", "image": name}).sample(1)
    assert str(caught.value).startswith(f"{folder / 'rows.jsonl'}:2: {told}")
    assert caught.value.kind == kind


def test_a_larger_image_than_allowed(folder):
    (folder / "one.jsonl").write_text('{"prompt": "p", "image": "a.png"}')
    told = r"one\.jsonl:1: image: a\.png: got 32 x 48 pixels; expected at most 1000 pixels\. Make it smaller\.$"
    with pytest.raises(RecordError, match=told):
        JsonlRecords(folder / "one.jsonl", name="n", sizing=SIZING, max_pixels=1000).sample(0)


def test_a_line_that_is_no_line_is_not_read(folder):
    told = f"a:1: record: got more than {MAX_RECORD_BYTES} bytes; expected one record a line. Split it."
    with pytest.raises(RecordError, match=re.escape(told)):
        parse_record(b" " * (MAX_RECORD_BYTES + 1), "a:1")


def test_files_without_records(folder):
    for path, told in ((folder / "none.jsonl", "no readable file"), (folder, "no readable file"), (folder / "empty.jsonl", "no record")):
        (folder / "empty.jsonl").write_text("\n\r\n\n")
        with pytest.raises(InputError, match=re.escape(f"{path}: got {told}")):
            JsonlRecords(path, name="n", sizing=SIZING)
