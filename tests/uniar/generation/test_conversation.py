"""A conversation: what it computes step by step is what the whole sequence gives at once, in the text of the training data."""

from __future__ import annotations

import pytest
import torch

import uniar
from uniar.data import chat
from uniar.data.samples import Picture, TrainingSample
from uniar.errors import InputError
from uniar.training.sequences import encode

PROMPT = "a photo of a red star and a blue circle"
DRAWING = {"rows": 4, "columns": 4, "guidance_scale": 2.5, "temperature": 0.1}


@pytest.fixture(scope="module")
def mini():
    return uniar.load("uniar-mini")


def whole(mini, conversation, row=0):
    """Text logits of the row's tokens in one forward, without a cache."""
    own = conversation._rows[row]
    with torch.inference_mode():
        return mini.model(input_ids=torch.tensor([own.ids]), codes=torch.stack(own.codes), image_grid_thw=torch.tensor(own.grids))


def picture(codes):
    return Picture(rows=4, columns=4, codes=codes.numpy(), written=True)


def test_a_drawing_has_the_codes_of_generate(mini):
    unit = mini.model.config.vision_config.token_pixels
    (alone,) = mini.generate([PROMPT], height=4 * unit, width=4 * unit, seeds=[3], guidance_scale=2.5, temperature=0.1, decode=False)
    conversation = mini.converse()
    codes = conversation.draw(PROMPT, seed=3, **DRAWING)
    assert (codes.numpy() == alone.codes).all()
    # Both rows: the words of the turn, then 16 visual tokens each.
    assert conversation.written == 32 and conversation.given == sum(row.done for row in conversation._rows) - 32


@pytest.mark.parametrize("guidance_scale", [1.0, 2.5])
def test_answers_and_later_drawings_are_those_of_the_whole_sequence(mini, guidance_scale):
    conversation = mini.converse()
    settings = {**DRAWING, "guidance_scale": guidance_scale}
    first = conversation.draw(PROMPT, seed=3, **settings)
    answers = [conversation.ask(q) for q in ("what color is the star?", "how many circles are there?")]
    second = conversation.draw("make the star green", seed=4, rows=4, columns=4, guidance_scale=2.5, temperature=0.0)
    answers.append(conversation.ask("what color is the circle?"))
    # The text of the training data, token for token; and without the words that ask for images.
    said = [PROMPT, picture(first), "what color is the star?", answers[0], "how many circles are there?", answers[1]]
    said += ["make the star green", picture(second), "what color is the circle?", answers[2]]
    parts = chat.conversation([chat.Turn(role=("user", "assistant")[i % 2], content=(c,)) for i, c in enumerate(said)])
    for row, own in enumerate((parts.parts, parts.unconditional)):
        (encoded,) = encode(mini.processor.tokenizer, [TrainingSample(key="k", source="s", parts=own)])
        assert conversation._rows[row].ids == encoded.ids
    # Every word of an answer is the likeliest of the whole sequence's logits.
    ids, logits = conversation._rows[0].ids, whole(mini, conversation).logits[0]
    (encoded,) = encode(mini.processor.tokenizer, [TrainingSample(key="k", source="s", parts=parts.parts)])
    learned = [i for i, own in enumerate(encoded.learned) if own and i > 40]
    image_end = mini.processor.tokenizer.convert_tokens_to_ids("<|vision_end|>")
    words = [i for i in learned if ids[i] != image_end and ids[i - 1] != image_end]
    assert len(words) >= 3 and all(int(logits[i - 1].argmax()) == ids[i] for i in words)
    # Every bit of the second drawing is the sign of the guided logits of the two whole sequences.
    margins = []
    for row in (0, 1):
        out, own = whole_states(mini, conversation, row)
        margins.append(out[own[-16] - 1 : own[-1]])
    guided = margins[1] + 2.5 * (margins[0] - margins[1])
    sure = guided.abs() > 1e-3
    assert ((guided > 0).to(torch.uint8) == second)[sure].all() and sure.float().mean() > 0.99


def whole_states(mini, conversation, row):
    """Margins (bit 1 minus bit 0) at every position of a row, and where its visual tokens stand."""
    own, model = conversation._rows[row], mini.model
    ids = torch.tensor([own.ids])
    position_ids = model.positions(ids, torch.tensor(own.grids))
    with torch.inference_mode():
        states = model.states(input_ids=ids, position_ids=position_ids, visual=model.visual.embed(torch.stack(own.codes)))
        logits = model.bit_logits(states, position_ids=position_ids)[0]
    return logits[..., 1] - logits[..., 0], [i for i, token in enumerate(own.ids) if token == model.config.image_token_id]


def test_going_back_leaves_no_trace(mini):
    conversation = mini.converse()
    conversation.draw(PROMPT, seed=3, **DRAWING)
    here = conversation.mark()
    alone = conversation.ask("what color is the circle?")
    codes = conversation.draw("make the star green", seed=4, **DRAWING)
    for _ in range(2):
        conversation.back(here)
        conversation.ask("how many stars are there?")
        conversation.draw("add a green square", seed=9, **DRAWING)
        conversation.back(here)
        assert conversation.ask("what color is the circle?") == alone
        assert torch.equal(conversation.draw("make the star green", seed=4, **DRAWING), codes)


def test_a_shown_image_is_read_as_understand_reads_it(mini):
    (image,) = mini.generate([PROMPT], height=64, width=64, seeds=[3], guidance_scale=2.5, temperature=0.1)
    for question in ("what color is the star?", "is there a green square?", "how many circles are there?"):
        shown = mini.encode([image.image])
        assert mini.converse().ask(question, shown=shown) == mini.understand([question], [image.image])[0]


def test_sampled_answers_belong_to_the_seed(mini):
    def answers(seed):
        conversation = mini.converse()
        conversation.draw(PROMPT, seed=3, **DRAWING)
        return [conversation.ask("what color is the star?", temperature=30.0, seed=seed + k, max_new_tokens=4) for k in range(3)]

    assert answers(0) == answers(0) != answers(100)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda c: c.ask("x", temperature=1.0), "seed: got none"),
        (lambda c: c.ask("x", temperature=-1.0), "temperature: got -1.0"),
        (lambda c: c.draw("x", rows=0, columns=4, seed=0), "rows, columns: got 0, 4"),
        (lambda c: c.draw("x", rows=4, columns=4, seed=0, temperature=-1.0), "temperature: got -1.0"),
        (lambda c: c.draw("x", rows=40, columns=40, seed=0), "capacity: got a turn of"),
        (lambda c: c.ask("word " * 300), "capacity: got a turn of"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_computed(mini, act, told):
    conversation = mini.converse(capacity=300)
    with pytest.raises(InputError, match=told):
        act(conversation)
    assert conversation.given == conversation.written == 0 and conversation.ask("how many stars are there?", max_new_tokens=2) is not None
