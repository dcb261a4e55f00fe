"""A model built anew in some of its parts before it is trained: fresh weights, another visual head, another grouping, two vision stacks.

For ablations. The tokenizer's bits stay: a code belongs to a patch, so grouping patches otherwise changes who reads and writes the codes
and not the codes, and the pixel decoder goes on serving.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from uniar.configuration import UniARConfig
from uniar.errors import ConfigError

FRESH = ("none", "head", "visual", "language")
MAX_MERGE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebuild:
    """What of the checkpoint's model is built anew; the default is nothing."""

    fresh: str = "none"
    """What starts from random weights: `none`, `head` (the visual head and its stack), `visual` (those and the mergers: all that joins images
    and language) or `language` (all but the tokenizer's bits)."""
    head: Mapping[str, Any] | None = None
    """`kind` and settings of `uniar.heads` in place of the released head. Needs `fresh`."""
    visual_depth: int | None = None
    """Layers of the visual head's stack, 0 or more. Needs `fresh`."""
    spatial_merge: int | None = None
    """Side of the square of patches that is one visual token. The mergers, whose size follows from it, start afresh too. Needs `fresh`."""
    reads_pixels: bool = False
    """Images that are asked about get a vision stack of their own, which quantises nothing and begins as a copy of the tokenizer's."""

    def __post_init__(self) -> None:
        if self.fresh not in FRESH:
            raise ConfigError(f"rebuild.fresh: got {self.fresh!r}; expected one of {', '.join(FRESH)}.")
        given = next((n for n in ("head", "visual_depth", "spatial_merge") if getattr(self, n) is not None), None)
        if given is not None and self.fresh == "none":
            raise ConfigError(f"rebuild.{given}: got one without fresh; the old visual head does not fit it. Set rebuild.fresh to head.")
        if self.visual_depth is not None and self.visual_depth < 0:
            raise ConfigError(f"rebuild.visual_depth: got {self.visual_depth}; expected 0 or more.")
        if self.spatial_merge is not None and not 1 <= self.spatial_merge <= MAX_MERGE:
            raise ConfigError(f"rebuild.spatial_merge: got {self.spatial_merge}; expected 1 to {MAX_MERGE}.")

    @property
    def nothing(self) -> bool:
        """Whether the model stays as it is."""
        return self == Rebuild()


def changed(config: UniARConfig, rebuild: Rebuild) -> UniARConfig:
    """The configuration after it."""
    config = copy.deepcopy(config)
    if rebuild.head is not None:
        config.visual_head = dict(rebuild.head)
    if rebuild.visual_depth is not None:
        config.visual_transformer_decoder = rebuild.visual_depth > 0
        config.visual_transformer_decoder_depth = rebuild.visual_depth
    if rebuild.spatial_merge is not None:
        config.vision_config.spatial_merge_size = rebuild.spatial_merge
    if rebuild.reads_pixels:
        config.reads_pixels = True
    return config


def rebuilt(model: Any, rebuild: Rebuild, *, seed: int) -> Any:
    """Build a model anew.

    Args:
        model: as loaded.
        rebuild: what changes.
        seed: of the fresh weights.

    Returns:
        another model in eval mode, or the same one where nothing changes.

    Raises:
        ConfigError: settings of a head that cannot be used.
    """
    if rebuild.nothing:
        return model
    config = changed(model.config, rebuild)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = type(model)(config)
    regrouped = config.vision_config.spatial_merge_size != model.config.vision_config.spatial_merge_size
    old, own = model.state_dict(), made.state_dict()

    def stays(name: str) -> bool:
        if name.startswith(("model.visual.", "model.reader.")):
            return "merger" not in name or (rebuild.fresh in ("none", "head") and not regrouped)
        if rebuild.fresh == "language":
            return False
        return rebuild.fresh == "none" or not name.startswith(("visual_decoder.", "output_layer_vistok."))

    kept = {name: t for name, t in old.items() if name in own and stays(name)}
    if config.dual and not model.config.dual:
        # What it shares with the tokenizer begins as the tokenizer is now; mergers that start afresh do so here too.
        kept |= {
            name: kept[twin]
            for name in own
            if name.startswith("model.reader.") and (twin := name.replace("model.reader.", "model.visual.", 1)) in kept
        }
    made.load_state_dict({**own, **kept})
    return made.to(model.device).eval()


def regroup(processor: Any, merge: int) -> None:
    """Tell a processor how many patches a visual token has."""
    for part in (processor.image_processor, getattr(processor, "video_processor", None)):
        if part is not None:
            part.merge_size = merge
