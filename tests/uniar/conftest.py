"""Golden checkpoint, its writable copy, small random models and the command line in this process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

GOLDEN = Path(__file__).parent.parent / "data" / "golden" / "uniar-tiny-a"


class Ran(NamedTuple):
    """What a call of the command line left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def golden() -> Path:
    """The golden checkpoint; read only."""
    return GOLDEN


@pytest.fixture(scope="session")
def mini() -> Any:
    """The bundled checkpoint."""
    import uniar

    return uniar.load("uniar-mini")


@pytest.fixture(scope="session")
def scenes() -> list[Any]:
    """Two pictures of the small world."""
    import numpy as np
    from PIL import Image

    from uniar.data.shapes import render, sample_scene

    return [Image.fromarray(render(sample_scene(np.random.default_rng(seed), split="train"), 64)) for seed in (3, 4)]


@pytest.fixture
def golden_copy(tmp_path: Path) -> Path:
    """A copy of the golden checkpoint that a test may damage."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "checkpoint"))


@pytest.fixture
def uniar_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Call `uniar ARGS...` through its entry point."""
    from uniar.cli.main import main

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["uniar", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        told = capsys.readouterr()
        return Ran(code, told.out, told.err)

    return call


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., Any]:
    """`build_tiny_model`."""
    return build_tiny_model


def build_tiny_model(*, vision: dict[str, Any] | None = None, seed: int = 0, **config: Any) -> Any:
    """A small model with random weights; keywords go to the vision part (`vision`) or the whole config."""
    import torch

    from uniar import UniARConfig, UniARForConditionalGeneration

    sizes = {"depth": 4, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "patch_size": 4}
    sizes |= {"out_hidden_size": 32, "num_position_embeddings": 16, "deepstack_visual_indexes": [1], "bsq_dim": 7}
    # Wide weights: with the usual 0.02 the logits are so close that rounding could decide a bit.
    sizes |= {"bsq_hidden_dim": 24, "initializer_range": 0.3}
    text = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "head_dim": 8}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "rope_theta": 1e4}
    text |= {"rope_scaling": {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [2, 1, 1]}}
    text |= {"initializer_range": 0.3, "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    settings = {"visual_transformer_decoder_depth": 1, "image_token_id": 60, "video_token_id": 61}
    settings |= {"vision_start_token_id": 62, "vision_end_token_id": 63} | config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = UniARForConditionalGeneration(UniARConfig(text_config=text, vision_config=sizes | (vision or {}), **settings))
    return made.eval()
