"""World -> token sequences: generate, edit, understand, each one sequence of ids and scenes.

A sequence is what the rollout or the chat template writes, followed by what the model is to answer. Images stand as one
placeholder a visual token; their codes follow the order of the placeholders.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from uniar.data.shapes import Scene, sample_captioned, sample_edit, sample_question, sample_scene
from uniar.generation.prompt import IMAGE_PAD, VISION_END, VISION_START, generation_text


class Row(NamedTuple):
    """One training sequence before tokenisation: text in pieces, images as scenes."""

    pieces: tuple[tuple[str, bool], ...]
    """(text, whether it carries loss): prompt and answer in turn. Placeholders in an answer carry the bit loss instead."""
    scenes: tuple[Scene, ...]
    """In the order of their placeholders; the last one is written by the model when `writes`."""
    writes: bool


class Tokenized(NamedTuple):
    """One training sequence as ids."""

    ids: list[int]
    learned: list[bool]
    """True where the id is an answer."""


def sample_row(rng: np.random.Generator, kind: str, *, tokens: int, side: int, dropout: float, turns: int = 1) -> Row:
    """Draw one sequence.

    Args:
        rng: source of all draws.
        kind: "generate", "edit" or "understand".
        tokens: visual tokens of an image.
        side: visual tokens a side.
        dropout: probability of the empty prompt.
        turns: questions about the one image of an "understand" sequence.
    """
    image = IMAGE_PAD * tokens
    written = f"{image}{VISION_END}<|im_end|>"
    dropped = rng.random() < dropout
    if kind == "generate":
        made = sample_captioned(rng)
        prompt = generation_text("" if dropped else made.caption, rows=side, columns=side)
        return Row(((prompt, False), (written, True)), (made.scene,), True)
    if kind == "edit":
        edit = sample_edit(rng)
        prompt = generation_text("" if dropped else edit.instruction, rows=side, columns=side, image_tokens=tokens)
        return Row(((prompt, False), (written, True)), (edit.source, edit.target), True)
    scene = sample_scene(rng, habits=bool(rng.random() < 0.5))
    pieces: list[tuple[str, bool]] = []
    for turn in range(turns):
        question = sample_question(rng, scene)
        seen = f"{VISION_START}{image}{VISION_END}" if turn == 0 else ""
        between = "\n" if turn else ""
        pieces += [
            (f"{between}<|im_start|>user\n{seen}{question.text}<|im_end|>\n<|im_start|>assistant\n", False),
            (f"{question.answer}<|im_end|>", True),
        ]
    return Row(tuple(pieces), (scene,), False)


def tokenize(tokenizer: Any, rows: list[Row]) -> list[Tokenized]:
    """Rows -> ids, each piece tokenised on its own, as prompt and answer are when the model is used."""
    texts = [text for row in rows for text, _ in row.pieces]
    encoded = iter(tokenizer(texts, add_special_tokens=False)["input_ids"])
    out = []
    for row in rows:
        ids, learned = [], []
        for _, learns in row.pieces:
            piece = next(encoded)
            ids += piece
            learned += [learns] * len(piece)
        out.append(Tokenized(ids, learned))
    return out
