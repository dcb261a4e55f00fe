"""`uniar-eval report RUN`: write a run's page again. Attached through the entry-point group `uniar_eval.commands`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print path, size in bytes and seconds as JSON.")
def report(run: Path, as_json: bool) -> None:
    """Write the HTML report of the run folder RUN and print its path."""
    from reports.render import HtmlReporter

    started = time.perf_counter()
    page = HtmlReporter().write(run)
    if as_json:
        size = sum(file.stat().st_size for file in page.parent.rglob("*") if file.is_file())
        seconds = round(time.perf_counter() - started, 3)
        click.echo(json.dumps({"report": str(page), "bytes": size, "seconds": seconds}))
    else:
        click.echo(str(page))
