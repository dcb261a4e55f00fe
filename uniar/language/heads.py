"""The visual head's classifier: two logits for each bit of the next visual token, all bits in parallel.

The causal stack in front of it (`visual_decoder`) belongs to the model, since its layers share positions and cache with
the language stack. Source: UniAR, section on parallel bitwise prediction.
"""

from __future__ import annotations

from torch import nn

from uniar.configuration import UniARConfig
from uniar.language.layers import RMSNorm

# Width of the MLP variant of the classifier, a constant of the release.
MLP_HEAD_WIDTH = 16 * 1024


def bit_classifier(config: UniARConfig) -> nn.Module:
    """Build `output_layer_vistok`: states (…, H) -> (…, L * G * D * 2), no biases.

    `vistok_pred_use_mlp` wins over `vistok_pred_layernorm`; with neither it is a plain Linear. The position of the modules
    inside the Sequential gives the released parameter names.
    """
    h, eps, v = config.text_config.hidden_size, config.text_config.rms_norm_eps, config.vision_config
    out = v.num_levels * v.group_size * v.bsq_dim * 2
    if config.vistok_pred_use_mlp:
        return nn.Sequential(
            RMSNorm(h, eps),
            nn.Linear(h, MLP_HEAD_WIDTH, bias=False),
            nn.GELU(approximate="tanh"),
            nn.Linear(MLP_HEAD_WIDTH, out, bias=False),
        )
    if config.vistok_pred_layernorm:
        return nn.Sequential(RMSNorm(h, eps), nn.Linear(h, out, bias=False))
    return nn.Linear(h, out, bias=False)
