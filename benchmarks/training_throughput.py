"""Tokens a second of fine-tuning and the share of time that waits for data, with the code cache and without, in one process.

    python benchmarks/training_throughput.py [--steps 30] [--batch-size 32] [--images 400] [--threads 1]

Both sides train the bundled checkpoint on the same JSONL of images and captions of the synthetic world, one after another in
alternating turns of their own; the first turn warms up and is not counted.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click


def write_data(folder: Path, images: int) -> Path:
    """Images, captions and a mix file."""
    import numpy as np
    from PIL import Image

    from uniar.data.shapes import render, sample_captioned

    rng = np.random.default_rng(0)
    lines = []
    for i in range(images):
        made = sample_captioned(rng)
        # Larger than the model reads them, as photographs are: decoding and resizing are part of the loading.
        Image.fromarray(render(made.scene, 256)).resize((200, 200)).save(folder / f"{i}.png")
        lines.append(json.dumps({"prompt": made.caption, "image": f"{i}.png"}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    mix = folder / "mix.yaml"
    mix.write_text("datasets: [{name: mine, path: captions.jsonl}]\n", "utf-8")
    return mix


@click.command()
@click.option("--steps", default=30, help="Steps of a turn.")
@click.option("--turns", default=3, help="Counted turns of each side.")
@click.option("--batch-size", default=32)
@click.option("--images", default=400)
@click.option("--threads", default=1)
def main(steps: int, turns: int, batch_size: int, images: int, threads: int) -> None:
    """Print tokens a second and the share of data loading of both sides, and their ratio."""
    import torch
    from click.testing import CliRunner

    from uniar.cli.main import cli
    from uniar.training.recipe_file import OURS
    from uniar.training.recipes import read
    from uniar.training.running import train_stage

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mix = write_data(folder, images)
        made = CliRunner().invoke(cli, ["data", "encode", str(mix), "--cache", str(folder / "codes")])
        if made.exit_code:
            raise click.ClickException(made.output)
        sides = {"without cache": (), "with cache": (f"cache={folder / 'codes'}",)}
        for turn in range(turns + 1):
            for side, more in sides.items():
                changes = (f"data={mix}", f"train.steps={steps}", f"train.batch_size={batch_size}", *more)
                recipe = read(OURS / "sft.yaml", (*changes, "train.schedule=constant", f"train.log_every={steps}", "train.keep=1"))
                train_stage(recipe, folder / side / str(turn), say=lambda _: None, max_minutes=None)
        rates = {}
        for side in sides:
            told = [json.loads((folder / side / str(t) / "log.jsonl").read_text("utf-8").splitlines()[-1]) for t in range(1, turns + 1)]
            rates[side] = sum(r["tokens_per_s"] for r in told) / turns
            loading = sum(r["loading"] for r in told) / turns
            click.echo(f"{side:14} {rates[side]:9.0f} tokens/s   {100 * loading:5.1f}% of the time waits for data")
        click.echo(f"with cache / without: {rates['with cache'] / rates['without cache']:.2f}")


if __name__ == "__main__":
    main()
