"""`uniar-eval score` and `rescore`: scores beside the first, over the outputs that a run already has."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click


def _common(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--set", "settings", multiple=True, metavar="A.B=C", help="Change a setting of the profile; repeatable."),
        click.option("--role", "role", multiple=True, metavar="ROLE=NAME", help="Another plugin in a role; judge=replay asks nobody."),
        click.option("--name", metavar="NAME", help="Under which the scores are kept; by default made of scorer and roles."),
        click.option("--suite", metavar="FILE", help="The suite file, for a suite with plugin files of its own."),
        click.option("--no-report", is_flag=True, help="Write no page."),
        click.option("--json", "as_json", is_flag=True, help="Print the records as JSON instead of the table."),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("run")
@click.option("--scorer", required=True, metavar="NAME", help="One of `uniar-eval ls scorers`; its settings are --set score[0].KEY=VALUE.")
@_common
def score(run: str, scorer: str, **options: Any) -> None:
    """Add another scorer to RUN (a run folder); nothing is generated again."""
    _add(run, scorer=scorer, fresh=True, **options)


@click.command()
@click.argument("run")
@click.option("--scorer", metavar="NAME", help="Only this one of the run's scorers.")
@_common
def rescore(run: str, scorer: str | None, **options: Any) -> None:
    """Score RUN again with another judge, detector or setting, and tell how far the two agree."""
    _add(run, scorer=scorer, fresh=False, **options)


def _add(run: str, *, as_json: bool, no_report: bool, **options: Any) -> None:
    from evals.added import add_scores
    from evals.results import agreement_lines, table_lines
    from evals.run import write_report

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    records = add_scores(run, say=say, progress=sys.stderr, **options)
    page = None if no_report else write_report(run, say)
    if as_json:
        click.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    for record in records:
        click.echo("")
        click.echo(record["name"])
        for line in table_lines({"headline": record["metrics"][0], "metrics": record["metrics"][1:]}):
            click.echo(line)
        for line in agreement_lines(record["agreement"]):
            click.echo(line)
    if page is not None:
        click.echo(f"Report: {page}")
