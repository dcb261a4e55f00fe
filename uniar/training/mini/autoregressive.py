"""Stage 4: the language model learns to write, to edit and to answer, in one mix of sequences.

Text answers carry next-token cross-entropy, written images the per-bit loss (spec 3), weighted as in the paper's
pre-training. The tokenizer's bits are frozen; its mergers learn with the language model. A few bits of the images that the
model reads are flipped, so that it goes on well after a wrongly sampled bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from uniar.training.losses import bit_loss, text_loss
from uniar.training.mini.build import build_processor, fresh_model
from uniar.training.mini.data import images_of, numpy_rng, patches_of
from uniar.training.mini.recipe import MiniRecipe
from uniar.training.mini.sequences import sample_row, tokenize


class AutoregressiveStage(nn.Module):
    """The whole AR model; everything but the mergers of its vision stack is frozen there."""

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
        kinds = list(r.mix)
        shares = torch.tensor([r.mix[k] for k in kinds])
        counts = (shares / shares.sum() * r.autoregressive.batch_size).round().int().tolist()
        side = r.canvas // model.config.vision_config.token_pixels
        rows = [
            sample_row(rng, kind, tokens=side * side, side=side, dropout=r.condition_dropout)
            for kind, count in zip(kinds, counts, strict=True)
            for _ in range(count)
        ]
        # Rows that write an image come first, so that the visual head runs over them alone.
        rows.sort(key=lambda row: not row.writes)
        writers = sum(row.writes for row in rows)
        ids, targets = self._pad(tokenize(self.tokenizer, rows))
        is_image = ids == model.config.image_token_id
        codes = self._codes(rows)
        flips = torch.rand(codes.shape, generator=stream) < r.input_flip_rate * torch.rand(
            codes.shape[0], 1, 1, 1, generator=stream
        )
        merge = model.config.vision_config.spatial_merge_size
        grid = torch.tensor([[1, side * merge, side * merge]] * sum(len(row.scenes) for row in rows))
        positions = model.positions(ids, grid)
        # Padding is on the right, after everything that counts, so causality alone hides it.
        states = model.states(
            position_ids=positions, input_ids=ids, visual=model.visual.embed(codes ^ flips.to(codes.dtype))
        )
        wanted = targets != -100
        text = text_loss(model.text_logits(states[wanted]), targets[wanted])
        loss, bit, right = text, text.detach() * 0, text.detach() * 0
        if writers:
            hidden = model.bit_hidden(states[:writers], position_ids=positions[:, :writers])
            # An image that is written starts after the prompt: its placeholders are the last `side * side` of the row.
            written = is_image[:writers] & (is_image[:writers].flip(1).cumsum(1).flip(1) <= side * side)
            before = written.roll(-1, 1)
            owner = torch.zeros_like(is_image)
            owner[:writers] = written
            truth = codes[owner[is_image]]
            logits = model.classify(hidden[before])
            bit = bit_loss(logits, truth)
            right = (logits.detach().argmax(-1) == truth).float().mean()
            loss = text + r.visual_weight * bit
        return {"loss": loss, "text": text.detach(), "bit": bit.detach(), "bit_accuracy": right}

    def _pad(self, tokenized: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
        width = max(len(ids) for ids, _ in tokenized)
        pad = self.tokenizer.pad_token_id
        image = self.model.config.image_token_id
        ids = torch.full((len(tokenized), width), pad)
        targets = torch.full((len(tokenized), width), -100)
        for i, (row, prompt) in enumerate(tokenized):
            ids[i, : len(row)] = torch.tensor(row)
            # The state at a position predicts the next one; placeholders are predicted bit by bit, not as text.
            answer = [t if t != image else -100 for t in row[prompt:]]
            targets[i, prompt - 1 : len(row) - 1] = torch.tensor(answer)
        return ids, targets

    @torch.no_grad()
    def _codes(self, rows: list) -> Tensor:
        scenes = [scene for row in rows for scene in row.scenes]
        pixel_values, grid = patches_of(images_of(scenes, self.recipe.canvas), self.recipe.vision.patch)
        return self.model.visual.encode(pixel_values, grid)
