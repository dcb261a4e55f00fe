"""Stages one after another: each starts from the checkpoint that the one before it wrote.

    OUT/1-sft, OUT/2-grpo, ...       states, logs and checkpoint of each stage
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from uniar.training.exporting import copied_checkpoint
from uniar.training.recipes import StageRecipe
from uniar.training.running import train_stage


def train_chain(
    recipes: Sequence[StageRecipe],
    out: Path,
    *,
    start: Path,
    say: Callable[[str], None],
    minutes_left: Callable[[], float | None],
    export: Path,
) -> Path | None:
    """Train the stages in order; one that is finished is not done again.

    Args:
        recipes: of the stages; their `checkpoint` is not used.
        out: folder of all of them.
        start: checkpoint of the first.
        say: prints one line.
        minutes_left: None for no limit; asked before each stage.
        export: where the last checkpoint is written.

    Returns:
        export, or None when the time was up before the last step.
    """
    checkpoint = start
    for i, recipe in enumerate(recipes, 1):
        folder = out / f"{i}-{recipe.stage}"
        made = folder / "checkpoint"
        if not (made / "config.json").is_file():
            left = minutes_left()
            if left is not None and left <= 0:
                return None
            given = replace(recipe, checkpoint=str(checkpoint))
            if train_stage(given, folder, say=say, max_minutes=left, export=made) is None:
                return None
        checkpoint = made
    if checkpoint != export:
        with copied_checkpoint(checkpoint, export, without=lambda _: False):
            pass
    return export
