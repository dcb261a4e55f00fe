"""Log-likelihoods of given answers: against a forward over the whole sequence, alone or together, with any images."""

from __future__ import annotations

import math

import pytest
import torch

from uniar.errors import InputError

ANSWERS = ("red", "a large blue triangle on sand", "no", "red circle")


def whole(mini, question, image, answer):
    """The same number without a cache: one forward over prompt and answer."""
    inputs = mini._asked(question, image)
    ids = mini.processor.tokenizer(answer, add_special_tokens=False)["input_ids"]
    full = torch.cat([inputs["input_ids"], torch.tensor([ids])], 1)
    seen = {key: inputs[key] for key in ("pixel_values", "image_grid_thw") if key in inputs}
    with torch.inference_mode():
        logits = mini.model(input_ids=full, **seen).logits[0, -len(ids) - 1 : -1]
    return float(torch.log_softmax(logits.float(), -1).gather(-1, torch.tensor(ids)[:, None]).sum()), len(ids)


@pytest.mark.parametrize("images", [0, 1, 2])
def test_equal_to_a_forward_over_the_whole_sequence(mini, scenes, images):
    question, given = "what color is the star?", scenes[:images]
    (found,) = mini.likelihoods([question], [given], [ANSWERS])
    for one, answer in zip(found, ANSWERS, strict=True):
        logprob, tokens = whole(mini, question, given, answer)
        assert one.tokens == tokens and one.logprob == pytest.approx(logprob, abs=1e-4) and one.logprob < 0


def test_an_answer_does_not_depend_on_the_others(mini, scenes):
    question = "what color is the star?"
    (together,) = mini.likelihoods([question], [scenes[0]], [ANSWERS])
    alone = [mini.likelihoods([question], [scenes[0]], [[answer]])[0][0] for answer in reversed(ANSWERS)]
    assert together == alone[::-1]
    pairs = mini.likelihoods([question, "is it?"], [scenes[0], None], [ANSWERS, ["yes"]])
    assert pairs[0] == together and len(pairs[1]) == 1


def test_first_tokens_share_one_distribution(mini, scenes):
    """Over all single tokens the probabilities sum to one, and the greedy answer's first token is the likeliest."""
    vocabulary = mini.processor.tokenizer
    words = {vocabulary.decode([i]): i for i in range(len(vocabulary)) if i not in vocabulary.all_special_ids}
    single = [w for w, i in words.items() if vocabulary(w, add_special_tokens=False)["input_ids"] == [i]]
    (found,) = mini.likelihoods(["how many stars are there?"], [scenes[0]], [single])
    assert 0.99 < sum(math.exp(one.logprob) for one in found) <= 1.0001
    likeliest = single[max(range(len(single)), key=lambda i: found[i].logprob)]
    assert mini.understand(["how many stars are there?"], [scenes[0]])[0].startswith(likeliest)


def test_an_empty_answer_is_told_and_no_answer_is_none(mini, scenes):
    with pytest.raises(InputError, match="continuations: got an empty one"):
        mini.likelihoods(["what?"], [scenes[0]], [["red", ""]])
    assert mini.likelihoods(["what?"], [scenes[0]], [[]]) == [[]]
