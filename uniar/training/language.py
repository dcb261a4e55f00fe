"""Pre-training and fine-tuning of the autoregressive model: text and images in one shared context.

Text carries next-token cross-entropy, written images the per-bit cross-entropy (UniAR, AR training; bit loss weighted 10 in
pre-training). Pre-training learns every text token, fine-tuning the answers alone. The tokenizer's bits are fixed: images come as
codes, and of the vision stack only the mergers, which bring features to the language model, may learn.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniar.attention import packed_mask
from uniar.data.pictures import pixels_of
from uniar.data.samples import Picture, TrainingSample
from uniar.errors import ConfigError
from uniar.seeding import derive_seed
from uniar.training.adapters import LoraSettings, adapt
from uniar.training.partial_state import fingerprint, keep_partial
from uniar.training.sequences import PackedBatch, encode, flip_codes, gather_codes, learning_draws, owned, packed, source_weights
from uniar.training.stage import Prepared, StageDefaults, StepOutput
from uniar.vision.tokenizer import VisualFeatures


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageConfig:
    """What the stages `pretrain` and `sft` do with their samples."""

    learn_prompts: bool = False
    """Pre-training: every text token carries the loss; fine-tuning: the answers alone."""
    text_weight: float = 1.0
    """Weight of the text loss (mean over text tokens)."""
    bit_weight: float = 10.0
    """Weight of the bit loss (mean over bits, then over visual tokens); UniAR pre-training: 10."""
    source_weights: dict[str, float] = field(default_factory=dict)
    """Loss weight of each source of the mix; 1 where it is not named."""
    condition_dropout: float = 0.1
    """Share of generation and editing prompts that are emptied, for guidance."""
    input_flip_rate: float = 0.0
    """Largest share of flipped bits in the codes that the model reads."""
    packed_length: int = 4096
    """Positions of a packed row."""
    vision: str = "mergers"
    """Parts of the vision stack that learn: `mergers` or `none`. The bits stay as they are."""
    lora: LoraSettings | None = None
    """Adapters that learn instead of the weights; the vision stack then stays as it is. None is full fine-tuning."""

    def __post_init__(self) -> None:
        if self.vision not in ("mergers", "none"):
            raise ConfigError(f"vision: got {self.vision!r}; expected mergers or none.")
        if not 0 <= self.condition_dropout < 1:
            raise ConfigError(f"condition_dropout: got {self.condition_dropout}; expected 0 to below 1.")


class PixelBatch(NamedTuple):
    """Images of sequences that write none, for a model that reads pixels (`UniARConfig.reads_pixels`)."""

    pixel_values: Tensor
    """float32 (P, channels * frames * patch * patch)."""
    grid_thw: Tensor
    """int64 (images, 3)."""
    tokens: Tensor
    """bool (N,): which visual tokens of the batch are theirs, in row-major order of the placeholders."""


@dataclass(frozen=True, kw_only=True)
class LanguageBatch:
    """A micro-batch of packed rows."""

    packed: PackedBatch
    seed: int
    """Of the draws of this step."""
    text_weights: Tensor
    """float32 (text tokens,)."""
    bit_weights: Tensor
    """float32 (written visual tokens,)."""
    asked: PixelBatch | None = None
    """Images that are read as pixels, where the model does so."""


class LanguageStage(StageDefaults, nn.Module):
    """See `training.stage.Stage`.

    Args:
        model: the whole AR model; which parts learn is set here.
        tokenizer: its text tokenizer.
        draw: global sample number -> sample (from a mix, or from the synthetic world).
        encode_pictures: pictures without codes -> codes; default: the model's own vision stack reads their pixels, which must
            then be what its processor would make of them.
        config: see `LanguageConfig`.
        seed: of the run.
        image_processor: of the same checkpoint; a model that reads pixels needs it.
        name: of the stage.
    """

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Any,
        draw: Callable[[int], TrainingSample],
        encode_pictures: Callable[[Sequence[Picture]], Sequence[Tensor]],
        config: LanguageConfig,
        seed: int,
        image_processor: Any = None,
        name: str = "sft",
    ):
        super().__init__()
        self.model = model
        self.name = name
        self.config = config
        self.loss_weights: Mapping[str, float] = {"text": config.text_weight, "bit": config.bit_weight}
        own = model.output_layer_vistok.classifiers
        self.classifiers = ("model.lm_head", *(f"model.output_layer_vistok.{name}".rstrip(".") for name in own))
        self._seed, self._draw, self._encode_pictures, self._tokenizer = seed, draw, encode_pictures, tokenizer
        self._image_processor = image_processor
        if config.lora is None:
            for key, parameter in model.visual.named_parameters():
                parameter.requires_grad_(config.vision == "mergers" and "merger" in key)
            self._adapted = ()
        else:
            start = fingerprint(model)
            # In a tuple it is not registered a second time: its parts are the model's own.
            self._adapted = (adapt(model, config.lora, seed=seed),)
            keep_partial(self, "model", start)

    def repeated_blocks(self) -> list[nn.Module]:
        """Layers worth compiling."""
        return [*self.model.model.language_model.layers, *self.model.visual_decoder]

    def merged(self) -> Any:
        """The model with its adapters folded in: a copy, in eval mode; without adapters the model itself."""
        return copy.deepcopy(self._adapted[0]).merge_and_unload().eval() if self._adapted else self.model

    def checkpoint_activations(self) -> None:
        """Recompute the blocks' activations in the backward."""
        self.model.gradient_checkpointing_enable()

    def prepare(self, step: int, numbers: Sequence[int]) -> Prepared:
        """Samples -> packed rows; pictures without codes are encoded in the forward, where the model's weights are."""
        c, m = self.config, self.model.config
        seed = derive_seed(self._seed, self.name, step)
        encoded = encode(
            self._tokenizer,
            [self._draw(n) for n in numbers],
            dropout=c.condition_dropout,
            seed=seed,
            learn_prompts=c.learn_prompts,
        )
        batch = packed(
            encoded,
            width=c.packed_length,
            image_token_id=m.image_token_id,
            pad_token_id=self._tokenizer.pad_token_id or 0,
            merge=m.vision_config.spatial_merge_size,
        )
        text, bits = source_weights(batch, c.source_weights)
        asked = self._asked(batch) if m.dual else None
        data = LanguageBatch(packed=batch, seed=seed, text_weights=text, bit_weights=bits, asked=asked)
        sizes = {"tokens": float((batch.segments >= 0).sum())}
        return Prepared(data, {"text": float(text.sum()), "bit": float(bits.sum())}, sizes)

    def forward(self, data: LanguageBatch) -> StepOutput:
        """Packed rows -> sums of the two losses."""
        model, batch = self.model, data.packed
        device = model.lm_head.weight.device
        ids, positions, targets, written, segments = (
            t.to(device) for t in (batch.ids, batch.positions, batch.targets, batch.written, batch.segments)
        )
        mask = packed_mask(segments)
        codes = self._codes(batch)
        # Some bits of what the model reads are flipped; what it is to write is not.
        read = flip_codes(batch, codes, rate=self.config.input_flip_rate, seed=data.seed)
        seen = self._read(model.visual.embed(read.to(device)), data.asked)
        states = model.states(position_ids=positions, input_ids=ids, visual=seen, mask=mask)
        wanted = targets != -100
        text = F.cross_entropy(model.text_logits(states[wanted]).float(), targets[wanted], reduction="none")
        # Sharded parameters must be used by every process in every step, so the head runs over one row at least.
        rows = slice(max(batch.writers, 1))
        hidden = model.bit_hidden(states[rows], position_ids=positions[:, rows], mask=mask[rows])
        truth = codes.to(device)[written[ids == model.config.image_token_id]]
        head = model.output_layer_vistok
        # The state at a position predicts the next one.
        draws = learning_draws(batch, head.learning_draws, seed=data.seed).to(device) if head.learning_draws else None
        found = head.nats(hidden[written[rows].roll(-1, 1)], truth, draws)
        bits = found.nats
        sums = {"text": (text * data.text_weights.to(device)).sum(), "bit": (bits * data.bit_weights.to(device)).sum()}
        with torch.no_grad():
            logged = {"bit_accuracy": (float(found.right.sum()), float(len(found.right)))}
            text, bits = text.detach().cpu(), bits.detach().cpu()
            names = [e.sample.source for e in batch.sequences]
            for source in sorted(set(names)):
                of_text, of_bits = owned(batch, torch.tensor([name == source for name in names]))
                logged[f"text[{source}]"] = (float(text[of_text].sum()), float(of_text.sum()))
                logged[f"bit[{source}]"] = (float(bits[of_bits].sum()), float(of_bits.sum()))
        return StepOutput(sums, logged)

    def _asked(self, batch: PackedBatch) -> PixelBatch | None:
        """Pixels of the images of sequences that write none."""
        order = [batch.sequences[i] for i in batch.order]
        reading = [e for e in order if e.pictures and not any(e.written)]
        if not reading:
            return None
        missing = next((e.sample.key for e in reading if any(p.image is None for p in e.pictures)), None)
        if missing is not None:
            raise ConfigError(f"cache: got codes without pixels for {missing}; this model reads pixels (reads_pixels). Leave cache out.")
        pixels, grids = pixels_of([p for e in reading for p in e.pictures], self._image_processor, self.model.config.vision_config.spatial_merge_size)
        tokens = [torch.full((p.rows * p.columns,), not any(e.written)) for e in order for p in e.pictures]
        return PixelBatch(pixels, grids, torch.cat(tokens))

    def _read(self, features: VisualFeatures, asked: PixelBatch | None) -> VisualFeatures:
        """Features of codes, those of images that are asked about replaced by what the reading stack makes of their pixels."""
        if asked is None:
            return features
        device = features.main.device
        own = self.model.reader(asked.pixel_values.to(device), asked.grid_thw)
        rows = asked.tokens.to(device)[:, None]
        main, *deepstack = (
            old.masked_scatter(rows, new.to(old.dtype))
            for old, new in zip((features.main, *features.deepstack), (own.main, *own.deepstack), strict=True)
        )
        return VisualFeatures(main, deepstack)

    @torch.no_grad()
    def _codes(self, batch: PackedBatch) -> Tensor:
        if any(e.pictures for e in batch.sequences):
            return gather_codes(batch, self._encode_pictures)
        v = self.model.config.vision_config
        return torch.zeros(0, v.num_levels, v.group_size, v.bsq_dim, dtype=torch.uint8)
