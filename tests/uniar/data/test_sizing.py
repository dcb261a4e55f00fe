"""Sizes of images: the processor's own rule and the processor's own pixels, or a sentence where it would size twice."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen2VLImageProcessor

from uniar.data.faults import RecordError
from uniar.data.sizing import Grid, Sizing, decode_image
from uniar.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
SETTINGS = [
    {"patch_size": 16, "size": {"shortest_edge": 64 * 64, "longest_edge": 256 * 256}},
    {"patch_size": 8, "size": {"shortest_edge": 16 * 16, "longest_edge": 1 << 20}},
    {"patch_size": 14, "size": {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 20}},
]


def _image(rng: np.random.Generator, width: int, height: int, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: f"patch {s['patch_size']}")
def test_grids_and_pixels_are_the_processors(settings: dict):
    processor = Qwen2VLImageProcessor(**settings)
    sizing = Sizing.from_processor(processor)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        width, height = (int(s) for s in np.exp(rng.uniform(np.log(3), np.log(500), 2)))
        image = _image(rng, width, height)
        read = processor(images=[image], return_tensors="pt")
        try:
            picture = sizing.picture(image)
        except InputError:
            # Only where the processor would size its own result again.
            rows, columns = (read["image_grid_thw"][0, 1:] // 2).tolist()
            again = processor(images=[_image(rng, columns * sizing.unit, rows * sizing.unit)], return_tensors="pt")
            assert again["image_grid_thw"].tolist() != read["image_grid_thw"].tolist()
            continue
        assert read["image_grid_thw"].tolist() == [[1, picture.rows * 2, picture.columns * 2]]
        assert picture.image is not None
        assert picture.image.size == (picture.columns * sizing.unit, picture.rows * sizing.unit)
        # To the last bit, and a second time through the processor changes nothing.
        for resize in (True, False):
            again = processor(images=[picture.image], do_resize=resize, return_tensors="pt")
            assert torch.equal(again["pixel_values"], read["pixel_values"])
        seen.add((picture.rows, picture.columns))
    assert len(seen) > 15


def test_sizes_by_hand():
    sizing = Sizing(unit=32, min_pixels=64 * 64, max_pixels=256 * 256)
    assert sizing.grid(64, 96) == Grid(2, 3)
    assert sizing.grid(70, 90) == Grid(2, 3)
    # Half of a token rounds to even, as in Python.
    assert sizing.grid(80, 112) == Grid(2, 4)
    # 1000 x 500 is 7.63 times the budget: 362 x 181, cut down to tokens.
    assert sizing.grid(1000, 500) == Grid(11, 5)
    # 10 x 20 becomes 46 x 91, rounded up to tokens.
    assert sizing.grid(10, 20) == Grid(2, 3)


def test_any_mode_is_read_as_rgb_and_a_fitting_image_stays():
    sizing = Sizing(unit=16, min_pixels=256, max_pixels=1 << 20)
    image = _image(np.random.default_rng(1), 48, 32)
    assert np.array_equal(np.array(sizing.picture(image).image), np.array(image))
    for mode in ("L", "RGBA", "P", "CMYK"):
        assert sizing.picture(image.convert(mode)).image.mode == "RGB"


def test_a_given_grid_is_the_resize_of_the_verb_edit():
    sizing = Sizing(unit=16, min_pixels=256, max_pixels=1 << 20)
    image = _image(np.random.default_rng(2), 50, 70)
    picture = sizing.picture(image, Grid(2, 3))
    assert (picture.rows, picture.columns) == (2, 3)
    assert np.array_equal(np.array(picture.image), np.array(image.resize((48, 32))))


@pytest.mark.parametrize("height, width", [(1, 300), (3000, 10)])
def test_what_is_too_thin_is_refused(height: int, width: int):
    sizing = Sizing(unit=32, min_pixels=1024, max_pixels=1 << 20)
    told = rf"^size: got {width} x {height} pixels; expected sides at most 200 times each other\. Crop it\.$"
    with pytest.raises(InputError, match=told):
        sizing.grid(height, width)


def test_a_budget_that_the_result_leaves_is_refused():
    # Thin: 9 x 1600 becomes one row of 50 tokens, more than the budget, because a row cannot be thinner than a token.
    sizing = Sizing(unit=32, min_pixels=1024, max_pixels=32 * 32 * 10)
    with pytest.raises(InputError, match="the processor would size that again"):
        sizing.grid(9, 1600)


@pytest.mark.parametrize(
    "change", [{"unit": 0}, {"min_pixels": 0}, {"min_pixels": 9000}, {"max_pixels": 1000, "min_pixels": 10}, {"resample": 1}]
)
def test_settings_that_make_no_sense_are_refused(change: dict):
    with pytest.raises(InputError, match=r"^sizing: .*; expected .*\.$"):
        Sizing(**({"unit": 32, "min_pixels": 1024, "max_pixels": 8192} | change))


def _file(image: Image.Image, form: str = "PNG", **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, form, **options)
    file.seek(0)
    return file


def test_decoding_turns_photos_upright():
    image = _image(np.random.default_rng(3), 30, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(_file(image, exif=exif), "x").size == (20, 30)
    transparent = image.convert("P")
    # A palette with an alpha for each entry, of which Pillow warns.
    assert decode_image(_file(transparent, transparency=bytes(range(256))), "x").mode == "RGB"


def _bomb() -> bytes:
    # The header says 30000 x 30000; there are no pixels behind it.
    header = b"IHDR" + struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize(
    "content, kind, told",
    [
        (b"no image", "image", "got a file that cannot be decoded (cannot identify image file); expected PNG, JPEG, WEBP, BMP, GIF."),
        (_file(_image(np.random.default_rng(4), 40, 40)).getvalue()[:600], "image", "got a file that cannot be decoded ("),
        (_file(_image(np.random.default_rng(4), 40, 40), "JPEG").getvalue()[:700], "image", "got a file that cannot be decoded ("),
        (_file(Image.new("RGB", (4, 4)), "TIFF").getvalue(), "image", "got a file that cannot be decoded ("),
        (_file(Image.new("I;16", (4, 4))).getvalue(), "image", "got an image of mode I;16; expected 8 bits a channel. Convert it."),
        (_file(Image.new("RGB", (40, 41))).getvalue(), "size", "got 40 x 41 pixels; expected at most 1600 pixels. Make it smaller."),
        (_bomb(), "size", "got a huge image; expected at most 1600 pixels. Make it smaller."),
    ],
    ids=["text", "cut-png", "cut-jpeg", "tiff", "16-bit", "large", "bomb"],
)
def test_what_cannot_be_decoded_is_one_sentence(content: bytes, kind: str, told: str):
    with pytest.raises(RecordError) as caught:
        decode_image(io.BytesIO(content), "a.jsonl:1: image: x.png", max_pixels=1600)
    assert caught.value.kind == kind
    assert str(caught.value).startswith(f"a.jsonl:1: image: x.png: {told}") and "\n" not in str(caught.value)
