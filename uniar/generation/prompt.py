"""The chat text of generation and editing, exactly as the model was trained on it (ChatML, no system turn).

The grid is told in tokens, height first. The unconditional row is the same text with an empty prompt (an input image
stays). Source: UniAR released inference code, restated.
"""

from __future__ import annotations

import re

IMAGE_PAD = "<|image_pad|>"
VISION_START = "<|vision_start|>"
VISION_END = "<|vision_end|>"

_CONTROL = re.compile(r"<\|[a-z_]+\|>|<image_gen>")


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
    return (
        f"<|im_start|>user\n{prompt}{image}<image_gen> generate image {rows} {columns}<|im_end|>\n"
        f"<|im_start|>assistant\n{VISION_START}"
    )
