"""Steps in fixed shapes against the plain rollout: on the CPU without a graph, which is the same arithmetic, and as a graph where a GPU is."""

from __future__ import annotations

import pytest
import torch

from uniar.attention import attend, one_query
from uniar.generation.codes import Prefix, generate_codes
from uniar.language.cache import KVCache

HEADS = [
    {},
    {"visual_head": {"kind": "groups", "size": 7}},
    {"visual_head": {"kind": "sequential", "order": "level", "width": 32}},
    {"visual_head": {"kind": "masked", "steps": 3}},
]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def prefixes():
    """Prompts of different lengths; the second one edits an image of 1 x 2 visual tokens."""
    plain = [Prefix(input_ids=torch.tensor([*p, 62]), unconditional_ids=torch.tensor([1, 62])) for p in ([5], [3, 4, 5, 6, 7, 8])]
    edited = Prefix(
        input_ids=torch.tensor([7, 8, 62, 60, 60, 63, 9, 62]),
        unconditional_ids=torch.tensor([62, 60, 60, 63, 62]),
        codes=torch.randint(0, 2, (2, 2, 4, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8),
        grid_thw=[(1, 2, 4)],
    )
    return [plain[0], edited, plain[1]]


@pytest.mark.parametrize("changes", HEADS, ids=["parallel", "groups", "sequential", "masked"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("device", DEVICES)
def test_the_codes_are_those_of_the_plain_rollout(tiny_model, changes, scale, exact, device):
    model = tiny_model(**changes).to(device)
    for temperature in (0.0, 1.0):
        settings = {"rows": 4, "columns": 5, "seeds": [1, 2, 3], "guidance_scale": scale, "temperature": temperature, "exact": exact}
        plain = generate_codes(model, prefixes(), fixed=False, **settings)
        assert torch.equal(generate_codes(model, prefixes(), fixed=True, **settings), plain)
        assert len(plain.unique()) == 2 and not torch.equal(plain[0], plain[2])


def test_an_image_of_one_token_and_of_two(tiny_model):
    model = tiny_model()
    for columns in (1, 2):
        settings = {"rows": 1, "columns": columns, "seeds": [1, 2, 3]}
        plain = generate_codes(model, prefixes(), fixed=False, **settings)
        assert torch.equal(generate_codes(model, prefixes(), fixed=True, **settings), plain)


def test_every_token_is_told_and_logits_are_seen_by_the_plain_steps(tiny_model):
    model, told, seen = tiny_model(), [], []
    settings = {"rows": 2, "columns": 3, "seeds": [1, 2, 3], "exact": False, "fixed": True}
    generate_codes(model, prefixes(), on_step=lambda done, of: told.append((done, of)), **settings)
    assert told == [(done, 6) for done in range(1, 7)]
    generate_codes(model, prefixes(), on_logits=lambda token, logits: seen.append(token), **settings)
    assert seen == list(range(6))


def test_a_fixed_cache_writes_where_it_is_told_and_shows_its_whole_room():
    cache, place = KVCache(layers=1, capacity=4), torch.tensor([2])
    prompt, new = torch.ones(1, 1, 2, 3), torch.full((1, 1, 1, 3), 5.0)
    assert cache.update(prompt, prompt, 0)[0].shape[2] == 2
    cache.fix(place)
    keys, values = cache.update(new, 2 * new, 0)
    assert keys[0, 0, :, 0].tolist() == [1, 1, 5, 0] and values[0, 0, :, 0].tolist() == [1, 1, 10, 0]
    place += 1
    assert cache.update(new, new, 0)[0][0, 0, :, 0].tolist() == [1, 1, 5, 5]


@pytest.mark.parametrize("masked", [False, True])
def test_one_query_of_grouped_heads_is_attention_with_copied_keys(masked):
    g = torch.Generator().manual_seed(0)
    q = torch.randn(2, 6, 1, 8, generator=g)
    k, v = torch.randn(2, 2, 2, 5, 8, generator=g)
    mask = torch.tensor([[True, True, False, True, False], [False, True, True, True, True]])[:, None, None] if masked else None
    torch.testing.assert_close(one_query(q, k, v, mask), attend(q, k, v, mask=mask))
    if masked:
        added = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
        torch.testing.assert_close(one_query(q, k, v, added), attend(q, k, v, mask=mask))
