"""Visual heads: how the bits of the next visual token follow from the state. The release has one, `parallel`; the others are ablations."""

from __future__ import annotations

from uniar.configuration import UniARConfig
from uniar.heads.base import BitLoss, VisualHead
from uniar.heads.grouped import GroupedHead
from uniar.heads.masked import MaskedHead
from uniar.heads.parallel import parallel
from uniar.heads.sequential import SequentialHead
from uniar.kinds import construct

__all__ = ["KINDS", "BitLoss", "VisualHead", "build"]

KINDS: dict[str, type[VisualHead]] = {"groups": GroupedHead, "masked": MaskedHead, "sequential": SequentialHead}
"""Kind -> class beside the released head; the keyword arguments of a class are the settings of its kind."""


def build(config: UniARConfig) -> VisualHead:
    """The head of a model, `output_layer_vistok`.

    Raises:
        ConfigError: a kind or a setting that cannot be used.
    """
    v = config.vision_config
    given = (config.text_config.hidden_size, (v.num_levels, v.group_size, v.bsq_dim), config.text_config.rms_norm_eps)
    settings = dict(getattr(config, "visual_head", None) or {})
    if not settings:
        return parallel(*given, mlp=config.vistok_pred_use_mlp, norm=config.vistok_pred_layernorm)
    kind = settings.pop("kind", None)
    return construct(KINDS, kind, *given, settings=settings, where="visual_head")
