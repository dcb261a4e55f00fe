"""`uniar verify CHECKPOINT`: one line a recorded tensor; exit 1 on any miss."""

from __future__ import annotations

import click


@click.command()
@click.argument("checkpoint")
@click.option("--tolerance", default=1e-4, show_default=True, help="Largest absolute error of a float (twice that for whole sampling loops).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def verify(checkpoint: str, tolerance: float, as_json: bool) -> None:
    """Recompute the tensors recorded beside CHECKPOINT (a folder, or uniar-mini) and compare."""
    import json
    from dataclasses import asdict

    from uniar.verify import verify as run

    missed = total = 0
    for check in run(checkpoint, tolerance=tolerance):
        total += 1
        missed += not check.ok
        if as_json:
            click.echo(json.dumps(asdict(check)))
        else:
            shape = "x".join(map(str, check.shape)) or "scalar"
            click.echo(f"{'ok  ' if check.ok else 'MISS'}  {check.name:<34} {shape:<20} {check.detail}")
    click.echo(f"{total - missed} of {total} tensors agree.", err=as_json)
    if missed:
        raise SystemExit(1)
