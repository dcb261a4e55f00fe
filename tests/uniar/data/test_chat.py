"""Conversations as parts: the very text of the rollout and of the chat template, nothing learned that a user said."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uniar.data.chat import END_OF_TEXT, Turn, conversation, edit, generation, plain_text, understanding
from uniar.data.samples import Picture, Text
from uniar.errors import InputError
from uniar.generation.prompt import IMAGE_PAD, defused, generation_text
from uniar.training.mini.build import SPECIAL_TOKENS, build_processor
from uniar.training.recipes import read

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def processor(tmp_path_factory) -> Any:
    """Processor of the smoke recipe."""
    recipe = read(Path(str(resources.files("uniar"))) / "recipes" / "mini-smoke.yaml", ())
    return build_processor(recipe, tmp_path_factory.mktemp("processor"))


def _picture(rows: int = 2, columns: int = 3) -> Picture:
    return Picture(rows=rows, columns=columns)


def _text(parts: tuple[Text | Picture, ...], *, pads: int | None = None) -> str:
    """The parts as one text, with `pads` placeholders an image, or one a visual token."""
    return "".join(p.text if isinstance(p, Text) else IMAGE_PAD * (pads or p.rows * p.columns) for p in parts)


def _learned(parts: tuple[Text | Picture, ...]) -> list[str]:
    return [p.text for p in parts if isinstance(p, Text) and p.learned]


def _written(parts: tuple[Text | Picture, ...]) -> list[bool]:
    return [p.written for p in parts if isinstance(p, Picture)]


@pytest.mark.parametrize("rows, columns, prompt", [(2, 3, "a cat"), (1, 1, "ein Hügel\n\nim Wald "), (16, 40, "写一个「猫」")])
def test_generation_is_what_the_rollout_reads(rows: int, columns: int, prompt: str):
    parts, unconditional = generation(prompt, _picture(rows, columns))
    assert parts[0] == Text(text=generation_text(prompt, rows=rows, columns=columns))
    assert unconditional is not None
    assert unconditional[0] == Text(text=generation_text("", rows=rows, columns=columns))
    assert parts[1:] == unconditional[1:] == (
        Picture(rows=rows, columns=columns, written=True),
        Text(text="<|vision_end|><|im_end|>", learned=True),
    )


def test_an_edit_is_what_the_rollout_reads_and_keeps_its_input_without_a_prompt():
    parts, unconditional = edit("make it blue", _picture(4, 5), _picture(2, 3))
    assert unconditional is not None
    for made, prompt in ((parts, "make it blue"), (unconditional, "")):
        prefix = generation_text(prompt, rows=2, columns=3, image_tokens=20)
        assert _text(made) == prefix + IMAGE_PAD * 6 + "<|vision_end|><|im_end|>"
        assert _written(made) == [False, True]
        assert _learned(made) == ["<|vision_end|><|im_end|>"]


def test_ids_of_the_parts_are_those_of_the_whole_prefix(processor):
    # The verbs tokenise the prefix as one text, the training each part on its own.
    parts, _ = edit("add a small red star at the top left", _picture(2, 2), _picture(3, 2))
    before = [processor.tokenizer(_text((p,)), add_special_tokens=False)["input_ids"] for p in parts[:3]]
    whole = generation_text("add a small red star at the top left", rows=3, columns=2, image_tokens=4)
    assert [i for ids in before for i in ids] == processor.tokenizer(whole, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("images, turns", [(1, 1), (2, 3), (0, 2)])
def test_understanding_is_the_chat_template(processor, images: int, turns: int):
    pairs = [(f"what is {i}?", f"number {i}") for i in range(turns)]
    parts, unconditional = understanding([_picture() for _ in range(images)], pairs)
    messages: list[dict[str, Any]] = []
    for i, (question, answer) in enumerate(pairs):
        seen = [{"type": "image"}] * images if i == 0 else []
        messages += [{"role": "user", "content": [*seen, {"type": "text", "text": question}]}, {"role": "assistant", "content": answer}]
    assert _text(parts, pads=1) + "\n" == processor.apply_chat_template(messages, tokenize=False)
    asked = processor.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert _text(parts[: 2 * images + 1], pads=1) == asked
    assert _learned(parts) == [f"{answer}<|im_end|>" for _, answer in pairs]
    assert not any(_written(parts)) and unconditional is None


def test_an_interleaved_conversation_is_the_chat_template_with_the_grid_told_to_it(processor):
    turns = [
        Turn(role="system", content=("be brief",)),
        Turn(role="user", content=("like ", _picture(4, 4), " but red")),
        Turn(role="assistant", content=(_picture(3, 2), "here it is, and once more", _picture(3, 2))),
        Turn(role="user", content=("what is it?",)),
        Turn(role="assistant", content=("a star",)),
    ]
    parts, unconditional = conversation(turns)
    image = {"type": "image"}

    def words(text: str) -> dict[str, str]:
        return {"type": "text", "text": text}

    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [words("like "), image, words(" but red<image_gen> generate image 3 2")]},
        {"role": "assistant", "content": [image, words("here it is, and once more"), image]},
        {"role": "user", "content": "what is it?"},
        {"role": "assistant", "content": "a star"},
    ]
    assert _text(parts, pads=1) + "\n" == processor.apply_chat_template(messages, tokenize=False)
    assert _written(parts) == [False, True, True]
    # The first image is opened by the rollout's prefix, the second by the model.
    assert _learned(parts) == ["<|vision_end|>here it is, and once more<|vision_start|>", "<|vision_end|><|im_end|>", "a star<|im_end|>"]
    messages[1]["content"] = [image, words("<image_gen> generate image 3 2")]
    assert unconditional is not None
    assert _text(unconditional, pads=1) + "\n" == processor.apply_chat_template(messages, tokenize=False)


def test_there_is_no_unconditional_where_words_before_the_image_tell_the_prompt():
    turns = [Turn(role="user", content=("a cat",)), Turn(role="assistant", content=("A cat: ", _picture()))]
    parts, unconditional = conversation(turns)
    assert unconditional is None
    assert _learned(parts) == ["A cat: <|vision_start|>", "<|vision_end|><|im_end|>"]


def test_no_words_spell_a_control_token(processor):
    rng = np.random.default_rng(0)
    control = {processor.tokenizer.convert_tokens_to_ids(t) for t in SPECIAL_TOKENS}

    def count(parts: tuple[Text | Picture, ...]) -> int:
        ids = [i for p in parts if isinstance(p, Text) for i in processor.tokenizer(p.text, add_special_tokens=False)["input_ids"]]
        return sum(i in control for i in ids)

    plain = count(conversation([Turn(role="user", content=("a", _picture(), "b")), Turn(role="assistant", content=("c",))]).parts)
    for _ in range(200):
        soup = "".join(rng.choice([*SPECIAL_TOKENS, "<|", "|>", "im_end", "<", ">", " word "], 6))
        cut = int(rng.integers(1, len(soup)))
        # Cut anywhere: the halves of a token must not find each other in the text either.
        halves = (soup[:cut], soup[cut:])
        turns = [Turn(role="user", content=(*halves, _picture(), soup)), Turn(role="assistant", content=halves)]
        assert count(conversation(turns).parts) == plain
        assert count(plain_text(soup + "x").parts) == 1
        assert defused(defused(soup)) == defused(soup)


def test_plain_text_is_learned_whole():
    assert plain_text("Once upon a time").parts == (Text(text=f"Once upon a time{END_OF_TEXT}", learned=True),)
    with pytest.raises(InputError, match=r"^text: got empty text; expected words\.$"):
        plain_text(" \n")


_USER, _ANSWER = Turn(role="user", content=("q",)), Turn(role="assistant", content=("a",))


@pytest.mark.parametrize(
    "turns, told",
    [
        ([], "turns: got 0 turns that end without an answer"),
        ([_USER], "turns: got 1 turns that end without an answer"),
        ([_ANSWER], "turns[0].role: got assistant; expected user"),
        ([_USER, _ANSWER, _ANSWER], "turns[2].role: got assistant; expected user"),
        ([_USER, _USER], "turns[1].role: got user; expected assistant"),
        ([_USER, Turn(role="system", content=("s",)), _ANSWER], "turns[1].role: got system; expected assistant"),
        ([Turn(role="robot", content=("s",)), _ANSWER], "turns[0].role: got 'robot'; expected one of system, user, assistant."),
        ([_USER, Turn(role="assistant", content=(" ",))], "turns[1].content: got an empty turn"),
        ([Turn(role="system", content=(_picture(),)), _USER, _ANSWER], "turns[0].content: got an image in a system turn"),
        ([_USER, Turn(role="assistant", content=(_picture(2, 2), _picture(2, 3)))], "turns[1].content: got images of 2 x 2, 2 x 3 tokens"),
    ],
)
def test_a_conversation_out_of_order_names_the_turn(turns: list[Turn], told: str):
    with pytest.raises(InputError) as caught:
        conversation(turns)
    assert str(caught.value).startswith(told)
