"""`uniar-eval validate`: a suite file, every profile of it, and every plugin key it uses; nothing is built or run."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("suite")
@click.option("--set", "settings", multiple=True, metavar="A.B=C", help="Change one setting of every profile first.")
@click.option("--json", "as_json", is_flag=True, help="Print the profiles as JSON.")
def validate(suite: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Check SUITE; the first mistake is told with file, line and key."""
    from evals.registry import Registry
    from evals.suite import load

    opened = load.open_suite(suite)
    registry = Registry(opened.plugins)
    rows = []
    for profile in opened.profiles:
        chosen = opened.resolve(profile, settings)
        load.check_plugins(chosen, registry)
        rows.append(
            {
                "profile": profile,
                "title": chosen.title,
                "verb": chosen.verb,
                "dataset": chosen.data.name,
                "scorers": [use.name for use in chosen.score],
            }
        )
    if as_json:
        click.echo(json.dumps({"suite": opened.shown, "valid": True, "profiles": rows}))
        return
    for row in rows:
        click.echo(f"{opened.shown}: {row['profile']} ({row['title']}) is valid.")
