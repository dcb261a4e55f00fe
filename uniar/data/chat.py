"""Turns of a conversation -> the parts of a training sample, in exactly the text that the model is used with (ChatML).

Whoever reads is a user, whoever writes is the assistant: the assistant's words carry the text loss and its images are written.
A user's turn that is answered by an image ends with the command of `generation_text`, so that generating and editing are
conversations of one exchange. The newline after the last turn is not written, as no position predicts it. Leaves reading files
to `uniar.data.records`, token ids to `uniar.training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from uniar.data.samples import Picture, Text
from uniar.errors import InputError
from uniar.generation.prompt import VISION_END, VISION_START, defused, generation_text

ROLES = ("system", "user", "assistant")
END_OF_TEXT = "<|endoftext|>"
_TURN_START, _TURN_END = "<|im_start|>", "<|im_end|>"

Parts = tuple[Text | Picture, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What one side says: words and images in any order."""

    role: str
    """One of `ROLES`."""
    content: tuple[str | Picture, ...]
    """Words verbatim (they are defused here) and images; whether an image is written follows from the role."""


class ChatParts(NamedTuple):
    """`parts` and `unconditional` of a training sample."""

    parts: Parts
    unconditional: Parts | None


def generation(prompt: str, image: Picture) -> ChatParts:
    """A prompt, then the image that the model writes.

    Args:
        prompt: the user's words.
        image: what is to be written; its rows and columns are told in the prompt.

    Returns:
        Parts whose first text is `generation_text`, and the same with an empty prompt.
    """
    return conversation([Turn(role="user", content=(prompt,)), Turn(role="assistant", content=(image,))])


def edit(instruction: str, source: Picture, image: Picture) -> ChatParts:
    """An instruction and an image, then the changed image that the model writes.

    Args:
        instruction: the user's words.
        source: the image that is read; it stays in the unconditional parts.
        image: what is to be written.
    """
    return conversation([Turn(role="user", content=(instruction, source)), Turn(role="assistant", content=(image,))])


def understanding(pictures: Sequence[Picture], turns: Sequence[tuple[str, str]]) -> ChatParts:
    """Images, then questions with their answers.

    Args:
        pictures: images that are read, all before the first question.
        turns: (question, answer) in order, one at least.

    Raises:
        InputError: no turn, an empty answer, or an empty question without an image.
    """
    said = []
    for i, (question, answer) in enumerate(turns):
        said.append(Turn(role="user", content=(*(pictures if i == 0 else ()), question)))
        said.append(Turn(role="assistant", content=(answer,)))
    return conversation(said)


def plain_text(text: str) -> ChatParts:
    """A document of the pre-training text, learned as a whole, closed by the end-of-text token.

    Raises:
        InputError: empty text.
    """
    if not text.strip():
        raise InputError("text: got empty text; expected words.")
    return ChatParts((Text(text=defused(text) + END_OF_TEXT, learned=True),), None)


def conversation(turns: Sequence[Turn]) -> ChatParts:
    """Turns of user and assistant, text and images in any order.

    Args:
        turns: at most one system turn, then user and assistant in alternation; the last is the assistant's.

    Returns:
        The parts; and, where every answer that has an image opens with it, the same with no words in the turns that ask for
        images (input images stay).

    Raises:
        InputError: turns out of order, an empty turn, or an answer with images of different grids; names the turn.
    """
    turns = [_joined(turn) for turn in turns]
    _check(turns)
    parts = _written(turns)
    emptied, asks = list(turns), False
    for i, turn in enumerate(turns):
        if turn.role != "assistant" or not any(isinstance(c, Picture) for c in turn.content):
            continue
        # Words before the image tell what the prompt said, so emptying the prompt would condition on it all the same.
        if isinstance(turn.content[0], str):
            return ChatParts(parts, None)
        asked = turns[i - 1]
        emptied[i - 1] = replace(asked, content=tuple(c for c in asked.content if isinstance(c, Picture)))
        asks = asks or len(emptied[i - 1].content) < len(asked.content)
    return ChatParts(parts, _written(emptied) if asks else None)


def _joined(turn: Turn) -> Turn:
    # Words that touch are joined before they are defused: two halves of a control token must not meet afterwards.
    content: list[str | Picture] = []
    for piece in turn.content:
        if isinstance(piece, Picture):
            content.append(replace(piece, written=turn.role == "assistant"))
        elif content and isinstance(content[-1], str):
            content[-1] += piece
        elif piece:
            content.append(piece)
    return replace(turn, content=tuple(defused(c) if isinstance(c, str) else c for c in content))


def _check(turns: Sequence[Turn]) -> None:
    own = turns[1:] if turns and turns[0].role == "system" else turns
    for i, turn in enumerate(turns):
        where = f"turns[{i}]"
        if turn.role not in ROLES:
            raise InputError(f"{where}.role: got {turn.role!r}; expected one of {', '.join(ROLES)}.")
        if not turn.content or all(isinstance(c, str) and not c.strip() for c in turn.content):
            raise InputError(f"{where}.content: got an empty turn; expected words or an image.")
        place = i - (len(turns) - len(own))
        due = "system" if place < 0 else ("user", "assistant")[place % 2]
        if turn.role != due:
            told = "since user and assistant take turns after one system turn at most"
            raise InputError(f"{where}.role: got {turn.role}; expected {due}, {told}.")
        pictures = [c for c in turn.content if isinstance(c, Picture)]
        if turn.role == "system" and pictures:
            raise InputError(f"{where}.content: got an image in a system turn; expected words. Show it in a user turn.")
        if turn.role == "assistant" and len({(p.rows, p.columns) for p in pictures}) > 1:
            sizes = ", ".join(f"{p.rows} x {p.columns}" for p in pictures)
            raise InputError(f"{where}.content: got images of {sizes} tokens; expected one grid an answer, told before it. Split the turn.")
    if not own or own[-1].role != "assistant":
        raise InputError(f"turns: got {len(own)} turns that end without an answer; expected the assistant's turn last.")


def _written(turns: Sequence[Turn]) -> Parts:
    parts: list[Text | Picture] = []

    def say(text: str, *, learned: bool) -> None:
        # One piece a stretch: prompt and answer are tokenised apart, nothing else is.
        if parts and isinstance(parts[-1], Text) and parts[-1].learned == learned:
            parts[-1] = replace(parts[-1], text=parts[-1].text + text)
        else:
            parts.append(Text(text=text, learned=learned))

    for i, turn in enumerate(turns):
        answers = turn.role == "assistant"
        between = "\n" if i else ""
        say(f"{between}{_TURN_START}{turn.role}\n", learned=False)
        for k, piece in enumerate(turn.content):
            if isinstance(piece, str):
                say(piece, learned=answers)
                continue
            # The rollout's prefix opens an image that comes first; a later one is opened by the model's own decision.
            say(VISION_START, learned=answers and k > 0)
            parts.append(piece)
            say(VISION_END, learned=answers)
        following = turns[i + 1].content if i + 1 < len(turns) and not answers else ()
        wanted = next((c for c in following if isinstance(c, Picture)), None)
        if turn.role == "user" and wanted is not None:
            say(_command(wanted.rows, wanted.columns), learned=False)
        say(_TURN_END, learned=answers)
    return tuple(parts)


def _command(rows: int, columns: int) -> str:
    # Cut out of the one place that spells it.
    return generation_text("", rows=rows, columns=columns).split("\n", 1)[1].split(_TURN_END)[0]
