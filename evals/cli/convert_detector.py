"""`uniar-eval convert-detector`: GenEval's own detector weights, from mmdet's file to a folder for `roles.detector.checkpoint`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("convert-detector")
@click.argument("source", metavar="FILE.pth", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def convert_detector(source: Path, out: Path, as_json: bool) -> None:
    """Turn mmdet's Mask2Former checkpoint FILE.pth (or .safetensors) into a transformers folder OUT.

    A .pth file is a pickle: it is read by torch's restricted reader, which takes tensors and plain values and runs no
    code. Nothing else of this package opens one.
    """
    from evals.perception.mask2former_convert import OFFICIAL, convert_file

    done = convert_file(source, out)
    if as_json:
        row = {"folder": str(done.folder), "tensors": done.tensors, "sha256": done.sha256, "official": done.official}
        click.echo(json.dumps(row))
        return
    click.echo(f"{done.tensors} tensors of {source} are in {done.folder} (sha256 {done.sha256[:16]}...).")
    known = "These are the benchmark's own weights" if done.official else f"These are NOT the published file {OFFICIAL}"
    click.echo(f"{known}, by the sha256 of the file.")
    click.echo(f"Use them: uniar-eval run geneval --model MODEL --set roles.detector.checkpoint={done.folder}")
