"""Images through the tokenizer and the pixel decoder and back, by the checkpoint that is bundled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import uniar
from uniar.data.shapes import render, sample_captioned
from uniar.errors import InputError


@pytest.fixture(scope="module")
def model() -> uniar.UniAR:
    return uniar.load("uniar-mini")


def _picture(seed: int) -> Image.Image:
    return Image.fromarray(render(sample_captioned(np.random.default_rng(seed)).scene))


def test_reconstruction_is_the_decoding_of_the_encoding(model) -> None:
    pictures = [_picture(0), _picture(1)]
    settings = {"height": 64, "width": 64, "decoder_steps": 2}
    records = model.reconstruct(pictures, seeds=[5, 6], **settings)
    codes = torch.stack([own for own, _ in model.encode(pictures)])
    wanted = model.decode(codes, seeds=[5, 6], **settings)
    for record, own, image in zip(records, codes, wanted, strict=True):
        assert np.array_equal(record.codes, own.numpy()) and record.image.tobytes() == image.tobytes()
    # One image does not depend on its neighbour.
    alone = model.reconstruct(pictures[1:], seeds=[6], **settings)[0]
    assert alone.image.tobytes() == records[1].image.tobytes()
    assert model.reconstruct([], seeds=[], **settings) == []


def test_the_picture_comes_back(model) -> None:
    picture = _picture(2)
    made = model.reconstruct([picture], height=64, width=64, seeds=[0], decoder_steps=8)[0].image
    error = np.abs(np.asarray(made, float) - np.asarray(picture, float)).mean()
    other = np.abs(np.asarray(_picture(3), float) - np.asarray(picture, float)).mean()
    assert error < 10 < other


def test_other_sizes_are_refused_before_any_work(model) -> None:
    with pytest.raises(InputError, match="got 64 x 64 pixels; expected 96 x 64"):
        model.reconstruct([_picture(0)], height=64, width=96, seeds=[0])
    with pytest.raises(InputError, match="image processor leaves as it is"):
        model.reconstruct([_picture(0).resize((72, 64))], height=64, width=72, seeds=[0])
    with pytest.raises(InputError, match="reaches 128"):
        model.reconstruct([_picture(0).resize((512, 512))], height=512, width=512, seeds=[0])
