"""Training samples -> packed rows of ids, targets, positions and codes.

Several sequences share a row; attention is masked to each one's own segment and its positions start at zero, so a packed
sequence has the states that it has alone. The state at a position predicts what stands at the next one: text by the text head,
the tokens of a written image by the visual head. R rows, T positions, N visual tokens, L levels, G patches a token, D bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from uniar.data.samples import Picture, Text, TrainingSample
from uniar.generation.prompt import IMAGE_PAD
from uniar.language.rope import position_ids_of
from uniar.seeding import generator

IGNORED = -100
PADDING = -1


class Encoded(NamedTuple):
    """One sequence as ids, with what each of them is."""

    sample: TrainingSample
    ids: list[int]
    learned: list[bool]
    """Whether the id carries the text loss (placeholders never do)."""
    written: list[bool]
    """Whether the id is a placeholder of an image that the model writes."""
    pictures: tuple[Picture, ...]
    """In the order of their placeholders."""


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """Packed rows; those that write images come first, so that the visual head runs over them alone."""

    ids: Tensor
    """int64 (R, T)."""
    targets: Tensor
    """int64 (R, T): the next id where it carries the text loss, else -100."""
    segments: Tensor
    """int64 (R, T): number of the sequence in the batch; -1 at padding."""
    positions: Tensor
    """int64 (3, R, T)."""
    written: Tensor
    """bool (R, T)."""
    writers: int
    """Rows that write."""
    sequences: tuple[Encoded, ...]
    """By number."""
    order: tuple[int, ...]
    """Numbers in the order of their placeholders (row by row)."""

    @property
    def text_tokens(self) -> int:
        """Positions that carry the text loss."""
        return int((self.targets != IGNORED).sum())

    @property
    def visual_tokens(self) -> int:
        """Visual tokens that carry the bit loss."""
        return int(self.written.sum())


def choose_parts(sample: TrainingSample, *, dropout: float, seed: int) -> tuple[Text | Picture, ...]:
    """The parts to train on: with probability `dropout` those with the empty prompt, where there are such.

    The draw belongs to (seed, key of the sample), so it does not depend on the batch or the rank.
    """
    if sample.unconditional is None or dropout <= 0:
        return sample.parts
    draw = torch.rand((), generator=generator(seed, f"condition-dropout/{sample.key}")).item()
    return sample.unconditional if draw < dropout else sample.parts


def encode(
    tokenizer: Any,
    samples: Sequence[TrainingSample],
    *,
    dropout: float = 0.0,
    seed: int = 0,
    learn_prompts: bool = False,
) -> list[Encoded]:
    """Tokenise samples, each text part on its own, as prompt and answer are when the model is used.

    Args:
        tokenizer: the checkpoint's text tokenizer.
        samples: B samples.
        dropout: share of samples whose prompt is emptied.
        seed: of the draws of this step.
        learn_prompts: pre-training learns every text token; fine-tuning the answers alone.

    Returns:
        B sequences.
    """
    chosen = [choose_parts(s, dropout=dropout, seed=seed) for s in samples]
    texts = [p.text for parts in chosen for p in parts if isinstance(p, Text)]
    made = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
    image = tokenizer.convert_tokens_to_ids(IMAGE_PAD)
    out = []
    for sample, parts in zip(samples, chosen, strict=True):
        ids: list[int] = []
        learned: list[bool] = []
        written: list[bool] = []
        for part in parts:
            if isinstance(part, Text):
                piece = next(made)
                carries, writes = part.learned or learn_prompts, False
            else:
                piece = [image] * (part.rows * part.columns)
                carries, writes = False, part.written
            ids += piece
            learned += [carries] * len(piece)
            written += [writes] * len(piece)
        out.append(Encoded(sample, ids, learned, written, tuple(p for p in parts if isinstance(p, Picture))))
    return out


def pack(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Share sequences out over rows of `width` positions, first fit in decreasing length.

    Args:
        lengths: of the sequences.
        width: positions of a row; a longer sequence gets a row of its own, which is then wider.

    Returns:
        for each row the numbers of its sequences.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda k: (-lengths[k], k)):
        for r, left in enumerate(free):
            if lengths[i] <= left:
                rows[r].append(i)
                free[r] -= lengths[i]
                break
        else:
            rows.append([i])
            free.append(width - lengths[i])
    return rows


def packed(encoded: Sequence[Encoded], *, width: int, image_token_id: int, pad_token_id: int, merge: int) -> PackedBatch:
    """Pack sequences into rows.

    Args:
        encoded: B sequences.
        width: positions of a row; raised to the longest sequence.
        image_token_id: the placeholder.
        pad_token_id: fills the rest of a row; masked, so its value is of no effect.
        merge: side of a patch group, for the positions of image tokens.

    Returns:
        `PackedBatch`.
    """
    width = max(width, *(len(e.ids) for e in encoded))
    layout: list[list[int]] = []
    writers = 0
    for writes in (True, False):
        mine = [i for i, e in enumerate(encoded) if any(e.written) == writes]
        rows = [[mine[k] for k in row] for row in pack([len(encoded[i].ids) for i in mine], width)]
        writers += len(rows) if writes else 0
        layout += rows
    shape = (len(layout), width)
    ids = torch.full(shape, pad_token_id)
    targets, segments = torch.full(shape, IGNORED), torch.full(shape, PADDING)
    positions = torch.zeros(3, *shape, dtype=torch.int64)
    written = torch.zeros(shape, dtype=torch.bool)
    for r, members in enumerate(layout):
        start = 0
        for i in members:
            e = encoded[i]
            own, span = torch.tensor(e.ids), slice(start, start + len(e.ids))
            ids[r, span], segments[r, span] = own, i
            grid = torch.tensor([[1, p.rows * merge, p.columns * merge] for p in e.pictures]).reshape(-1, 3)
            positions[:, r, span] = position_ids_of(own[None], image_token_id=image_token_id, grid_thw=grid, merge=merge)[:, 0]
            written[r, span] = torch.tensor(e.written)
            learned = torch.where(torch.tensor(e.learned), own, IGNORED)
            targets[r, start : start + len(e.ids) - 1] = learned[1:]
            start += len(e.ids)
    order = tuple(i for row in layout for i in row)
    return PackedBatch(
        ids=ids,
        targets=targets,
        segments=segments,
        positions=positions,
        written=written,
        writers=writers,
        sequences=tuple(encoded),
        order=order,
    )


def gather_codes(batch: PackedBatch, encode_pictures: Callable[[Sequence[Picture]], Sequence[Tensor]]) -> Tensor:
    """Codes of all visual tokens of a batch, in the order of their placeholders: uint8 (N, L, G, D).

    Args:
        batch: packed rows.
        encode_pictures: pictures without codes -> one uint8 (n, L, G, D) each; called once, with all of them.
    """
    pictures = [p for i in batch.order for p in batch.sequences[i].pictures]
    missing = [p for p in pictures if p.codes is None]
    made = iter(encode_pictures(missing) if missing else ())
    return torch.cat([next(made) if p.codes is None else torch.from_numpy(p.codes) for p in pictures])


def flip_codes(batch: PackedBatch, codes: Tensor, *, rate: float, seed: int) -> Tensor:
    """Flip some bits of the codes that the model reads, so that it goes on well after a wrongly sampled bit.

    Each visual token draws its own strength from 0 to `rate`; all draws of a sequence belong to (seed, its key).

    Args:
        batch: packed rows.
        codes: uint8 (N, L, G, D) of `gather_codes`.
        rate: largest share of flipped bits.
        seed: of the draws of this step.

    Returns:
        uint8 (N, L, G, D).
    """
    if rate <= 0 or not len(codes):
        return codes
    flips = []
    for e in (batch.sequences[i] for i in batch.order):
        n = sum(p.rows * p.columns for p in e.pictures)
        if not n:
            continue
        stream = generator(seed, f"bit-flips/{e.sample.key}")
        strength = rate * torch.rand(n, 1, 1, 1, generator=stream)
        flips.append(torch.rand((n, *codes.shape[1:]), generator=stream) < strength)
    return codes ^ torch.cat(flips).to(codes.dtype)


def learning_draws(batch: PackedBatch, count: int, *, seed: int) -> Tensor:
    """Uniform numbers for the loss of a visual head that needs some, float32 (written visual tokens, count), in row-major order.

    All draws of a sequence belong to (seed, its key).
    """
    drawn = [torch.zeros(0, count)]
    for e in (batch.sequences[i] for i in batch.order):
        drawn.append(torch.rand(sum(e.written), count, generator=generator(seed, f"visual-head/{e.sample.key}")))
    return torch.cat(drawn)


def source_weights(batch: PackedBatch, weights: Mapping[str, float]) -> tuple[Tensor, Tensor]:
    """Loss weight of each text target and of each written visual token, by the sample's source.

    Args:
        batch: packed rows.
        weights: source -> weight; a source that is not named has 1.

    Returns:
        float32 (text tokens,) in row-major order of the targets, float32 (visual tokens,) in row-major order of `written`.
    """
    return owned(batch, torch.tensor([weights.get(e.sample.source, 1.0) for e in batch.sequences]))


def owned(batch: PackedBatch, values: Tensor) -> tuple[Tensor, Tensor]:
    """A value of each sequence (B,) at each of its text targets and of its written visual tokens, in row-major order."""
    return values[batch.segments[batch.targets != IGNORED]], values[batch.segments[batch.written]]
