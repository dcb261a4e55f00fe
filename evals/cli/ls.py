"""`uniar-eval ls`: what there is to name. A broken plugin is listed as broken, with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

KINDS = (
    "suites",
    "scorers",
    "models",
    "runs",
    "datasets",
    "detectors",
    "colors",
    "judges",
    "ocrs",
    "metrics",
    "reporters",
    "commands",
)


@click.command()
@click.argument("what", type=click.Choice(KINDS))
@click.option("--dir", "folder", default="runs", show_default=True, metavar="DIR", help="Where runs lie (ls runs).")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ls(what: str, folder: str, as_json: bool) -> None:
    """List WHAT: suites, scorers, models, runs, datasets, detectors, ..."""
    if what == "suites":
        rows = _suites()
    elif what == "runs":
        rows = _runs(Path(folder))
    else:
        rows = _plugins(what.removesuffix("s"))
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not rows:
        click.echo(f"No {what}.", err=True)
    for row in rows:
        click.echo("  ".join(str(cell) for cell in row.values() if cell not in (None, "")))


def _suites() -> list[dict[str, Any]]:
    from evals.errors import SuiteError
    from evals.suite import load

    rows: list[dict[str, Any]] = []
    for name in load.packaged():
        try:
            opened = load.open_suite(f"suites/{name}.yaml")
            rows.append({"name": name, "profiles": ", ".join(opened.profiles), "problem": None})
        except SuiteError as error:
            rows.append({"name": name, "profiles": "", "problem": f"broken: {error}"})
    return rows


def _plugins(kind: str) -> list[dict[str, Any]]:
    from evals.registry import Registry

    registry = Registry()
    rows: list[dict[str, Any]] = []
    for entry in registry.entries(kind):
        problem = registry.problem(entry)
        rows.append({"name": entry.name, "origin": entry.origin, "target": entry.target, "problem": problem})
    if kind == "model":
        rows.insert(
            0, {"name": "uniar-mini", "origin": "bundled checkpoint", "target": "default of --model", "problem": None}
        )
    return rows


def _runs(folder: Path) -> list[dict[str, Any]]:
    from evals.errors import StoreError
    from evals.store.reader import RunReader

    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*/manifest.json")):
        row: dict[str, Any] = {"path": str(path.parent), "title": "", "status": "", "value": None, "problem": None}
        try:
            run = RunReader(path.parent)
            headline = run.results.get("headline", {}).get("value")
            row |= {"title": run.manifest.get("title"), "status": run.results.get("status", "unfinished")}
            row["value"] = None if headline is None else round(headline, 4)
        except StoreError as error:
            row["problem"] = f"broken: {error}"
        rows.append(row)
    return rows
