"""The tokenizer stage: the vision stack and its quantiser learn under a language model, end to end.

The model answers questions about images that it sees through the quantiser, straight through; its cross-entropy is the loss, with
the soft-entropy loss that makes every bit certain and used, and flipped bits, so that the features survive a wrongly sampled one.
Published: no pixel loss and no distillation; both are here as terms of their own, at weight 0. Source: UniAR, tokenizer section;
2406.07548 for the entropy.

P patches, L levels, D bits a code, H width of the vision stack.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniar.attention import packed_mask
from uniar.data.pictures import pixels_of
from uniar.data.samples import Picture, TrainingSample
from uniar.errors import ConfigError
from uniar.seeding import derive_seed, generator
from uniar.training.sequences import IGNORED, Encoded, PackedBatch, encode, packed
from uniar.training.stage import Prepared, StageDefaults, StepOutput
from uniar.vision import bsq

WEIGHTS = ("text", "entropy", "reconstruction", "distillation")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerConfig:
    """What the stage `tokenizer` does with its samples."""

    text_weight: float = 1.0
    """Weight of the language model's loss (mean over answer tokens)."""
    entropy_weight: float = 0.02
    """Weight of the soft-entropy loss (nats a patch, mean over levels); not published."""
    reconstruction_weight: float = 0.0
    """Weight of the pixels that a small head reads off the quantised features (mean absolute plus mean squared error)."""
    distillation_weight: float = 0.0
    """Weight of one minus the cosine between quantised features and those that the vision stack had when training began."""
    flip_rate: float = 0.05
    """Largest bit-flip rate; an image's strength is drawn from 0, 0.01, ... to this."""
    quantizer: Mapping[str, Any] | None = None
    """For ablations: `kind` and settings of `uniar.quantizers` in place of BSQ, and `dim`, the width of a vector (default: the checkpoint's
    bits). Needs `fresh`; its own loss takes the place of the soft-entropy loss. The result can read images, not write them."""
    levels: tuple[int, ...] | None = None
    """For ablations: blocks whose output is a level beside the last one's, in place of the checkpoint's. Needs `fresh`."""
    keep_blocks: bool = False
    """For ablations, with `fresh`: only the quantiser and the projections around it start from random weights, and mergers of levels that
    are new; the blocks, which have seen images before, go on learning."""
    language: str = "train"
    """Whether the language model learns too: `train` or `frozen`."""
    packed_length: int = 4096
    """Positions of a packed row."""

    def __post_init__(self) -> None:
        if self.language not in ("train", "frozen"):
            raise ConfigError(f"language: got {self.language!r}; expected train or frozen.")
        if not 0 <= self.flip_rate <= 0.5:
            raise ConfigError(f"flip_rate: got {self.flip_rate}; expected 0 to 0.5.")
        if self.quantizer is not None and self.flip_rate and self.quantizer.get("kind") not in ("bsq", "lfq"):
            raise ConfigError(f"flip_rate: got {self.flip_rate} with the quantizer {self.quantizer.get('kind')}, which has no bits. Use 0.")
        for name in WEIGHTS:
            if getattr(self, f"{name}_weight") < 0:
                raise ConfigError(f"{name}_weight: got {getattr(self, f'{name}_weight')}; expected 0 or more.")


@dataclass(frozen=True, kw_only=True)
class TokenizerBatch:
    """A micro-batch of packed rows with the pixels of its images, in the order of their placeholders."""

    packed: PackedBatch
    pixel_values: Tensor
    """float32 (P, channels * frames * patch * patch)."""
    grid_thw: Tensor
    """int64 (images, 3)."""
    flips: Tensor
    """bool (P, L, D)."""


class TokenizerStage(StageDefaults, nn.Module):
    """See `training.stage.Stage`.

    Args:
        model: the whole AR model; its visual head takes no part.
        tokenizer: its text tokenizer.
        image_processor: of the same checkpoint.
        draw: global sample number -> sample; those without an image teach nothing here and are left out.
        config: see `TokenizerConfig`.
        seed: of the run.
        name: of the stage.
    """

    classifiers = ("model.lm_head", "pixels")

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Any,
        image_processor: Any,
        draw: Callable[[int], TrainingSample],
        config: TokenizerConfig,
        seed: int,
        name: str = "tokenizer",
    ):
        super().__init__()
        self.model, self.config, self.name = model, config, name
        self._tokenizer, self._draw, self._seed = tokenizer, draw, seed
        self._processor = getattr(image_processor, "image_processor", image_processor)
        weights = {term: getattr(config, f"{term}_weight") for term in WEIGHTS}
        if model.visual.quantizers is not None:
            # It weighs its own terms.
            weights |= {"entropy": 0.0, "quantizer": 1.0}
        self.loss_weights: Mapping[str, float] = {term: w for term, w in weights.items() if w > 0 or term == "text"}
        model.requires_grad_(config.language == "train")
        # What is only used to write images cannot learn here.
        model.visual_decoder.requires_grad_(False)
        model.output_layer_vistok.requires_grad_(False)
        model.visual.requires_grad_(True)
        v = model.config.vision_config
        self.pixels = None
        if "reconstruction" in self.loss_weights:
            width, out = v.hidden_size * v.num_levels, 3 * v.patch_size**2
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive_seed(seed, name, "pixels"))
                self.pixels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, out))
        # In a tuple it is not registered: neither the optimiser nor the state sees it.
        self._frozen = (copy.deepcopy(model.visual).eval().requires_grad_(False),) if "distillation" in self.loss_weights else ()

    def repeated_blocks(self) -> list[nn.Module]:
        """Layers worth compiling or sharding one by one."""
        return [*self.model.model.language_model.layers, *self.model.visual.blocks]

    def checkpoint_activations(self) -> None:
        """Recompute the blocks' activations in the backward."""
        self.model.gradient_checkpointing_enable()

    def prepare(self, step: int, numbers: Sequence[int]) -> Prepared:
        """Samples -> packed rows and pixels."""
        m, v = self.model.config, self.model.config.vision_config
        samples = [s for s in map(self._draw, numbers) if any(isinstance(p, Picture) and p.image is not None for p in s.parts)]
        if not samples:
            raise ConfigError("data: got a micro-batch without an image; expected understanding data with images. Mend the mix.")
        encoded = [_reading(e) for e in encode(self._tokenizer, samples)]
        batch = packed(
            encoded,
            width=self.config.packed_length,
            image_token_id=m.image_token_id,
            pad_token_id=self._tokenizer.pad_token_id or 0,
            merge=v.spatial_merge_size,
        )
        order = [batch.sequences[i] for i in batch.order]
        pictures = [p for e in order for p in e.pictures]
        pixel_values, grid_thw = pixels_of(pictures, self._processor, v.spatial_merge_size)
        keys = [f"{e.sample.key}/{i}" for e in order for i in range(len(e.pictures))]
        seed, sizes = derive_seed(self._seed, self.name, step), grid_thw.prod(-1).tolist()
        flips = [self._flips(seed, key, n) for key, n in zip(keys, sizes, strict=True)]
        data = TokenizerBatch(packed=batch, pixel_values=pixel_values, grid_thw=grid_thw, flips=torch.cat(flips))
        counts = {"text": float(batch.text_tokens)} | {t: float(len(data.flips)) for t in self.loss_weights if t != "text"}
        return Prepared(data, counts, {"tokens": float((batch.segments >= 0).sum()), "images": float(len(pictures))})

    def _flips(self, seed: int, key: str, patches: int) -> Tensor:
        v = self.model.config.vision_config
        # The draws of an image belong to its sample, so they do not depend on the batch or the rank.
        g = generator(seed, f"flips/{key}")
        rate = int(torch.randint(0, round(100 * self.config.flip_rate) + 1, (), generator=g)) / 100
        return torch.rand(patches, v.num_levels, v.bsq_dim, generator=g) < rate

    def forward(self, data: TokenizerBatch) -> StepOutput:
        """Packed rows and pixels -> sums of the loss terms."""
        model, vision, batch = self.model, self.model.visual, data.packed
        device = model.lm_head.weight.device
        pixel_values, grid = data.pixel_values.to(device), data.grid_thw
        z = vision.prequantized(pixel_values, grid)
        flipped = torch.where(data.flips.to(device), -z, z)
        vectors, own, codes = vision.quantized(flipped)
        features = vision.features_of_vectors(vectors)
        ids, positions, targets = (t.to(device) for t in (batch.ids, batch.positions, batch.targets))
        states = model.states(
            position_ids=positions, input_ids=ids, visual=vision.merge(features), mask=packed_mask(batch.segments.to(device))
        )
        wanted = targets != IGNORED
        logits = model.text_logits(states[wanted]).float()
        sums = {"text": F.cross_entropy(logits, targets[wanted], reduction="sum")}
        n = float(len(z))
        accuracy = (float((logits.argmax(-1) == targets[wanted]).sum()), float(wanted.sum()))
        if codes is None:
            # The diversity of codes is taken over this micro-batch: it is no sum over patches.
            entropies = [bsq.entropy_loss(level) for level in z.unbind(1)]
            bits = n * model.config.vision_config.bsq_dim * len(entropies)
            # Entropies in nats a bit: of a patch's own bits (0: certain) and of a bit over the patches (0.69: used both ways).
            logged = {
                "bit_entropy": (n * float(sum(e.per_sample.detach() for e in entropies)), bits),
                "code_entropy": (n * float(sum(e.codebook.detach() for e in entropies)), bits),
            }
            if "entropy" in self.loss_weights:
                sums["entropy"] = n * torch.stack([e.loss for e in entropies]).mean()
        else:
            sums["quantizer"] = n * own
            spread = [q.usage(c) for q, c in zip(vision.quantizers, codes, strict=True)]
            # Bits: entropy of a symbol over this micro-batch, and the share of codes in use, means over levels.
            logged = {"symbol_bits": (sum(s.marginal for s in spread), len(spread)), "used": (sum(s.used for s in spread), len(spread))}
        if self.pixels is not None:
            # The first frame; a still image has the same one twice.
            truth = pixel_values.view(len(z), 3, 2, -1)[:, :, 0].flatten(1)
            difference = self.pixels(torch.cat(features, -1)).float() - truth
            sums["reconstruction"] = (difference.abs() + difference.pow(2)).mean(1).sum()
        if self._frozen:
            sums["distillation"] = self._distance(features, pixel_values, grid)
        return StepOutput(sums, {"accuracy": accuracy, **logged})

    def _distance(self, features: list[Tensor], pixel_values: Tensor, grid: Tensor) -> Tensor:
        (found,) = self._frozen
        with torch.no_grad():
            before = found.to(pixel_values.device).levels(pixel_values, grid)
        cosines = [F.cosine_similarity(a.float(), b.float(), dim=-1) for a, b in zip(features, before, strict=True)]
        return (1 - torch.stack(cosines).mean(0)).sum()


def _reading(encoded: Encoded) -> Encoded:
    # Nothing is written here: every image is read, and what would be written counts as seen.
    return encoded._replace(written=[False] * len(encoded.written))
