"""A vision stack that only reads: what the quantiser would round goes on as it is.

For ablations of the shared tokenizer (`UniARConfig.reads_pixels`): with it a model has two stacks, one that understands and one that
writes, as in Janus (Wu et al., 2410.13848). Built like the tokenizer, so it may begin as a copy of it.
"""

from __future__ import annotations

from torch import Tensor

from uniar.configuration import UniARVisionConfig
from uniar.vision import bsq
from uniar.vision.tokenizer import UniARVisionModel, VisualFeatures


class ReadingVisionModel(UniARVisionModel):
    """As `UniARVisionModel`, unquantised; it has no codes."""

    def __init__(self, config: UniARVisionConfig):
        super().__init__(config)
        del self.bsq
        self.quantizers = None

    def forward(self, pixel_values: Tensor, grid_thw: Tensor) -> VisualFeatures:
        """Pixels -> features for the language model (differentiable)."""
        return self.merge(self.features_of_vectors(bsq.normalize(self.prequantized(pixel_values, grid_thw))))
