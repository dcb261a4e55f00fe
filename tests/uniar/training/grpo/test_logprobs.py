"""Teacher-forced log-probabilities are those that the rollout sampled from; hand-worked bits; gradients."""

from __future__ import annotations

import math

import pytest
import torch

from uniar import InputError
from uniar.generation.codes import Prefix, generate_codes
from uniar.training.grpo.logprobs import RolloutLogits, bit_logprobs, of_logits

ROWS, COLUMNS = 2, 3


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model(seed=5)


def text(*ids: int) -> Prefix:
    return Prefix(input_ids=torch.tensor([*ids, 62]), unconditional_ids=torch.tensor([1, 62]))


def edit() -> Prefix:
    """A prompt that reads an image of 1 x 2 visual tokens."""
    codes = torch.randint(0, 2, (2, 2, 4, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ids = torch.tensor([7, 8, 62, 60, 60, 63, 9, 62])
    return Prefix(input_ids=ids, unconditional_ids=torch.tensor([62, 60, 60, 63, 62]), codes=codes, grid_thw=[(1, 2, 4)])


BATCHES = {
    "one length": [text(5, 6), text(7, 8), text(9, 10)],
    "padded": [text(5), text(7, 8, 9, 10), text(3, 4, 5, 6, 7, 8)],
    "edit": [edit(), edit()],
    "edit among others, padded": [text(5), edit(), text(11, 12)],
}


def rollout(model, prefixes, *, temperature=1.0, **settings):
    seen = RolloutLogits()
    seeds = [100 + i for i in range(len(prefixes))]
    size = {"rows": ROWS, "columns": COLUMNS, "seeds": seeds, "temperature": temperature}
    codes = generate_codes(model, prefixes, on_logits=seen, **size, **settings)
    return codes, seen.logprobs(codes, temperature=temperature)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", BATCHES)
def test_teacher_forcing_gives_what_the_rollout_sampled_from(model, name, exact, temperature):
    prefixes = BATCHES[name]
    codes, seen = rollout(model, prefixes, temperature=temperature, exact=exact)
    made = bit_logprobs(model, prefixes, codes, rows=ROWS, columns=COLUMNS, temperature=temperature)
    assert made.shape == codes.shape and made.dtype == torch.float32
    assert (made - seen).abs().max() < 1e-4
    # The comparison means something: other codes have other log-probabilities.
    other = bit_logprobs(model, prefixes, 1 - codes, rows=ROWS, columns=COLUMNS, temperature=temperature)
    assert (other - seen).abs().max() > 0.1


def test_padding_changes_nothing(model):
    together = BATCHES["edit among others, padded"]
    codes, _ = rollout(model, together, exact=False)
    batch = bit_logprobs(model, together, codes, rows=ROWS, columns=COLUMNS)
    for i, prefix in enumerate(together):
        alone = bit_logprobs(model, [prefix], codes[i : i + 1], rows=ROWS, columns=COLUMNS, pad_token_id=3)
        assert (alone[0] - batch[i]).abs().max() < 1e-4


def test_the_logits_are_those_after_guidance(model):
    prefixes = BATCHES["padded"]
    codes, guided = rollout(model, prefixes, exact=False, guidance_scale=3.0)
    plain = bit_logprobs(model, prefixes, codes, rows=ROWS, columns=COLUMNS)
    assert (plain - guided).abs().max() > 0.1


def test_a_bit_depends_on_earlier_tokens_only(model):
    codes, _ = rollout(model, BATCHES["padded"], exact=False)
    before = bit_logprobs(model, BATCHES["padded"], codes, rows=ROWS, columns=COLUMNS)
    changed = codes.clone()
    changed[:, 3] ^= 1
    after = bit_logprobs(model, BATCHES["padded"], changed, rows=ROWS, columns=COLUMNS)
    assert (after[:, :3] - before[:, :3]).abs().max() < 1e-5
    assert ((after[:, 4:] - before[:, 4:]).abs().flatten(2).amax(2) > 1e-3).all()


def test_one_visual_token(model):
    codes = generate_codes(model, [text(5)], rows=1, columns=1, seeds=[0])
    assert bit_logprobs(model, [text(5)], codes, rows=1, columns=1).shape == (1, 1, 2, 4, 7)


def test_gradients_reach_language_stack_and_head(tiny_model):
    model = tiny_model(seed=5)
    codes, _ = rollout(model, BATCHES["padded"], exact=False)
    bit_logprobs(model, BATCHES["padded"], codes, rows=ROWS, columns=COLUMNS).mean().backward()
    for part in (model.model.language_model.layers[0], model.visual_decoder[0], model.output_layer_vistok):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_a_step_up_the_gradient_makes_the_codes_likelier(tiny_model):
    model = tiny_model(seed=5)
    codes, before = rollout(model, BATCHES["padded"], exact=False)
    parts = [*model.visual_decoder.parameters(), *model.output_layer_vistok.parameters()]
    grads = torch.autograd.grad(bit_logprobs(model, BATCHES["padded"], codes, rows=ROWS, columns=COLUMNS).mean(), parts)
    with torch.no_grad():
        for parameter, grad in zip(parts, grads, strict=True):
            parameter.add_(grad, alpha=0.01)
    assert bit_logprobs(model, BATCHES["padded"], codes, rows=ROWS, columns=COLUMNS).mean() > before.mean()


def test_bits_by_hand():
    # Logits (0, log 3): P(1) = 3/4, P(0) = 1/4; at temperature 1/2 they are 9/10 and 1/10.
    logits = torch.tensor([[0.0, math.log(3.0)]] * 2)
    codes = torch.tensor([1, 0], dtype=torch.uint8)
    assert of_logits(logits, codes, temperature=1.0).exp().tolist() == pytest.approx([0.75, 0.25])
    assert of_logits(logits, codes, temperature=0.5).exp().tolist() == pytest.approx([0.9, 0.1])
    with pytest.raises(InputError, match="temperature: got 0"):
        of_logits(logits, codes, temperature=0.0)


def test_codes_of_another_size_are_refused(model):
    codes, _ = rollout(model, BATCHES["padded"], exact=False)
    with pytest.raises(InputError, match=r"codes: got \(3, 6\).*expected \(3, 4\)"):
        bit_logprobs(model, BATCHES["padded"], codes, rows=2, columns=2)
    seen = RolloutLogits()
    with pytest.raises(InputError, match="this rollout made"):
        seen.logprobs(codes, temperature=1.0)
