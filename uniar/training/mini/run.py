"""`uniar train mini`: the stages one after another, each resumable, then the export in the released layout.

    <out>/tokenizer, vae, decoder, autoregressive      state and log of each stage
    <out>/processor                                    text tokenizer and image processor
    <out>/checkpoint                                   the exported checkpoint
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uniar.errors import TrainingError
from uniar.training.loop import run_stage
from uniar.training.mini.recipe import MiniRecipe

STAGES = ("tokenizer", "vae", "decoder", "autoregressive")


def train_mini(
    recipe: MiniRecipe,
    out: Path,
    *,
    say: Callable[[str], None],
    stages: tuple[str, ...] = STAGES,
    max_minutes: float | None = None,
) -> bool:
    """Run the given stages in order; a stage that is finished costs only the reading of its state.

    Args:
        recipe: what to train.
        out: folder of all state.
        say: prints one line.
        stages: some of `STAGES`; `decoder` needs `tokenizer` and `vae`, `autoregressive` needs `tokenizer`.
        max_minutes: stop cleanly after that long; the same command goes on later.

    Returns:
        True when all asked stages are finished.
    """
    end = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    for name in STAGES:
        if name not in stages:
            continue
        stage = build_stage(name, recipe, out)
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            return False
        config = getattr(recipe, name)
        if not run_stage(name, stage, stage.step, config, folder=out / name, seed=recipe.seed, say=say, max_seconds=left):
            return False
    return True


def build_stage(name: str, recipe: MiniRecipe, out: Path) -> Any:
    """The module of a stage, with what it needs from the stages before it."""
    if name == "tokenizer":
        from uniar.training.mini.tokenizer import TokenizerStage

        return TokenizerStage(recipe)
    if name == "vae":
        from uniar.training.mini.pixels import VaeStage

        return VaeStage(recipe)
    if name == "decoder":
        from uniar.training.mini.pixels import DecoderStage

        return DecoderStage(recipe, vision=trained(recipe, out, "tokenizer").vision, vae=trained(recipe, out, "vae"))
    from uniar.training.mini.autoregressive import AutoregressiveStage

    return AutoregressiveStage(recipe, folder=out, vision=trained(recipe, out, "tokenizer").vision)


def trained(recipe: MiniRecipe, out: Path, name: str) -> Any:
    """A stage with its last saved weights, in eval mode.

    Raises:
        TrainingError: the stage has no saved state yet.
    """
    from safetensors.torch import load_file

    file = out / name / "state.safetensors"
    if not file.is_file():
        raise TrainingError(f"{file}: not found; the stage {name!r} must be trained first. Run without --stage.")
    stage = build_stage(name, recipe, out)
    tensors = {k.removeprefix("module."): t for k, t in load_file(file).items() if k.startswith("module.")}
    stage.load_state_dict(tensors, strict=True)
    return stage.eval().requires_grad_(False)
