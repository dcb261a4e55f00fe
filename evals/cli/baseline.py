"""`uniar-eval baseline`: a run's verdicts as a small file that is committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.group()
def baseline() -> None:
    """Keep a run's verdicts in a small committed file, so that a gate stays paired without the run folder."""


@baseline.command()
@click.argument("run")
@click.option("--out", required=True, metavar="FILE", help="Where the baseline goes, as in baselines/geneval.json.")
@click.option("--force", is_flag=True, help="Replace a file that is there, whatever it measures.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def save(run: str, out: str, force: bool, as_json: bool) -> None:
    """Write the verdicts of the finished RUN to a new file."""
    from evals.analysis import baseline as files
    from evals.analysis.verdicts import open_verdicts
    from evals.errors import DataError

    path = Path(out)
    if path.is_file() and not force:
        raise DataError(f"{path}: got a file that is there; expected a new one. `baseline update` renews it, --force replaces it.")
    files.save(open_verdicts(run), path)
    _tell(path, as_json)


@baseline.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(file: str, as_json: bool) -> None:
    """Tell what the baseline FILE holds."""
    _tell(Path(file), as_json)


@baseline.command()
@click.argument("run")
@click.argument("file")
@click.option("--across-seeds", is_flag=True, help="Compare by prompt alone where the seeds differ.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison of old and new as JSON.")
def update(run: str, file: str, across_seeds: bool, as_json: bool) -> None:
    """Renew FILE by the verdicts of RUN, which must measure the same, and tell how the two differ."""
    from evals.analysis import baseline as files
    from evals.analysis.compare import compare
    from evals.analysis.told import compare_lines
    from evals.analysis.verdicts import open_verdicts

    path = Path(file)
    new = open_verdicts(run)
    found = compare([files.read(path), new], across_seeds=across_seeds)
    files.save(new, path)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    for line in compare_lines(found):
        click.echo(line)
    click.echo(f"Renewed: {path}")


def _tell(path: Path, as_json: bool) -> None:
    from evals.analysis import baseline as files

    held = files.read(path)
    facts: dict[str, Any] = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "suite": held.suite,
        "profile": held.profile,
        "protocol": held.protocol,
        "model": held.model,
        "sha256": held.weights,
        "seed": held.seed,
        "headline": held.known,
        "low": held.low,
        "high": held.high,
        "prompts": held.prompts,
        "outputs": len(held.table),
        "scored": sum(row.value is not None for row in held.table.values()),
        "created": held.created,
        "commit": held.commit,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for name, value in facts.items():
        click.echo(f"{name}: {value}")
