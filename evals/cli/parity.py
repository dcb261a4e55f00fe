"""`uniar-eval parity`: do our scoring functions agree with the official ones?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

SHOWN = 3
"""Mismatches printed a file."""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 160 else text[:157] + "..."


@click.command("parity")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a file.")
def parity(files: tuple[Path, ...], as_json: bool) -> None:
    """Replay golden files recorded from official scorers; exit 1 when a case differs, 2 for a file that is none."""
    from evals.errors import UserError
    from evals.parity import replay

    failed = False
    for path in files:
        try:
            result = replay(path)
        except UserError as error:
            click.echo(f"Error: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from error
        failed = failed or bool(result.mismatches)
        if as_json:
            first = [
                {"id": m.case_id, "where": m.where, "got": m.got, "expected": m.expected}
                for m in result.mismatches[:SHOWN]
            ]
            row = {"name": result.name, "matched": result.matched, "total": result.total, "mismatches": first}
            click.echo(json.dumps(row, default=str))
            continue
        click.echo(f"{result.name:<36} {result.matched}/{result.total} {'ok' if not result.mismatches else 'DIFFERS'}")
        for m in result.mismatches[:SHOWN]:
            click.echo(f"  case {m.case_id} {m.where or '(whole)'}: got {_short(m.got)}; expected {_short(m.expected)}")
        if len(result.mismatches) > SHOWN:
            click.echo(f"  and {len(result.mismatches) - SHOWN} more")
    if failed:
        raise click.exceptions.Exit(1)
