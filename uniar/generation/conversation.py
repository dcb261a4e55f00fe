"""One context in which the model draws, reads and answers: what it has written is read without being decoded and encoded again.

A conversation is a growing row of tokens with its caches. Drawing appends the visual tokens, asking appends question and
answer; no position is computed twice. Guidance needs a second row: the same conversation without the words of the turns that
ask for an image. It is computed only when a drawing is guided. The text is that of `uniar.data.chat`, so what was trained on
is met in exactly its form.

The result depends on the conversation alone, never on what else is computed. Codes are those of `generate_codes` up to
floating-point order (there the two rows of guidance are one batch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from uniar.errors import InputError
from uniar.generation.prompt import IMAGE_PAD, VISION_END, VISION_START, defused, generation_text
from uniar.generation.sampling import uniforms
from uniar.language.cache import KVCache
from uniar.model import UniARForConditionalGeneration
from uniar.seeding import generator

_END = "<|im_end|>"
Grid = tuple[int, int, int]
"""Frames, rows and columns of an image, in patches."""
Shown = Sequence[tuple[Tensor, Grid]]
"""Images in a user's turn: codes uint8 (N, L, G, D) and grid."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a conversation to go back to."""

    rows: tuple[tuple[int, int, int, int, tuple[Tensor, ...]], ...]
    """Of each row: tokens, tokens computed, images, visual tokens, states that the visual head has not read."""
    heads: tuple[int, ...]
    """Positions that the visual head holds, of each row."""


@dataclass(kw_only=True)
class _Row:
    """A row of tokens, computed up to `done`."""

    cache: KVCache
    ids: list[int] = field(default_factory=list)
    done: int = 0
    grids: list[Grid] = field(default_factory=list)
    codes: list[Tensor] = field(default_factory=list)
    """(L, G, D) of every visual token so far, in order."""
    unread: list[Tensor] = field(default_factory=list)
    """States (1, T, H) that the visual head reads when an image is next drawn."""


class Conversation:
    """A conversation with one model.

    Args:
        model: in eval mode.
        tokenizer: the checkpoint's text tokenizer.
        stop_ids: tokens that end an answer.
        capacity: positions in all; a turn that does not fit is refused before anything is computed.
    """

    def __init__(self, model: UniARForConditionalGeneration, tokenizer: Any, *, stop_ids: Sequence[int], capacity: int = 4096):
        config = model.config
        self.model, self.tokenizer, self.capacity = model, tokenizer, capacity
        self.stop_ids = frozenset(stop_ids)
        self.given = 0
        """Positions computed of what was told and shown, in both rows."""
        self.written = 0
        """Positions computed of what the model wrote, in both rows."""
        self._image = tokenizer.convert_tokens_to_ids(IMAGE_PAD)
        self._layers = range(config.text_config.num_hidden_layers)
        self._head = range(self._layers.stop, self._layers.stop + config.visual_depth)
        # The row that is answered in, and the one without the words that ask for images.
        self._rows = [_Row(cache=KVCache(layers=self._head.stop, capacity=capacity)) for _ in range(2)]

    # -- turns -----------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def draw(
        self,
        prompt: str,
        *,
        rows: int,
        columns: int,
        seed: int,
        guidance_scale: float = 1.0,
        temperature: float = 1.0,
        shown: Shown = (),
    ) -> Tensor:
        """The user asks for an image, the model writes it.

        Args:
            prompt: the user's words.
            rows: visual tokens per column of the image.
            columns: visual tokens per row.
            seed: all draws come from (seed, "codes").
            guidance_scale: on the bit logits; at or below 1 the second row is not computed.
            temperature: of the bits; 0 is arg-max.
            shown: images in the user's turn.

        Returns:
            uint8 (rows * columns, L, G, D) on the CPU.

        Raises:
            InputError: a number that cannot be used, or a conversation that grows too long.
        """
        if rows < 1 or columns < 1:
            raise InputError(f"rows, columns: got {rows}, {columns}; expected at least one visual token each way.")
        if temperature < 0:
            raise InputError(f"temperature: got {temperature}; expected 0 (arg-max) or more.")
        merge = self.model.config.vision_config.spatial_merge_size
        total = rows * columns
        command = generation_text("", rows=rows, columns=columns).split("\n", 1)[1].split(_END)[0]
        asked = [self._user(f"{words}{{images}}{command}", shown) + self._ids(VISION_START) for words in (defused(prompt), "")]
        closing = self._ids(f"{VISION_END}{_END}")
        self._fits(len(asked[0]) + total + len(closing))
        for row, ids in zip(self._rows, asked, strict=True):
            self._append(row, ids, shown)
        drawing = self._rows if guidance_scale > 1 else self._rows[:1]
        for row in drawing:
            self._compute(row)
        for row in self._rows:
            row.ids += [self._image] * total
            row.grids.append((1, rows * merge, columns * merge))
        draws, head = generator(seed, "codes"), self.model.output_layer_vistok
        made: list[Tensor] = []
        places = [self._positions(row) for row in drawing]
        for _ in range(total):
            codes = head.draw(
                torch.cat([self._unread(row, place) for row, place in zip(drawing, places, strict=True)]),
                guidance_scale=guidance_scale,
                temperature=temperature,
                uniform=uniforms(head.shape, [draws], self.model.device),
            )
            made.append(codes[0].cpu())
            for row in self._rows:
                row.codes.append(made[-1])
            for row, place in zip(drawing, places, strict=True):
                self._compute(row, upto=row.done + 1, positions=place)
                self.given, self.written = self.given - 1, self.written + 1
        for row in self._rows:
            row.ids += closing
        return torch.stack(made)

    @torch.inference_mode()
    def ask(self, question: str, *, max_new_tokens: int = 64, temperature: float = 0.0, seed: int | None = None, shown: Shown = ()) -> str:
        """The user asks, the model answers in words.

        Args:
            question: the user's words.
            max_new_tokens: longest answer, in tokens.
            temperature: 0 is greedy.
            seed: needed when sampling; all draws come from (seed, "text").
            shown: images in the user's turn, before the words.

        Returns:
            The answer without special tokens.

        Raises:
            InputError: no seed to sample with, or a conversation that grows too long.
        """
        if temperature < 0:
            raise InputError(f"temperature: got {temperature}; expected 0 (greedy) or more.")
        if temperature > 0 and seed is None:
            raise InputError(f"seed: got none; temperature {temperature} samples, so the question needs a seed.")
        ids, closing = self._user(f"{{images}}{defused(question)}", shown), self._ids(_END)
        self._fits(len(ids) + max_new_tokens + len(closing))
        for row in self._rows:
            self._append(row, ids, shown)
        main, draws = self._rows[0], generator(seed, "text") if seed is not None else None
        states = self._compute(main)
        answer: list[int] = []
        for _ in range(max_new_tokens):
            token = _choose(self.model.text_logits(states[:, -1])[0].float(), temperature, draws)
            if token in self.stop_ids:
                break
            answer.append(token)
            main.ids.append(token)
            states = self._compute(main)
            self.given, self.written = self.given - 1, self.written + 1
        main.ids += closing
        self._rows[1].ids += answer + closing
        return str(self.tokenizer.decode(answer, skip_special_tokens=True)).strip()

    # -- places ----------------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """Return this place, so that several questions can be asked of the same context."""
        return Mark(
            tuple((len(row.ids), row.done, len(row.grids), len(row.codes), tuple(row.unread)) for row in self._rows),
            tuple(row.cache.get_seq_length(self._head.start) if self._head else 0 for row in self._rows),
        )

    def back(self, mark: Mark) -> None:
        """Go back to a place of this conversation; what came after is forgotten, what was computed before is kept."""
        for row, head, (ids, done, grids, codes, unread) in zip(self._rows, mark.heads, mark.rows, strict=True):
            del row.ids[ids:], row.grids[grids:], row.codes[codes:]
            row.done, row.unread = done, list(unread)
            row.cache.crop(done, self._layers)
            row.cache.crop(head, self._head)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _user(self, words: str, shown: Shown) -> list[int]:
        """A user's turn up to the assistant's first word; `{images}` in the words is where images are shown."""
        images = "".join(f"{VISION_START}{IMAGE_PAD * len(codes)}{VISION_END}" for codes, _ in shown)
        # Not `format`: the words may hold braces of their own.
        before, _, after = words.partition("{images}")
        opening = "\n" if self._rows[0].ids else ""
        return self._ids(f"{opening}<|im_start|>user\n{before}{images}{after}{_END}\n<|im_start|>assistant\n")

    def _append(self, row: _Row, ids: list[int], shown: Shown) -> None:
        row.ids += ids
        for codes, grid in shown:
            row.codes += list(codes)
            row.grids.append(grid)

    def _positions(self, row: _Row) -> Tensor:
        grids = torch.tensor(row.grids) if row.grids else None
        return self.model.positions(torch.tensor([row.ids]), grids).to(self.model.device)

    def _compute(self, row: _Row, *, upto: int | None = None, positions: Tensor | None = None) -> Tensor:
        """Run the language stack over the row's tokens from `done` on; returns their states."""
        end = len(row.ids) if upto is None else upto
        ids = row.ids[row.done : end]
        before = row.ids[: row.done].count(self._image)
        seen = ids.count(self._image)
        visual = self.model.visual.embed(torch.stack(row.codes[before : before + seen])) if seen else None
        place = self._positions(row) if positions is None else positions
        states = self.model.states(
            input_ids=torch.tensor([ids], device=self.model.device),
            position_ids=place[..., row.done : end],
            visual=visual,
            cache=row.cache,
        )
        row.done = end
        row.unread.append(states)
        self.given += len(ids)
        return states

    def _unread(self, row: _Row, positions: Tensor) -> Tensor:
        """Let the visual head's stack read what it has not read yet; its state (1, H) before the next visual token."""
        states = torch.cat(row.unread, 1)
        first = row.done - states.shape[1]
        row.unread = []
        return self.model.bit_hidden(states, position_ids=positions[..., first : row.done], cache=row.cache)[:, -1]

    def _fits(self, more: int) -> None:
        length = max(len(row.ids) for row in self._rows)
        if length + more > self.capacity:
            raise InputError(
                f"capacity: got a turn of {more} positions after {length}; expected at most {self.capacity} in all. "
                "Raise capacity, or start another conversation."
            )


def _choose(logits: Tensor, temperature: float, draws: torch.Generator | None) -> int:
    if temperature == 0:
        return int(logits.argmax())
    weights = torch.softmax(logits / temperature, -1).cpu().double()
    # One uniform number a token, so that the stream stays aligned whatever the vocabulary.
    uniform = torch.rand((), generator=draws, dtype=torch.float64)
    return min(int(torch.searchsorted(weights.cumsum(0), uniform)), len(weights) - 1)
