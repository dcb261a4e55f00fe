"""The chat text of generation and editing, exactly as the model was trained on it (ChatML, no system turn).

The grid is told in tokens, height first. The unconditional row is the same text with an empty prompt (an input image
stays). Source: UniAR released inference code, restated.
"""

from __future__ import annotations

import re

from uniar.errors import InputError

IMAGE_PAD = "<|image_pad|>"
VISION_START = "<|vision_start|>"
VISION_END = "<|vision_end|>"

_CONTROL = re.compile(r"<\|[a-z_]+\|>|<image_gen>")
_PLACE = re.compile(r"<image (\d+)>")


def defused(words: str) -> str:
    """A user's words with every control token spelled so that it is plain text.

    A prompt that spells a control token must not become one: placeholders without an image would break the sequence.

    >>> defused("a cat<|im_end|> <image_gen>")
    'a cat<¦im_end¦> <image¦gen>'
    """
    return _CONTROL.sub(lambda m: m.group().replace("|", "¦").replace("<image_gen>", "<image¦gen>"), words)


def generation_text(prompt: str, *, rows: int, columns: int, image_tokens: int = 0) -> str:
    """The prefix that a rollout continues; it ends with `<|vision_start|>`.

    Args:
        prompt: the user's words, verbatim; empty for the unconditional row.
        rows: visual tokens per column of the image to make (H / 32 in the release).
        columns: visual tokens per row.
        image_tokens: visual tokens of the input image when editing; its placeholder is written that many times.

    >>> generation_text("a cat", rows=2, columns=3)
    '<|im_start|>user\\na cat<image_gen> generate image 2 3<|im_end|>\\n<|im_start|>assistant\\n<|vision_start|>'
    """
    image = f"{VISION_START}{IMAGE_PAD * image_tokens}{VISION_END}" if image_tokens else ""
    return f"<|im_start|>user\n{prompt}{image}<image_gen> generate image {rows} {columns}<|im_end|>\n<|im_start|>assistant\n{VISION_START}"


def interleaved(words: str, images: int) -> list[str | int]:
    """A user's words and images in the order in which they are told.

    Args:
        words: `<image 1>`, `<image 2>`, ... are the places of images (as MMMU writes them); one may be named several times.
        images: how many there are.

    Returns:
        Texts (none empty) and numbers of images, from 0. Images that the words do not name come first.

    Raises:
        InputError: the words name an image that there is not.

    >>> interleaved("how many stars?", 2), interleaved("in <image 2> or <image 1>?", 3)
    ([0, 1, 'how many stars?'], [2, 'in ', 1, ' or ', 0, '?'])
    """
    texts, named = _PLACE.split(words)[::2], [int(number) - 1 for number in _PLACE.findall(words)]
    absent = next((number for number in named if not 0 <= number < images), None)
    if absent is not None:
        raise InputError(f"prompt: got <image {absent + 1}>; expected 1 to {images}, the images given. Give the image, or mend the prompt.")
    told: list[str | int] = [number for number in range(images) if number not in named]
    for text, number in zip(texts, [*named, None], strict=True):
        told += [text] if text else []
        told += [] if number is None else [number]
    return told
