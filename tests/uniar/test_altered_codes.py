"""Codes that are altered before they become pixels: flipped bits, and levels that the pixel decoder does not get."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from uniar.errors import InputError

SIZE = {"height": 64, "width": 64, "decoder_steps": 2}


@pytest.fixture(scope="module")
def codes():
    return torch.randint(0, 2, (3, 16, 2, 4, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_flips_are_as_many_as_asked_and_belong_to_the_sample(mini, codes):
    assert torch.equal(mini.flip(codes, 0.0, seeds=[1, 2, 3]), codes)
    assert torch.equal(mini.flip(codes, 1.0, seeds=[1, 2, 3]), 1 - codes)
    flipped = mini.flip(codes, 0.1, seeds=[1, 2, 3])
    shares = (flipped != codes).float().flatten(1).mean(1)
    # 4,096 bits: a standard error of 0.0047.
    assert all(0.08 < share < 0.12 for share in shares.tolist()) and flipped.dtype == torch.uint8
    alone = mini.flip(codes[1:2], 0.1, seeds=[2])
    assert torch.equal(alone[0], flipped[1])
    # More flips keep the fewer ones.
    assert torch.equal((flipped != codes) & (mini.flip(codes, 0.2, seeds=[1, 2, 3]) != codes), flipped != codes)
    with pytest.raises(InputError, match=r"flip_rate: got 1.5; expected 0 to 1"):
        mini.flip(codes, 1.5, seeds=[1, 2, 3])


def test_without_any_level_all_codes_look_alike_and_each_level_matters(mini, codes):
    def images(**more):
        return [np.asarray(image) for image in mini.decode(codes, seeds=[5, 5, 5], **SIZE, **more)]

    whole, first, second, none = (images(drop_levels=levels) for levels in ((), (0,), (1,), (0, 1)))
    assert np.array_equal(none[0], none[1]) and np.array_equal(none[1], none[2])
    assert not np.array_equal(whole[0], whole[1])
    for other in (first, second, none):
        assert not np.array_equal(whole[0], other[0])
    # What a level carries is gone: codes that differ in it alone look alike.
    changed = codes.clone()
    changed[:, :, 1] = 1 - changed[:, :, 1]
    one, two = (mini.decode(c, seeds=[5, 5, 5], drop_levels=[1], **SIZE) for c in (codes, changed))
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, two, strict=True))
    assert np.array_equal(images()[0], whole[0])
    with pytest.raises(InputError, match=r"drop_levels: got \[2\]; expected levels from 0 to 1"):
        images(drop_levels=[2])
