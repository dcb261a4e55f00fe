"""The rollout: a sample is a function of its prompt and seed; the cache changes nothing; guidance costs only when used."""

from __future__ import annotations

import pytest
import torch

from uniar import InputError
from uniar.generation.codes import Prefix, generate_codes, left_pad
from uniar.generation.sampling import guide, margins_of, sample_margins, uniforms
from uniar.seeding import generator

ROWS, COLUMNS = 2, 3
PROMPTS = ([5], [7, 8, 9, 10], [11, 12], [3, 4, 5, 6, 7, 8])


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model()


@pytest.fixture(scope="module")
def prefixes(model):
    """Prompts of different lengths; the second one edits an image of 1 x 2 visual tokens."""
    made = [Prefix(input_ids=torch.tensor([*p, 62]), unconditional_ids=torch.tensor([1, 62])) for p in PROMPTS]
    codes = torch.randint(0, 2, (2, 2, 4, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    made[1] = Prefix(
        input_ids=torch.tensor([7, 8, 62, 60, 60, 63, 9, 62]),
        unconditional_ids=torch.tensor([62, 60, 60, 63, 62]),
        codes=codes,
        grid_thw=[(1, 2, 4)],
    )
    return made


def _codes(model, prefixes, which, **settings):
    settings = {"rows": ROWS, "columns": COLUMNS, "guidance_scale": 2.0, "temperature": 1.0} | settings
    return generate_codes(model, [prefixes[i] for i in which], seeds=[100 + i for i in which], **settings)


def test_a_sample_does_not_depend_on_its_neighbours(model, prefixes):
    together = _codes(model, prefixes, [0, 1, 2, 3])
    for i in range(4):
        assert torch.equal(_codes(model, prefixes, [i])[0], together[i])
    shuffled = _codes(model, prefixes, [2, 0, 3, 1])
    assert all(torch.equal(shuffled[at], together[i]) for at, i in enumerate([2, 0, 3, 1]))
    others = _codes(model, prefixes, [1, 1, 0])
    assert torch.equal(others[0], together[1])
    assert torch.equal(others[1], together[1])
    assert torch.equal(others[2], together[0])


def test_the_seed_decides_the_draws(model, prefixes):
    settings = {"rows": ROWS, "columns": COLUMNS, "temperature": 1.0}
    a, b = generate_codes(model, [prefixes[0]] * 2, seeds=[1, 2], **settings)
    assert not torch.equal(a, b)


def test_the_callers_random_stream_is_untouched(model, prefixes):
    before = torch.get_rng_state()
    _codes(model, prefixes, [0])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("exact", [True, False])
def test_the_cached_rollout_is_the_uncached_computation(model, prefixes, scale, exact):
    codes = _codes(model, prefixes, [0, 1, 3], guidance_scale=scale, temperature=0.0, exact=exact)
    n = ROWS * COLUMNS
    output = (1, 2 * ROWS, 2 * COLUMNS)
    for row, i in enumerate([0, 1, 3]):
        prefix, logits = prefixes[i], []
        for text in (prefix.input_ids, prefix.unconditional_ids):
            ids = torch.cat([text, torch.full((n,), 60)])[None]
            positions = model.positions(ids, torch.tensor([*prefix.grid_thw, output]))
            given = codes[row] if prefix.codes is None else torch.cat([prefix.codes, codes[row]])
            with torch.no_grad():
                states = model.states(position_ids=positions, input_ids=ids, visual=model.visual.embed(given))
                logits.append(model.bit_logits(states, position_ids=positions)[0, -n - 1 : -1])
        guided = logits[0] if scale == 1.0 else logits[1] + scale * (logits[0] - logits[1])
        assert torch.equal(guided.argmax(-1).to(torch.uint8), codes[row])


def test_guidance_changes_the_codes(model, prefixes):
    plain, guided = (_codes(model, prefixes, [1], guidance_scale=s, temperature=0.0) for s in (1.0, 3.0))
    assert not torch.equal(plain, guided)


@pytest.mark.parametrize(("scale", "exact", "rows"), [(1.0, False, 3), (2.0, False, 6), (1.0, True, 1), (2.0, True, 2)])
def test_unconditional_rows_exist_only_under_guidance(model, prefixes, scale, exact, rows):
    seen: list[tuple[int, int]] = []
    hook = model.model.language_model.layers[0].register_forward_pre_hook(lambda _, x: seen.append(tuple(x[0].shape[:2])))
    try:
        _codes(model, prefixes, [0, 2, 3], guidance_scale=scale, exact=exact)
    finally:
        hook.remove()
    passes = 3 if exact else 1
    assert len(seen) == passes * ROWS * COLUMNS
    assert {r for r, _ in seen} == {rows}
    # After the prefill one position a step.
    assert sum(width > 1 for _, width in seen) == passes


def test_a_prefix_without_an_unconditional_row_is_fine_without_guidance(model):
    prefix = Prefix(input_ids=torch.tensor([5, 62]))
    assert generate_codes(model, [prefix], rows=1, columns=1, seeds=[0]).shape == (1, 1, 2, 4, 7)
    with pytest.raises(InputError, match="guidance_scale: got 2.0"):
        generate_codes(model, [prefix], rows=1, columns=1, seeds=[0], guidance_scale=2.0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"rows": 0}, "rows, columns"), ({"temperature": -1.0}, "temperature: got -1.0"), ({"seeds": [1, 2]}, "seeds: got 2")],
)
def test_settings_that_cannot_be_used(model, prefixes, settings, told):
    with pytest.raises(InputError, match=told):
        generate_codes(model, prefixes[:1], **({"rows": 1, "columns": 1, "seeds": [0]} | settings))


def test_progress_is_told(model, prefixes):
    told: list[tuple[int, int]] = []
    _codes(model, prefixes, [0], on_step=lambda done, total: told.append((done, total)))
    assert told == [(i, 6) for i in range(1, 7)]


def test_sampling_follows_the_probabilities():
    # Bit logits (0, log 3) give P(1) = 3/4; at temperature 1/2 it is 9/10.
    margins = margins_of(torch.tensor([0.0, 3.0]).clamp(min=1).log().expand(1, 10, 10, 100, 2))
    for temperature, share in ((1.0, 0.75), (0.5, 0.9), (0.0, 1.0)):
        uniform = uniforms(margins.shape[1:], [generator(0, "test")], margins.device)
        bits = sample_margins(margins, temperature=temperature, uniform=uniform)
        assert bits.float().mean().item() == pytest.approx(share, abs=0.02)
    tie = margins_of(torch.zeros(1, 1, 1, 1, 2))
    assert sample_margins(tie, temperature=0.0, uniform=torch.zeros_like(tie)).item() == 0


def test_guide_by_hand():
    assert guide(torch.tensor([[3.0], [1.0]]), 2.5).tolist() == [[6.0]]


def test_left_pad():
    ids, mask = left_pad([torch.tensor([4]), torch.tensor([5, 6, 7])], 9)
    assert ids.tolist() == [[9, 9, 4], [5, 6, 7]]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]
