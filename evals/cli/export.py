"""`uniar-eval export`: a run's pictures for the official tools."""

from __future__ import annotations

import json
from pathlib import Path

import click

SHOWN = 3
"""Absent outputs named."""


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--layout", required=True, metavar="NAME", help="geneval, oneig, longtext, imgedit, gedit, dpg, wise or compbench.")
@click.option("--name", "model", metavar="NAME", help="Folder of the model in the layout oneig; by default the run's model.")
@click.option("--repeat", type=click.IntRange(min=0), metavar="K", help="Which output, where a layout holds one a prompt; default 0.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def export(ctx: click.Context, run: Path, out: Path, layout: str, model: str | None, repeat: int | None, as_json: bool) -> None:
    """Write the pictures of RUN into the new folder OUT as a benchmark's official tools read them.

    Exit code 3: the run lacks outputs; what it has is written. Read a folder back with --model images:LAYOUT:OUT.
    """
    from evals.export import export_run

    done = export_run(run, out, layout=layout, model=model, repeat=repeat)
    if as_json:
        row = {"folder": str(done.folder), "files": done.files, "pictures": done.pictures}
        click.echo(json.dumps({**row, "absent": list(done.absent), "notes": list(done.notes)}))
    else:
        click.echo(f"{done.pictures} pictures in {done.files} files: {done.folder} (layout {layout}).")
    for note in done.notes:
        click.echo(note, err=True)
    if done.absent:
        more = f" and {len(done.absent) - SHOWN} more" if len(done.absent) > SHOWN else ""
        click.echo(f"The run has no picture for {', '.join(done.absent[:SHOWN])}{more}.", err=True)
        ctx.exit(3)
