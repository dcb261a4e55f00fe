"""`uniar-eval power`: which differences a run's prompts can show, and how many prompts a difference needs."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("run")
@click.option("--baseline", metavar="FILE|RUN", help="Take the variance of the paired differences to it, not RUN's own repeats.")
@click.option("--effect", type=click.FloatRange(min=0, min_open=True), help="Difference to be shown; by default 0.02 of the scale.")
@click.option(
    "--alpha", type=click.FloatRange(0, 0.5, min_open=True, max_open=True), default=0.05, show_default=True, help="Of the one-sided test."
)
@click.option(
    "--power", "wanted", type=click.FloatRange(0.5, 1, max_open=True), default=0.8, show_default=True, help="Chance of showing it."
)
@click.option("--across-seeds", is_flag=True, help="Pair by prompt alone where the seeds differ.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def power(run: str, baseline: str | None, effect: float | None, alpha: float, wanted: float, across_seeds: bool, as_json: bool) -> None:
    """Tell the smallest difference that RUN's prompts can show, and the prompts or outputs a prompt that --effect needs."""
    from evals.analysis.power import of_run
    from evals.analysis.verdicts import open_verdicts

    other = None if baseline is None else open_verdicts(baseline)
    found = of_run(open_verdicts(run), other, effect=effect, alpha=alpha, wanted=wanted, across_seeds=across_seeds)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    again = found.repeats_needed
    click.echo(f"{found.run.title}: {found.prompts:,} prompts x {found.repeats}, one-sided alpha {alpha:g}, variance from {found.basis}")
    click.echo(f"smallest difference shown with {wanted:.0%} power: {found.detectable:.4f}")
    click.echo(f"a difference of {found.effect:g} is shown here with a chance of {found.achieved:.0%}")
    click.echo(f"prompts for {found.effect:g} with {wanted:.0%} power: {found.needed:,}")
    click.echo(f"outputs a prompt for it on these prompts: {'no number is known to be enough' if again is None else f'{again:,}'}")
