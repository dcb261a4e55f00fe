"""World -> token sequences: generate, edit, understand, each one row of ids, codes and labels.

A row is what the rollout or the chat template writes, followed by what the model is to answer. Images stand as one placeholder
a visual token; their codes follow the order of the placeholders.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from uniar.data.shapes import Scene, sample_captioned, sample_edit, sample_question, sample_scene
from uniar.generation.prompt import IMAGE_PAD, VISION_END, VISION_START, generation_text


class Row(NamedTuple):
    """One training sequence before tokenisation: text in pieces, images as scenes."""

    prompt: str
    """Carries no loss."""
    answer: str
    """Text that carries loss (placeholders of an answered image carry the bit loss instead)."""
    scenes: list[Scene]
    """In the order of their placeholders; the last one is written by the model when `writes`."""
    writes: bool


def sample_row(rng: np.random.Generator, kind: str, *, tokens: int, side: int, dropout: float) -> Row:
    """Draw one sequence.

    Args:
        rng: source of all draws.
        kind: "generate", "edit" or "understand".
        tokens: visual tokens of an image.
        side: visual tokens a side.
        dropout: probability of the empty prompt.
    """
    image = IMAGE_PAD * tokens
    written = f"{image}{VISION_END}<|im_end|>"
    dropped = rng.random() < dropout
    if kind == "generate":
        made = sample_captioned(rng)
        return Row(generation_text("" if dropped else made.caption, rows=side, columns=side), written, [made.scene], True)
    if kind == "edit":
        edit = sample_edit(rng)
        prompt = generation_text("" if dropped else edit.instruction, rows=side, columns=side, image_tokens=tokens)
        return Row(prompt, written, [edit.source, edit.target], True)
    scene = sample_scene(rng, habits=bool(rng.random() < 0.5))
    question = sample_question(rng, scene)
    prompt = f"<|im_start|>user\n{VISION_START}{image}{VISION_END}{question.text}<|im_end|>\n<|im_start|>assistant\n"
    return Row(prompt, f"{question.answer}<|im_end|>", [scene], False)


def tokenize(tokenizer: Any, rows: list[Row]) -> list[tuple[list[int], int]]:
    """Rows -> (ids, length of the prompt part)."""
    prompts = tokenizer([r.prompt for r in rows], add_special_tokens=False)["input_ids"]
    answers = tokenizer([r.answer for r in rows], add_special_tokens=False)["input_ids"]
    return [(p + a, len(p)) for p, a in zip(prompts, answers, strict=True)]
