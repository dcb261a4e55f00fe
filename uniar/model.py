"""UniAR: vision stack, language stack and visual head in one `PreTrainedModel`, names as released.

Three ways in: `forward` (understanding and teacher forcing, differentiable), `generate` (the ordinary text generation of
transformers, image input included) and `step` (states -> bit logits with a cache, used by `generation.codes`).

B rows, T positions, N visual tokens, L levels, G patches a token, D bits, H hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from uniar.attention import causal_mask
from uniar.configuration import UniARConfig
from uniar.errors import CheckpointError, InputError
from uniar.generation.inputs import CACHE, GeneratesText
from uniar.heads import build as build_head
from uniar.language.backbone import LanguageModel
from uniar.language.layers import DecoderLayer, RMSNorm
from uniar.language.rope import position_ids_of, rotary_tables
from uniar.vision.reader import ReadingVisionModel
from uniar.vision.tokenizer import UniARVisionModel, VisualFeatures, init_weights


@dataclass
class UniAROutput(CausalLMOutputWithPast):
    """What `forward` returns; a field that was not asked for is None. The cache's field has transformers' name of it."""

    states: Tensor | None = None
    """(B, T, H), before the last norm."""


class UniARInner(nn.Module):
    """`model.*` of the state dict: the language stack and the vision stack."""

    def __init__(self, config: UniARConfig):
        super().__init__()
        self.language_model = LanguageModel(config.text_config)
        self.visual = UniARVisionModel(config.vision_config)
        if config.dual:
            self.reader = ReadingVisionModel(config.vision_config)


class UniARForConditionalGeneration(PreTrainedModel, GeneratesText, GenerationMixin):
    """Reads and writes the released checkpoint layout; strict about what it reads."""

    config_class = UniARConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["DecoderLayer", "VisionBlock"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values", "cache"]  # noqa: RUF012

    def __init__(self, config: UniARConfig):
        super().__init__(config)
        text = config.text_config
        self.model = UniARInner(config)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        # The head's layers follow the language layers in one cache numbering.
        self.visual_decoder = nn.ModuleList(
            DecoderLayer(text, text.num_hidden_layers + i) for i in range(config.visual_depth)
        )
        self.output_layer_vistok = build_head(config)
        self.gradient_checkpointing = False
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_weights(module, self.config.text_config.initializer_range)
        if isinstance(module, RMSNorm):
            from transformers import initialization as init

            init.ones_(module.weight)

    @classmethod
    def from_pretrained(cls, path: Any, *args: Any, **kwargs: Any) -> Any:
        """As transformers' own, but a checkpoint that does not fit is refused with the names of the tensors.

        Raises:
            CheckpointError: missing, unexpected or mis-shaped tensors; nothing is re-initialised silently.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        # Mismatches are collected instead of raised so that all of them can be listed in one message.
        kwargs["ignore_mismatched_sizes"] = True
        model, info = super().from_pretrained(path, *args, output_loading_info=True, **kwargs)
        refuse_misfit(str(path), info)
        return (model, info) if wants_info else model

    # -- parts -----------------------------------------------------------------------------------------------------

    @property
    def visual(self) -> UniARVisionModel:
        """The tokenizer inside the model."""
        return self.model.visual

    @property
    def reader(self) -> UniARVisionModel:
        """The vision stack that images go through which are asked about: the tokenizer, unless the model is `dual`."""
        return self.model.reader if self.config.dual else self.model.visual

    def get_input_embeddings(self) -> nn.Module:
        """The text embedding table."""
        return self.model.language_model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the text embedding table."""
        self.model.language_model.embed_tokens = value

    def get_output_embeddings(self) -> nn.Module:
        """The text classifier."""
        return self.lm_head

    def text_logits(self, states: Tensor) -> Tensor:
        """States before the last norm (…, H) -> (…, vocabulary)."""
        return self.lm_head(self.model.language_model.norm(states))

    def _runner(self) -> Any:
        return self._gradient_checkpointing_func if self.gradient_checkpointing and self.training else None

    def _rotary(self, position_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        text = self.config.text_config
        rope = text.rope_parameters
        return rotary_tables(
            position_ids,
            head_dim=text.head_dim,
            theta=rope["rope_theta"],
            section=rope["mrope_section"],
            dtype=dtype,
        )

    def positions(self, input_ids: Tensor, grid_thw: Tensor | None, attention_mask: Tensor | None = None) -> Tensor:
        """Position ids int64 (3, B, T); see `language.rope.position_ids_of`.

        Raises:
            InputError: placeholders and images do not agree.
        """
        try:
            return position_ids_of(
                input_ids,
                image_token_id=self.config.image_token_id,
                grid_thw=grid_thw,
                merge=self.config.vision_config.spatial_merge_size,
                attention_mask=attention_mask,
            )
        except ValueError as error:
            raise InputError(f"input_ids: {error}. Give one placeholder per visual token.") from None

    # -- states and logits -----------------------------------------------------------------------------------------

    def states(
        self,
        *,
        position_ids: Tensor,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        visual: VisualFeatures | None = None,
        attention_mask: Tensor | None = None,
        mask: Tensor | None = None,
        cache: Any | None = None,
    ) -> Tensor:
        """Run the language stack.

        Args:
            position_ids: int (3, B, T).
            input_ids: int (B, T); or `inputs_embeds` (B, T, H).
            visual: features of the visual tokens, in row-major order of the image placeholders in `input_ids`. Without `input_ids` every
                position is a visual token, and `inputs_embeds` holds their features already.
            attention_mask: (B, positions so far) with 0 at padding.
            mask: a full bool mask (B, 1, T, keys) instead (packed training).
            cache: keys and values of earlier positions.

        Returns:
            (B, T, H) before the last norm.
        """
        x = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        deepstack = None if visual is None else visual.deepstack
        visual_positions = None if visual is None or input_ids is None else input_ids == self.config.image_token_id
        if visual is not None:
            count = x.shape[0] * x.shape[1] if visual_positions is None else int(visual_positions.sum())
            if count != visual.main.shape[0]:
                raise InputError(
                    f"input_ids: got {count} image placeholders; the images have {visual.main.shape[0]} visual tokens. "
                    "Give one placeholder per visual token."
                )
            if visual_positions is not None:
                x = x.masked_scatter(visual_positions[..., None], visual.main.to(x.device, x.dtype))
        if mask is None:
            past = cache.get_seq_length() if cache is not None else 0
            mask = causal_mask(attention_mask, queries=x.shape[1], keys=past + x.shape[1], device=x.device)
        cos, sin = self._rotary(position_ids, x.dtype)
        return self.model.language_model(
            x, cos, sin, mask=mask, cache=cache, visual_positions=visual_positions, deepstack=deepstack, run=self._runner()
        )

    def bit_logits(
        self,
        states: Tensor,
        *,
        position_ids: Tensor,
        attention_mask: Tensor | None = None,
        mask: Tensor | None = None,
        cache: Any | None = None,
    ) -> Tensor:
        """The visual head: causal stack over all positions, then the classifier.

        Args:
            states: (B, T, H) of the language stack, before its last norm.
            position_ids: int (3, B, T), the same as there.
            attention_mask: (B, positions so far).
            mask: a full bool mask instead.
            cache: the same cache as there; the head's layers follow in its numbering.

        Returns:
            (B, T, L, G, D, 2): logits of bit 0 and bit 1 of the visual token at the NEXT position.
        """
        return self.classify(self.bit_hidden(states, position_ids=position_ids, attention_mask=attention_mask, mask=mask, cache=cache))

    def bit_hidden(
        self,
        states: Tensor,
        *,
        position_ids: Tensor,
        attention_mask: Tensor | None = None,
        mask: Tensor | None = None,
        cache: Any | None = None,
    ) -> Tensor:
        """The visual head's causal stack alone: (B, T, H) -> (B, T, H); arguments as `bit_logits`."""
        x = states
        if len(self.visual_decoder):
            first = len(self.model.language_model.layers)
            if mask is None:
                past = cache.get_seq_length(first) if cache is not None else 0
                mask = causal_mask(attention_mask, queries=x.shape[1], keys=past + x.shape[1], device=x.device)
            cos, sin = self._rotary(position_ids, x.dtype)
            run = self._runner()
            for layer in self.visual_decoder:
                x = layer(x, cos, sin, mask, cache) if run is None else run(layer.__call__, x, cos, sin, mask, cache)
        return x

    def classify(self, states: Tensor) -> Tensor:
        """States after the head's stack (…, H) -> (…, L, G, D, 2); see `VisualHead.logits`."""
        return self.output_layer_vistok.logits(states)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        codes: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        output_states: bool = False,
        cache: Any | None = None,
        **kwargs: Any,
    ) -> UniAROutput:
        """Understanding forward: text logits over a sequence with images.

        Args:
            input_ids: int (B, T) with one placeholder per visual token.
            attention_mask: (B, T so far), 0 at padding (left or right).
            position_ids: int (3, B, T); computed from `input_ids` and the grids when absent.
            past_key_values: transformers cache.
            inputs_embeds: (B, T, H) instead of `input_ids`.
            pixel_values: (P, patch values) of all images; or `codes` (N, L, G, D) instead of pixels.
            image_grid_thw: int (images, 3), in patches.
            codes: uint8 (N, L, G, D).
            labels: int (B, T), -100 where no loss; shifted inside.
            use_cache: return a cache.
            logits_to_keep: compute logits of that many last positions only; 0 means all.
            output_states: also return the states before the last norm.
            cache: the newer name of `past_key_values`.

        Returns:
            `UniAROutput`.
        """
        cache = past_key_values if cache is None else cache
        if use_cache and cache is None:
            cache = DynamicCache()
        visual = None
        if pixel_values is not None:
            visual = self.reader(pixel_values.to(self.visual.device), image_grid_thw)
        elif codes is not None:
            visual = self.visual.embed(codes)
        if position_ids is None:
            if input_ids is None:
                raise InputError("position_ids: got nothing; inputs_embeds needs them, since it has no placeholders.")
            position_ids = self.positions(input_ids, image_grid_thw, attention_mask)
        elif position_ids.dim() == 2:
            position_ids = position_ids[None].expand(3, -1, -1)
        states = self.states(
            position_ids=position_ids,
            input_ids=input_ids,
            inputs_embeds=inputs_embeds,
            visual=visual,
            attention_mask=attention_mask,
            cache=cache,
        )
        logits = self.text_logits(states[:, -logits_to_keep:] if logits_to_keep else states)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100)
        return UniAROutput(loss=loss, logits=logits, states=states if output_states else None, **{CACHE: cache})


def refuse_misfit(where: str, info: Any) -> None:
    """Raise `CheckpointError` when the loading report names tensors that do not fit.

    Args:
        where: folder, for the message.
        info: transformers' loading report (`missing_keys`, `unexpected_keys`, `mismatched_keys`).
    """
    get = info.get if isinstance(info, dict) else lambda key, default: getattr(info, key, default)
    parts = []
    for title, key in (("missing", "missing_keys"), ("unexpected", "unexpected_keys"), ("mis-shaped", "mismatched_keys")):
        names = sorted(
            f"{n[0]} (file {tuple(n[1])}, config {tuple(n[2])})" if isinstance(n, tuple | list) else str(n)
            for n in get(key, None) or []
        )
        if names:
            parts.append(f"{len(names)} {title}: {', '.join(names)}")
    if parts:
        raise CheckpointError(f"{where}: the tensors do not fit config.json ({'; '.join(parts)}). Use a folder whose config and weights belong together.")
