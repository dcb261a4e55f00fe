"""Input images of the verbs are upright, whatever way the camera was held."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from uniar.cli.options import open_image
from uniar.errors import InputError


def test_an_image_with_an_orientation_tag_is_turned_upright(tmp_path):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    made = open_image(tmp_path / "turned.png")
    assert made.size == (20, 30) and made.mode == "RGB"
    # A quarter turn clockwise: what was left is on top.
    assert np.asarray(made)[:10].min() == 255 and np.asarray(made)[10:].max() == 0


def test_what_is_no_image_is_one_sentence(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"x\.png: cannot be read as an image"):
        open_image(tmp_path / "x.png")
