"""A vision stack that only reads: features of the blocks go to the language model as they are, nothing is quantised.

For ablations of the shared tokenizer (`UniARConfig.reads_pixels`): with it a model has two, one that understands and one that writes,
as in Janus (Wu et al., 2410.13848).
"""

from __future__ import annotations

from torch import Tensor

from uniar.configuration import UniARVisionConfig
from uniar.vision.tokenizer import UniARVisionModel, VisualFeatures


class ReadingVisionModel(UniARVisionModel):
    """As `UniARVisionModel` without the quantiser and the projections around it; it has no codes."""

    def __init__(self, config: UniARVisionConfig):
        super().__init__(config)
        for name in self._level_names():
            delattr(self, f"bsq_input_proj{name}")
            delattr(self, f"bsq_output_proj{name}")
        del self.bsq
        self.quantizers = None

    def forward(self, pixel_values: Tensor, grid_thw: Tensor) -> VisualFeatures:
        """Pixels -> features for the language model (differentiable)."""
        return self.merge(self.levels(pixel_values, grid_thw))
