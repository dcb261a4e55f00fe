"""`uniar-eval samples`: a suite's samples as JSON lines, key order kept, nothing else on stdout."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("suite")
@click.option("--profile", metavar="NAME", help="By default official, or the suite's first profile.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N prompts of each task.")
@click.option("--set", "settings", multiple=True, metavar="A.B=C", help="Change a setting of the profile; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines; this verb prints nothing else anyway.")
def samples(suite: str, profile: str | None, limit: int | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Print the samples of SUITE, one JSON object a line."""
    from evals.registry import Registry
    from evals.run import load_samples
    from evals.suite import load

    opened = load.open_suite(suite)
    known = opened.profiles
    chosen = opened.resolve(profile or ("official" if "official" in known else known[0]), settings)
    registry = Registry(chosen.plugins)
    load.check_plugins(chosen, registry)
    found, _ = load_samples(chosen, registry, limit)
    for sample in found:
        click.echo(json.dumps(sample.to_json()))
