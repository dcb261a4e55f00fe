"""`uniar-eval compare`: runs against the first of them, paired."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="A B [C...]")
@click.option("--html", "page", metavar="FILE", help="Write a page with the outputs side by side.")
@click.option("--across-seeds", is_flag=True, help="Pair by prompt alone where the runs' seeds differ.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON instead of the table.")
def compare(runs: tuple[str, ...], page: str | None, across_seeds: bool, as_json: bool) -> None:
    """Compare runs (or baseline files) with the first: differences with intervals, overall and by task; won, lost, tied outputs.

    Runs that do not measure the same thing are refused, and the settings that differ are named.
    """
    if len(runs) < 2:
        raise click.UsageError("got one run; expected at least two: uniar-eval compare A B")
    from pathlib import Path

    from evals.analysis.compare import compare as compare_runs
    from evals.analysis.told import compare_lines
    from evals.analysis.verdicts import open_verdicts

    found = compare_runs([open_verdicts(run) for run in runs], across_seeds=across_seeds)
    written = None
    if page is not None:
        from evals.registry import Registry

        # The page attaches as a plugin, as a run's report does.
        written = Registry().load("reporter", "compare")(comparison=found, out=Path(page)).write(found.first.path)
    if as_json:
        click.echo(json.dumps({**found.to_json(), "page": None if written is None else str(written)}, indent=2, ensure_ascii=False))
        return
    for line in compare_lines(found):
        click.echo(line)
    if written is not None:
        click.echo(f"Page: {written}")
