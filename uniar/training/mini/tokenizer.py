"""Stage 1: the visual tokenizer learns to see.

The quantised features must tell what stands in each patch (shape, colour, background: understanding) and how it looks (a
light pixel head), while the soft-entropy loss makes every bit certain and used, and bit flips make the features robust to a
wrongly sampled bit. The heads are thrown away; the bits stay. Source of the terms: UniAR tokenizer stage; 2406.07548.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniar.data.shapes import BACKGROUNDS, COLORS, SHAPES, sample_scene
from uniar.training.losses import reconstruction_loss
from uniar.training.mini.build import fresh_vision
from uniar.training.mini.data import images_of, labels_of, numpy_rng, patches_of
from uniar.training.mini.recipe import MiniRecipe
from uniar.vision import bsq


class TokenizerStage(nn.Module):
    """The tokenizer with its training heads."""

    classifiers = ("classes",)

    def __init__(self, recipe: MiniRecipe):
        super().__init__()
        self.recipe = recipe
        self.vision = fresh_vision(recipe)
        v = recipe.vision
        # The merger is the language model's business; it learns there.
        for module in (self.vision.merger, self.vision.deepstack_merger_list):
            module.requires_grad_(False)
        width = v.hidden * self.vision.config.num_levels
        self.pixels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 3 * v.patch * v.patch))
        self.classes = nn.ModuleDict(
            {
                "shape": nn.Linear(v.hidden, len(SHAPES) + 1),
                "color": nn.Linear(v.hidden, len(COLORS) + 1),
                "background": nn.Linear(v.hidden, len(BACKGROUNDS)),
            }
        )

    def repeated_blocks(self) -> list[nn.Module]:
        """Layers worth compiling."""
        return list(self.vision.blocks)

    def step(self, _: int, stream: torch.Generator) -> Mapping[str, Tensor]:
        """One batch of scenes -> named losses."""
        r = self.recipe
        rng = numpy_rng(stream)
        scenes = [sample_scene(rng, habits=i % 4 == 0) for i in range(r.tokenizer.batch_size)]
        pixel_values, grid = patches_of(images_of(scenes, r.canvas), r.vision.patch)
        z = self.vision.prequantized(pixel_values, grid)
        entropies = [bsq.entropy_loss(z[:, k]) for k in range(z.shape[1])]
        flipped = bsq.flip_bits(z, max_rate=r.flip_rate, generator=stream)
        features = self.vision.features_of_vectors(bsq.quantize(flipped))
        first_frame = pixel_values.view(pixel_values.shape[0], 3, 2, -1)[:, :, 0].flatten(1)
        pixel = reconstruction_loss(self.pixels(torch.cat(features, -1)), first_frame)
        labels = labels_of(scenes, r.vision.patch, r.canvas)
        seen = sum(F.cross_entropy(head(features[0]), labels[name]) for name, head in self.classes.items())
        entropy = sum(e.loss for e in entropies)
        return {
            "loss": 4 * pixel + seen + r.entropy_weight * entropy,
            "pixel": pixel.detach(),
            "understanding": seen.detach(),
            "bit_entropy": sum(e.per_sample for e in entropies).detach() / (len(entropies) * r.vision.bits),
            "code_entropy": sum(e.codebook for e in entropies).detach() / (len(entropies) * r.vision.bits),
        }
