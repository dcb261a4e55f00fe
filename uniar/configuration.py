"""Configurations of the released checkpoint layout (`config.json` of the model and of `bsq_encoder/`).

`UniARConfig` holds a Qwen3-VL text config and a `UniARVisionConfig` (Qwen3-VL's vision config plus the quantiser).
Source: UniAR (arXiv 2606.18249), released config.json. Values are checked here, once, with the key in the message.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig

from uniar.errors import ConfigError

MAX_BSQ_DIM = 64


class UniARVisionConfig(PreTrainedConfig):
    """The ViT and the quantiser. Levels: the last block first, then `deepstack_visual_indexes` in order."""

    model_type = "uniar_vision"
    base_config_key = "vision_config"

    def __init__(
        self,
        depth: int = 27,
        hidden_size: int = 1152,
        hidden_act: str = "gelu_pytorch_tanh",
        intermediate_size: int = 4304,
        num_heads: int = 16,
        in_channels: int = 3,
        patch_size: int = 16,
        spatial_merge_size: int = 2,
        temporal_patch_size: int = 2,
        out_hidden_size: int = 4096,
        num_position_embeddings: int = 2304,
        deepstack_visual_indexes: tuple[int, ...] = (8, 16, 24),
        initializer_range: float = 0.02,
        use_bsq: bool = True,
        bsq_dim: int = 64,
        bsq_hidden_dim: int = 8192,
        bsq_skip_final_layernorm: bool = True,
        quantizer: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        self.depth = depth
        self.hidden_size = hidden_size
        self.hidden_act = hidden_act
        self.intermediate_size = intermediate_size
        self.num_heads = num_heads
        self.in_channels = in_channels
        self.patch_size = patch_size
        self.spatial_merge_size = spatial_merge_size
        self.temporal_patch_size = temporal_patch_size
        self.out_hidden_size = out_hidden_size
        self.num_position_embeddings = num_position_embeddings
        self.deepstack_visual_indexes = list(deepstack_visual_indexes)
        self.initializer_range = initializer_range
        self.use_bsq = use_bsq
        self.bsq_dim = bsq_dim
        self.bsq_hidden_dim = bsq_hidden_dim
        self.bsq_skip_final_layernorm = bsq_skip_final_layernorm
        if quantizer is not None:
            # Of ablations only: `kind` and settings of `uniar.quantizers`, in place of BSQ. The release has no such key.
            self.quantizer = dict(quantizer)
        super().__init__(**kwargs)
        self._check()

    def _check(self) -> None:
        if not self.use_bsq:
            raise ConfigError("vision_config.use_bsq: got false; UniAR needs the quantiser. Use a checkpoint with use_bsq true.")
        if not 1 <= self.bsq_dim <= MAX_BSQ_DIM:
            raise ConfigError(f"vision_config.bsq_dim: got {self.bsq_dim}; expected 1 to {MAX_BSQ_DIM} bits.")
        if self.hidden_size % self.num_heads or (self.hidden_size // self.num_heads) % 4:
            raise ConfigError(
                f"vision_config.num_heads: got {self.num_heads}; expected heads whose width "
                f"(hidden_size {self.hidden_size} / num_heads) is a whole multiple of 4."
            )
        side = round(self.num_position_embeddings**0.5)
        if side * side != self.num_position_embeddings:
            raise ConfigError(
                f"vision_config.num_position_embeddings: got {self.num_position_embeddings}; expected a square number."
            )
        bad = [i for i in self.deepstack_visual_indexes if not 0 <= i < self.depth]
        if bad:
            raise ConfigError(
                f"vision_config.deepstack_visual_indexes: got {bad}; expected block numbers from 0 to {self.depth - 1}."
            )

    @property
    def quantizer_kind(self) -> str:
        """Kind of quantiser: `bsq`, as released, or another of `uniar.quantizers`."""
        return str(getattr(self, "quantizer", {}).get("kind", "bsq"))

    @property
    def num_levels(self) -> int:
        """L: the last block plus the deepstack levels."""
        return 1 + len(self.deepstack_visual_indexes)

    @property
    def group_size(self) -> int:
        """G: patches per visual token."""
        return self.spatial_merge_size**2

    @property
    def token_pixels(self) -> int:
        """Side of the square of pixels that one visual token stands for."""
        return self.patch_size * self.spatial_merge_size


class UniARConfig(PreTrainedConfig):
    """The whole model: text stack, vision stack, and the visual head (`vistok_pred*`, `visual_transformer_decoder*`)."""

    model_type = "uniar"
    sub_configs = {"text_config": Qwen3VLTextConfig, "vision_config": UniARVisionConfig}  # noqa: RUF012
    keys_to_ignore_at_inference = ["past_key_values", "cache"]  # noqa: RUF012

    def __init__(
        self,
        text_config: dict[str, Any] | Qwen3VLTextConfig | None = None,
        vision_config: dict[str, Any] | UniARVisionConfig | None = None,
        image_token_id: int = 151655,
        video_token_id: int = 151656,
        vision_start_token_id: int = 151652,
        vision_end_token_id: int = 151653,
        tie_word_embeddings: bool = False,
        vistok_pred: bool = True,
        vistok_pred_layernorm: bool = True,
        vistok_pred_use_mlp: bool = False,
        visual_transformer_decoder: bool = True,
        visual_transformer_decoder_depth: int = 4,
        visual_head: dict[str, Any] | None = None,
        reads_pixels: bool = False,
        **kwargs: Any,
    ):
        self.text_config = _sub(text_config, Qwen3VLTextConfig)
        self.vision_config = _sub(vision_config, UniARVisionConfig)
        self.image_token_id = image_token_id
        self.video_token_id = video_token_id
        self.vision_start_token_id = vision_start_token_id
        self.vision_end_token_id = vision_end_token_id
        self.tie_word_embeddings = tie_word_embeddings
        self.vistok_pred = vistok_pred
        self.vistok_pred_layernorm = vistok_pred_layernorm
        self.vistok_pred_use_mlp = vistok_pred_use_mlp
        self.visual_transformer_decoder = visual_transformer_decoder
        self.visual_transformer_decoder_depth = visual_transformer_decoder_depth
        # Of ablations only; the release has no such keys.
        if visual_head is not None:
            # `kind` and settings of `uniar.heads`, in place of the released head.
            self.visual_head = dict(visual_head)
        if reads_pixels:
            # Images that are asked about go through a vision stack of their own, which quantises nothing.
            self.reads_pixels = True
        super().__init__(**kwargs)
        self._check()

    def _check(self) -> None:
        if not self.vistok_pred:
            raise ConfigError("config.json: vistok_pred: got false; this checkpoint cannot predict visual tokens.")
        if self.vision_config.out_hidden_size != self.text_config.hidden_size:
            raise ConfigError(
                f"vision_config.out_hidden_size: got {self.vision_config.out_hidden_size}; expected text_config.hidden_size "
                f"{self.text_config.hidden_size}."
            )
        levels, layers = len(self.vision_config.deepstack_visual_indexes), self.text_config.num_hidden_layers
        if levels > layers:
            raise ConfigError(
                f"vision_config.deepstack_visual_indexes: got {levels} levels; the language model has only {layers} layers."
            )

    @property
    def dual(self) -> bool:
        """Whether images that are asked about have a vision stack of their own (`reads_pixels`)."""
        return bool(getattr(self, "reads_pixels", False))

    @property
    def visual_head_kind(self) -> str:
        """Kind of visual head: `parallel`, as released, or another of `uniar.heads`."""
        return str(getattr(self, "visual_head", {}).get("kind", "parallel"))

    @property
    def visual_depth(self) -> int:
        """Layers of the visual head's causal stack; 0 when it is switched off."""
        return self.visual_transformer_decoder_depth if self.visual_transformer_decoder else 0

    def to_dict(self) -> dict[str, Any]:
        """As the base class, plus the rope keys under the names that the release reads (transformers 4)."""
        data = super().to_dict()
        text = data.get("text_config")
        if isinstance(text, dict) and isinstance(text.get("rope_parameters"), dict):
            rope = dict(text["rope_parameters"])
            text["rope_theta"] = rope.pop("rope_theta", None)
            text["rope_scaling"] = rope
        return data


def _sub(value: Any, cls: type) -> Any:
    if value is None:
        return cls()
    return value if isinstance(value, cls) else cls(**value)
