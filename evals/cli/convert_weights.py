"""`uniar-eval convert-weights`: a published file of weights (a pickle) -> safetensors, which is all that scorers read."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("convert-weights")
@click.argument("source", metavar="FILE.pth", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT.safetensors", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def convert_weights(source: Path, out: Path, as_json: bool) -> None:
    """Write the tensors of FILE.pth (or .pt) into OUT.safetensors, names unchanged.

    For the networks that scorers measure with: FID's Inception, LPIPS backbones, HPSv2, ImageReward, the aesthetic predictor.
    The file is read by torch's restricted reader, which takes tensors and plain values and runs no code.
    """
    from evals.perception.weight_file import convert

    tensors = convert(source, out)
    if as_json:
        click.echo(json.dumps({"file": str(out), "tensors": tensors}))
        return
    click.echo(f"{tensors} tensors of {source} are in {out}.")
