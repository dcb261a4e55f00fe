"""`uniar-eval run`: measure, with talk on stderr and results on stdout."""

from __future__ import annotations

import json
import os
import sys

import click


@click.command()
@click.argument("suite")
@click.option("--model", metavar="PATH|ID|images:[LAYOUT:]DIR", help="By default the bundled checkpoint.")
@click.option("--profile", metavar="NAME", help="By default mini for the bundled checkpoint, else official.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N prompts of each task.")
@click.option("--set", "settings", multiple=True, metavar="A.B=C", help="Change a setting of the profile; repeatable.")
@click.option("--role", "role", multiple=True, metavar="ROLE=NAME", help="Another plugin in a role; judge=replay asks nobody.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Fixes every draw.")
@click.option("--out", metavar="DIR", help="Run folder; by default one under runs/.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the model runs.",
)
@click.option("--no-report", is_flag=True, help="Write no page.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of the table.")
@click.pass_context
def run(
    ctx: click.Context,
    suite: str,
    model: str | None,
    profile: str | None,
    limit: int | None,
    settings: tuple[str, ...],
    role: tuple[str, ...],
    seed: int,
    out: str | None,
    device: str,
    no_report: bool,
    as_json: bool,
) -> None:
    """Measure a model on SUITE (a file, or a name of `uniar-eval ls suites`).

    The same command goes on with an interrupted run. Exit code 3: the run is incomplete.
    """
    # The libraries' loading bars would tear the progress line; a user's own setting wins.
    for name, value in (
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("DIFFUSERS_VERBOSITY", "error"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
    ):
        os.environ.setdefault(name, value)

    from evals import results
    from evals.facts import command_line
    from evals.run import run_suite

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    command = command_line(suite, model, profile, limit, settings, seed, out, role)
    command += ["--device", device] if device != "auto" else []
    done = run_suite(
        suite,
        model=model,
        profile=profile,
        limit=limit,
        settings=settings,
        seed=seed,
        out=out,
        device=device,
        report=not no_report,
        say=say,
        progress=sys.stderr,
        command=command,
        role=role,
    )
    if as_json:
        report = None if done.report is None else str(done.report)
        click.echo(json.dumps({**done.results, "path": str(done.path), "report": report}, indent=2, ensure_ascii=False))
    else:
        click.echo("")
        click.echo(done.results["title"])
        for line in results.table_lines(done.results):
            click.echo(line)
        for reason in done.results["reasons"]:
            click.echo(f"Incomplete: {reason}")
        click.echo(f"Run: {done.path}")
        if done.report is not None:
            click.echo(f"Report: {done.report}")
        click.echo(f"Next: {done.results['next']}")
    if done.results["status"] != "complete":
        ctx.exit(3)
