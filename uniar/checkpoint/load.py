"""Folder -> model, tokenizer, decoder; each part can be loaded alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from uniar.checkpoint.weights import load_strict, read_json, read_tensors
from uniar.model import UniARForConditionalGeneration
from uniar.vision.tokenizer import UniARVisionModel

if TYPE_CHECKING:
    from uniar.diffusion.decoder import PixelDecoder


def load_model(folder: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> Any:
    """The AR model in eval mode; dtype None means float32 on the CPU and the stored dtype elsewhere."""
    dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else "auto")
    with quiet():
        model = UniARForConditionalGeneration.from_pretrained(folder, dtype=dtype)
    return model.to(device).eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, transformers says nothing."""
    # transformers draws a bar and prints a table of misfits; the misfits are our error's to tell, in one sentence.
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def load_vision(folder: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> UniARVisionModel:
    """The tokenizer alone, from `bsq_encoder/`, in eval mode."""
    from uniar.configuration import UniARVisionConfig

    where = folder / "bsq_encoder"
    config = UniARVisionConfig(**read_json(where / "config.json"))
    model = UniARVisionModel(config)
    load_strict(model, read_tensors(where, "model"), where=str(where), dtype=dtype)
    return model.to(device).eval()


def load_feature_encoder(folder: Path, *, device: str | torch.device = "cpu") -> UniARVisionModel:
    """The tokenizer as the pixel decoder knows it: weights of `bsq_encoder/` rounded to bfloat16, arithmetic in float32.

    The release loads this copy in bfloat16, so the decoder was trained on features of rounded weights; a float32 checkpoint
    read without the rounding misses its recorded feature maps by about 1e-3.
    """
    return load_vision(folder, device=device, dtype=torch.bfloat16).float()


def load_decoder(folder: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> PixelDecoder:
    """The pixel decoder, from `sd3_transformer/` and `sd3_pipeline/`, in eval mode.

    Raises:
        CheckpointError: a part is missing or does not fit.
    """
    # diffusers takes seconds to import, and whoever reads or trains the AR model needs none of it.
    from uniar.checkpoint.decoder import read_decoder

    return read_decoder(folder, dtype=dtype).to(device).eval()
