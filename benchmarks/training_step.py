"""One training step of uniar-mini's language model: float32, bfloat16, and bfloat16 with compiled blocks.

    python benchmarks/training_step.py [--steps 5] [--threads N]

Fresh weights of the recipe's sizes; the same batches on every side, in turn.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path

import click


@click.command()
@click.option("--steps", default=5, show_default=True, help="Counted steps of each side.")
@click.option("--threads", type=int, default=None, help="CPU threads.")
def main(steps: int, threads: int | None) -> None:
    """Print seconds a step of each side and the ratios to float32."""
    import torch

    from uniar.training.loop import computing
    from uniar.training.mini.autoregressive import AutoregressiveStage
    from uniar.training.mini.build import fresh_vision
    from uniar.training.optim import Optimizers
    from uniar.training.recipes import read

    if threads:
        torch.set_num_threads(threads)
    recipe = read(Path(str(resources.files("uniar"))) / "recipes" / "mini.yaml")
    sides = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, precision, compiled in (("float32", "float32", False), ("bfloat16", "bfloat16", False), ("compiled", "bfloat16", True)):
            config = replace(recipe.autoregressive, precision=precision, compile=compiled)
            stage = AutoregressiveStage(replace(recipe, autoregressive=config), folder=Path(folder), vision=fresh_vision(recipe))
            if compiled:
                for block in stage.repeated_blocks():
                    block.compile(dynamic=True)
            sides[name] = (stage, Optimizers(stage, config), precision)
        spent = dict.fromkeys(sides, 0.0)
        # The first two steps warm up and compile.
        for i in range(steps + 2):
            for name, (stage, optimizers, precision) in sides.items():
                start = time.perf_counter()
                with computing(precision):
                    loss = stage.step(i, torch.Generator().manual_seed(i))["loss"]
                    optimizers.clear()
                    loss.backward()
                optimizers.step(1e-3)
                if i >= 2:
                    spent[name] += time.perf_counter() - start
    click.echo(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {recipe.autoregressive.batch_size} sequences a step")
    for name, seconds in spent.items():
        click.echo(f"{name:<9} {seconds / steps:.3f} s a step, {spent['float32'] / seconds:.2f} times float32's speed")


if __name__ == "__main__":
    main()
