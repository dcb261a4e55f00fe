"""Pictures: small originals untouched, large ones reduced and bounded, damaged ones told in a sentence."""

import base64
import hashlib
from io import BytesIO

import pytest
from PIL import Image

from evals.errors import StoreError
from evals.types import Outcome, Output
from reports import media


@pytest.fixture
def folder(tmp_path):
    """A run folder with a few image files."""
    Image.new("RGB", (64, 64), "red").save(tmp_path / "small.png")
    Image.new("RGB", (128, 96), "blue").save(tmp_path / "middle.png")
    Image.effect_noise((640, 320), 90).convert("RGB").save(tmp_path / "large.png")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return tmp_path


def prepare(folder, *names, copies=1):
    def resolve(name):
        if ".." in name:
            raise StoreError("the path leaves the run folder.")
        return folder / name

    outputs = [
        Output(sample_id=name, task="t", repeat=repeat, seed=0, outcome=Outcome.OK, image=name)
        for name in names
        for repeat in range(copies)
    ]
    return media.pictures(outputs, resolve=resolve, report_dir=folder / "report")


def decoded(picture):
    return Image.open(BytesIO(base64.b64decode(picture.source.split(",", 1)[1])))


def test_a_small_original_is_shown_byte_for_byte(folder):
    picture = prepare(folder, "small.png")["small.png/0"]
    shown = base64.b64decode(picture.source.removeprefix("data:image/png;base64,"))
    assert shown == (folder / "small.png").read_bytes()
    assert (picture.width, picture.height, picture.original) == (64, 64, True)


def test_a_large_original_is_reduced_and_keeps_its_own_size_for_the_boxes(folder):
    picture = prepare(folder, "large.png")["large.png/0"]
    assert max(decoded(picture).size) <= media.THUMBNAIL_SIDE
    assert (picture.width, picture.height, picture.original) == (640, 320, False)


def test_a_thumbnail_is_never_larger_than_its_original(folder):
    assert decoded(prepare(folder, "middle.png")["middle.png/0"]).size == (128, 96)


def test_noise_cannot_break_the_size_promise(folder):
    noise = [Image.effect_noise((1024, 1024), 100).rotate(turn) for turn in (0, 90, 180)]
    Image.merge("RGB", noise).save(folder / "noise.png", compress_level=1)
    data = base64.b64decode(prepare(folder, "noise.png")["noise.png/0"].source.split(",", 1)[1])
    assert len(data) <= media.THUMBNAIL_BYTES
    assert 2_212 * (media.THUMBNAIL_BYTES + 1_500) < 40_000_000


@pytest.mark.parametrize(
    ("name", "words"), [("absent.png", "not in the run folder"), ("damaged.png", "damaged"), ("../x.png", "leaves")]
)
def test_a_file_that_cannot_be_shown_is_a_sentence(folder, name, words):
    picture = prepare(folder, name)[f"{name}/0"]
    assert picture.source == "" and words in picture.problem
    assert str(folder) not in picture.problem


def test_many_pictures_become_files_written_once_and_swept_when_stale(folder):
    many = prepare(folder, "large.png", "small.png", copies=media.INLINE_LIMIT)
    thumbs = folder / "report" / media.THUMBNAIL_DIR
    assert {path.name for path in thumbs.iterdir()} == {picture.source for picture in many.values()}
    before = {path: path.stat().st_mtime_ns for path in thumbs.iterdir()}
    (thumbs / f"{hashlib.sha256(b'old').hexdigest()[:24]}.webp").write_bytes(b"stale")
    prepare(folder, "large.png", "small.png", copies=media.INLINE_LIMIT)
    assert {path: path.stat().st_mtime_ns for path in thumbs.iterdir()} == before


def test_few_pictures_leave_no_files_behind(folder):
    prepare(folder, "large.png", copies=media.INLINE_LIMIT + 1)
    prepare(folder, "large.png")
    assert not (folder / "report" / media.THUMBNAIL_DIR).exists()
