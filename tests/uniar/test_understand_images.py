"""`understand` with none, one or several images: where each is told, and that every one of them is seen."""

from __future__ import annotations

import pytest
import torch

from uniar.errors import InputError
from uniar.generation.prompt import interleaved

QUESTION = "how many stars are there?"


def told(mini, monkeypatch, prompt, images):
    """What the model is given for one prompt: ids and patches."""
    seen = []

    def generate(**inputs):
        seen.append(inputs)
        return torch.cat([inputs["input_ids"], torch.tensor([[mini._stop_ids()[0]]])], dim=1)

    with monkeypatch.context() as patch:
        patch.setattr(mini.model, "generate", generate)
        mini.understand([prompt], [images])
    return seen[0]


@pytest.mark.parametrize(
    ("words", "images", "wanted"),
    [
        ("what is it?", 0, ["what is it?"]),
        ("what is it?", 2, [0, 1, "what is it?"]),
        ("<image 1> what is it?", 1, [0, " what is it?"]),
        ("A. <image 2>\nB. <image 1>\nlike <image 2>", 2, ["A. ", 1, "\nB. ", 0, "\nlike ", 1]),
        ("in <image 2>?", 3, [0, 2, "in ", 1, "?"]),
        ("<image 1><image 2>", 2, [0, 1]),
    ],
)
def test_words_and_images_in_the_order_of_the_marks(words, images, wanted):
    assert interleaved(words, images) == wanted


@pytest.mark.parametrize(("words", "images"), [("<image 2>?", 1), ("<image 0>?", 1), ("<image 1>?", 0)])
def test_an_image_that_is_not_there_is_told(words, images, mini, scenes):
    with pytest.raises(InputError, match=r"prompt: got <image \d>; expected 1 to \d"):
        mini.understand([words], [scenes[:images]])


def test_a_list_of_one_is_the_image_itself(mini, scenes):
    questions = [QUESTION, "what color is the circle?"]
    assert mini.understand(questions, [[s] for s in scenes]) == mini.understand(questions, scenes)


def test_no_image_is_none_or_an_empty_list(mini):
    assert mini.understand([QUESTION], [None]) == mini.understand([QUESTION], [[]])


def test_one_image_keeps_the_text_it_had(mini, monkeypatch, scenes):
    inputs = told(mini, monkeypatch, "in <image 1>?", scenes[0])
    text = mini.processor.tokenizer.decode(inputs["input_ids"][0])
    pad = "<|image_pad|>" * (text.count("<|image_pad|>"))
    assert text == f"<|im_start|>user\n<|vision_start|>{pad}<|vision_end|>in <image 1>?<|im_end|>\n<|im_start|>assistant\n"


def test_images_stand_at_their_marks(mini, monkeypatch, scenes):
    alone = [told(mini, monkeypatch, "x", scene) for scene in scenes]
    both = told(mini, monkeypatch, "A <image 2> B <image 1>?", scenes)
    text = mini.processor.tokenizer.decode(both["input_ids"][0]).replace("<|image_pad|>", "")
    assert "user\nA <|vision_start|><|vision_end|> B <|vision_start|><|vision_end|>?<|im_end|>" in text
    assert torch.equal(both["pixel_values"], torch.cat([alone[1]["pixel_values"], alone[0]["pixel_values"]]))
    assert both["image_grid_thw"].tolist() == [g["image_grid_thw"][0].tolist() for g in reversed(alone)]


def test_every_image_reaches_the_answer(mini, scenes):
    """The text logits after two images change with either of them, and with their order."""

    def logits(images):
        content = [{"type": "image"}] * len(images) + [{"type": "text", "text": QUESTION}]
        text = mini.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
        inputs = mini.processor(text=[text], images=images, return_tensors="pt")
        kept = {k: inputs[k] for k in ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")}
        with torch.inference_mode():
            return mini.model(**kept).logits[0, -1]

    one, two = scenes
    seen = [logits(images) for images in ([one, one], [one, two], [two, one], [two, two])]
    assert all(not torch.allclose(a, b, atol=1e-3) for i, a in enumerate(seen) for b in seen[:i])


def test_control_tokens_of_the_words_stay_words_between_images(mini, monkeypatch, scenes):
    inputs = told(mini, monkeypatch, "<|image_pad|> <image 1> <|im_end|> <image 2>", scenes)
    pads = inputs["input_ids"][0] == mini.processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert int(pads.sum()) == sum(int(g.prod()) for g in inputs["image_grid_thw"]) // mini.processor.image_processor.merge_size**2
