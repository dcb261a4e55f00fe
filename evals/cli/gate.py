"""`uniar-eval gate`: a verdict on a run with an exit code."""

from __future__ import annotations

import json

import click


def _margins(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise click.BadParameter(f'got "{text}"; expected NAME=FALL, as in geneval.overall=0.01.') from error
    return found


@click.command()
@click.argument("run")
@click.option("--baseline", required=True, metavar="FILE|RUN", help="What RUN is judged against.")
@click.option(
    "--margin", "margins", multiple=True, metavar="SUITE.WHAT=FALL", callback=_margins,
    help="Tolerated fall of SUITE.overall, SUITE.TASK or SUITE.* (every task); of overall by default 0.02 of the scale.",
)  # fmt: skip
@click.option("--alpha", type=click.FloatRange(0, 0.5, min_open=True, max_open=True), default=0.05, show_default=True, help="Of each test.")
@click.option(
    "--power", "wanted", type=click.FloatRange(0.5, 1, max_open=True), default=0.8, show_default=True, help="For the n that would decide."
)
@click.option("--across-seeds", is_flag=True, help="Pair by prompt alone where the seeds differ.")
@click.option("--junit", metavar="FILE", help="Write JUnit XML.")
@click.option("--markdown", metavar="FILE", help="Write a summary for the page of a CI job.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON instead of the table.")
@click.pass_context
def gate(
    ctx: click.Context,
    run: str,
    baseline: str,
    margins: dict[str, float],
    alpha: float,
    wanted: float,
    across_seeds: bool,
    junit: str | None,
    markdown: str | None,
    as_json: bool,
) -> None:
    """Judge RUN against a baseline: may it ship?

    Exit codes: 0 pass, 1 regression, 4 inconclusive, 3 incomplete or invalid, 2 a mistake in the call.
    """
    from pathlib import Path

    from evals.analysis import junit as junit_file
    from evals.analysis.gate import gate as judge
    from evals.analysis.told import gate_lines, gate_markdown
    from evals.analysis.verdicts import open_verdicts
    from evals.store import atomic

    found = judge(open_verdicts(run), open_verdicts(baseline), margins=margins, alpha=alpha, wanted=wanted, across_seeds=across_seeds)
    if junit is not None:
        atomic.write_bytes(Path(junit), junit_file.xml(found))
    if markdown is not None:
        atomic.write_bytes(Path(markdown), gate_markdown(found).encode("utf-8", "replace"))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        for line in gate_lines(found):
            click.echo(line)
    ctx.exit(found.exit_code)
