"""Stage 4: the language model learns to write, to edit and to answer, in one mix of packed sequences.

Text answers carry next-token cross-entropy, written images the per-bit loss (spec 3), weighted as in the paper's
pre-training. The tokenizer's bits are frozen; its mergers learn with the language model. A few bits of the images that the
model reads are flipped, so that it goes on well after a wrongly sampled bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from uniar.attention import packed_mask
from uniar.training.losses import bit_loss, text_loss
from uniar.training.mini.build import build_processor, fresh_model
from uniar.training.mini.data import images_of, numpy_rng, patches_of
from uniar.training.mini.recipe import MiniRecipe
from uniar.training.mini.sequences import Row, sample_row, tokenize
from uniar.training.sequences import pack


class Packed(NamedTuple):
    """A batch of packed rows; those that write images come first. R rows, T positions."""

    ids: Tensor
    """int64 (R, T)."""
    targets: Tensor
    """int64 (R, T): the next id where it is an answer's, else -100."""
    segments: Tensor
    """int64 (R, T): number of the sequence; -1 at padding."""
    positions: Tensor
    """int64 (3, R, T)."""
    written: Tensor
    """bool (R, T): placeholders of images that the model writes."""
    order: list[int]
    """Numbers of the sequences in the order of their placeholders."""
    writers: int
    """Rows that write."""


class AutoregressiveStage(nn.Module):
    """The whole AR model; everything but the mergers of its vision stack is frozen there."""

    classifiers = ("model.lm_head", "model.output_layer_vistok")

    def __init__(self, recipe: MiniRecipe, *, folder: Path, vision: nn.Module):
        super().__init__()
        self.recipe = recipe
        self.tokenizer = build_processor(recipe, folder / "processor").tokenizer
        self.model = fresh_model(recipe, self.tokenizer)
        own = self.model.visual
        mergers = {n: p for n, p in own.named_parameters() if "merger" in n}
        trained = vision.state_dict()
        own.load_state_dict({n: (own.state_dict()[n] if n in mergers else trained[n]) for n in own.state_dict()})
        own.requires_grad_(False)
        for parameter in mergers.values():
            parameter.requires_grad_(True)

    def step(self, _: int, stream: torch.Generator) -> Mapping[str, Tensor]:
        """One mixed batch -> named losses."""
        r, model = self.recipe, self.model
        rng = numpy_rng(stream)
        side = r.canvas // model.config.vision_config.token_pixels
        rows = [
            sample_row(rng, kind, tokens=side * side, side=side, dropout=r.condition_dropout, turns=r.turns)
            for kind, count in self._counts().items()
            for _ in range(count)
        ]
        batch = self._pack(rows, side)
        codes = self._codes([rows[i] for i in batch.order])
        flips = torch.rand(codes.shape, generator=stream) < r.input_flip_rate * torch.rand(
            codes.shape[0], 1, 1, 1, generator=stream
        )
        mask = packed_mask(batch.segments)
        states = model.states(
            position_ids=batch.positions,
            input_ids=batch.ids,
            visual=model.visual.embed(codes ^ flips.to(codes.dtype)),
            mask=mask,
        )
        wanted = batch.targets != -100
        text = text_loss(model.text_logits(states[wanted]), batch.targets[wanted])
        loss, bit, right = text, text.detach() * 0, text.detach() * 0
        if batch.writers:
            w = slice(batch.writers)
            hidden = model.bit_hidden(states[w], position_ids=batch.positions[:, w], mask=mask[w])
            # The state at a position predicts the next one.
            logits = model.classify(hidden[batch.written[w].roll(-1, 1)])
            truth = codes[batch.written[batch.ids == model.config.image_token_id]]
            bit = bit_loss(logits, truth)
            right = (logits.detach().argmax(-1) == truth).float().mean()
            loss = text + r.visual_weight * bit
        return {"loss": loss, "text": text.detach(), "bit": bit.detach(), "bit_accuracy": right}

    def repeated_blocks(self) -> list[nn.Module]:
        """Layers worth compiling."""
        return [*self.model.model.language_model.layers, *self.model.visual_decoder, *self.model.visual.blocks]

    def _counts(self) -> dict[str, int]:
        mix = self.recipe.mix
        return {k: round(share / sum(mix.values()) * self.recipe.autoregressive.batch_size) for k, share in mix.items()}

    def _pack(self, rows: list[Row], side: int) -> Packed:
        image, merge = self.model.config.image_token_id, self.model.config.vision_config.spatial_merge_size
        made = tokenize(self.tokenizer, rows)
        width = max(self.recipe.packed_length, *(len(t.ids) for t in made))
        # The visual head runs over the rows that write alone, so the two kinds are never packed together.
        layout: list[list[int]] = []
        for writes in (True, False):
            mine = [i for i, row in enumerate(rows) if row.writes == writes]
            layout += [[mine[k] for k in row] for row in pack([len(made[i].ids) for i in mine], width)]
        shape = (len(layout), width)
        ids = torch.full(shape, self.tokenizer.pad_token_id)
        targets, segments = torch.full(shape, -100), torch.full(shape, -1)
        positions = torch.zeros(3, *shape, dtype=torch.int64)
        written = torch.zeros(shape, dtype=torch.bool)
        grid = [1, side * merge, side * merge]
        for r, members in enumerate(layout):
            start = 0
            for i in members:
                own = torch.tensor(made[i].ids)
                learned = torch.tensor(made[i].learned)
                span = slice(start, start + len(own))
                ids[r, span], segments[r, span] = own, i
                positions[:, r, span] = self.model.positions(own[None], torch.tensor([grid] * len(rows[i].scenes)))[:, 0]
                written[r, span] = learned & (own == image)
                answer = torch.where(learned & (own != image), own, -100)
                targets[r, start : start + len(own) - 1] = answer[1:]
                start += len(own)
        order = [i for members in layout for i in members]
        return Packed(ids, targets, segments, positions, written, order, sum(rows[m[0]].writes for m in layout))

    @torch.no_grad()
    def _codes(self, rows: list[Row]) -> Tensor:
        scenes = [scene for row in rows for scene in row.scenes]
        pixel_values, grid = patches_of(images_of(scenes, self.recipe.canvas), self.recipe.vision.patch)
        return self.model.visual.encode(pixel_values, grid)
