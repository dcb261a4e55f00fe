"""SD3's diffusion transformer with one more input: a feature map, projected and added to the patch embeddings.

Blocks, embeddings and norms are diffusers'; the forward is ours. Source: UniAR, visual decoder; released
`sd3_transformer/config.json` for the extra keys.
"""

from __future__ import annotations

import torch
from diffusers import SD3Transformer2DModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from uniar.diffusion.features import resize_feature_map
from uniar.errors import ConfigError, InputError


class FeatureConditionedSD3(SD3Transformer2DModel):
    """SD3 transformer whose patches also receive `siglip_embed_add_latent(features)`; the projection starts at zero."""

    @register_to_config
    def __init__(
        self,
        sample_size: int = 128,
        patch_size: int = 2,
        in_channels: int = 16,
        num_layers: int = 18,
        attention_head_dim: int = 64,
        num_attention_heads: int = 18,
        joint_attention_dim: int = 4096,
        caption_projection_dim: int = 1152,
        pooled_projection_dim: int = 2048,
        out_channels: int = 16,
        pos_embed_max_size: int = 96,
        dual_attention_layers: tuple[int, ...] = (),
        qk_norm: str | None = None,
        siglip_channels: int = 4608,
        drop_image_token_prob_for_cfg: float = 0.0,
        image_token_scale_factor: float = 1.0,
        add_siglip_tensor_to_latent: bool = True,
        super_resolution: bool = False,
        upscale_factor: float = 1,
        train_use_random_crop_pos_embed: bool = False,
        random_crop_pos_embed_max_resolution: int | None = None,
    ):
        super().__init__(
            sample_size=sample_size,
            patch_size=patch_size,
            in_channels=in_channels,
            num_layers=num_layers,
            attention_head_dim=attention_head_dim,
            num_attention_heads=num_attention_heads,
            joint_attention_dim=joint_attention_dim,
            caption_projection_dim=caption_projection_dim,
            pooled_projection_dim=pooled_projection_dim,
            out_channels=out_channels,
            pos_embed_max_size=pos_embed_max_size,
            dual_attention_layers=dual_attention_layers,
            qk_norm=qk_norm,
        )
        if not add_siglip_tensor_to_latent:
            raise ConfigError(
                "sd3_transformer/config.json: add_siglip_tensor_to_latent: got false; the decoder would ignore the image. "
                "Use a decoder trained with true."
            )
        self.siglip_embed_add_latent = nn.Linear(siglip_channels, self.inner_dim, bias=False)
        nn.init.zeros_(self.siglip_embed_add_latent.weight)

    def forward(
        self,
        latents: Tensor,
        *,
        features: Tensor,
        feature_grid: tuple[int, int],
        timestep: Tensor,
        prompt_embeds: Tensor,
        pooled_prompt_embeds: Tensor,
        crop: tuple[int, int] | None = None,
    ) -> Tensor:
        """Predict the velocity.

        Args:
            latents: (B, C, h, w).
            features: (B, feature rows * columns, siglip_channels) in raster order; zeros for the unconditional branch.
            feature_grid: (rows, columns) of the feature map.
            timestep: (B,), 0 to 1000.
            prompt_embeds: (B, words, joint_attention_dim).
            pooled_prompt_embeds: (B, pooled_projection_dim).
            crop: top-left corner of the position table in patches (random-crop training); None takes its centre.

        Returns:
            (B, C, h, w).

        Raises:
            InputError: without `super_resolution` the feature grid must be the latent's patch grid.
        """
        p = self.config.patch_size
        b, _, height, width = latents.shape
        grid = (height // p, width // p)
        if grid != feature_grid and not self.config.super_resolution:
            raise InputError(
                f"upscale: the latent has {grid[0]}x{grid[1]} patches, the features {feature_grid[0]}x{feature_grid[1]}; "
                "this decoder has super_resolution false. Use upscale 1."
            )
        features = features * self.config.image_token_scale_factor
        features = resize_feature_map(features, feature_grid, grid)
        x = self._embed(latents, crop) + self.siglip_embed_add_latent(features)
        temb = self.time_text_embed(timestep, pooled_prompt_embeds)
        context = self.context_embedder(prompt_embeds)
        for block in self.transformer_blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                context, x = self._gradient_checkpointing_func(block, x, context, temb)
            else:
                context, x = block(hidden_states=x, encoder_hidden_states=context, temb=temb)
        x = self.proj_out(self.norm_out(x, temb))
        c = self.out_channels
        x = x.reshape(b, *grid, p, p, c).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(b, c, height, width)

    def _embed(self, latents: Tensor, crop: tuple[int, int] | None) -> Tensor:
        if crop is None:
            return self.pos_embed(latents)
        e = self.pos_embed
        p, size = self.config.patch_size, self.config.pos_embed_max_size
        rows, columns = latents.shape[-2] // p, latents.shape[-1] // p
        table = e.pos_embed.reshape(size, size, -1)
        table = table[crop[0] : crop[0] + rows, crop[1] : crop[1] + columns].reshape(1, rows * columns, -1)
        x = e.proj(latents).flatten(2).transpose(1, 2)
        return x + table.to(x.dtype)
