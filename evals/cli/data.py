"""`uniar-eval data list|fetch|check`: the benchmarks' own files on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SHOWN = 20
"""Problems printed."""


@click.group()
def data() -> None:
    """List, fetch and check the benchmarks' data.

    Files lie in $UNIAR_EVAL_DATA/NAME, else in ~/.cache/uniar-eval/data/NAME. Nothing is bundled: each file keeps its
    publisher's licence.
    """


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_(as_json: bool) -> None:
    """Show every benchmark: source, revision, licence, size, and what is here."""
    from evals.datasets.catalogue import CATALOGUE
    from evals.datasets.local import data_root

    rows = []
    for entry in CATALOGUE.values():
        root = data_root() / entry.name
        here = sum((root / file.name).is_file() for file in entry.files)
        here += sum(
            any((root / home).is_dir() for home in (folder.remote if folder.name == "." else (folder.name,))) for folder in entry.folders
        )
        rows.append(
            {
                "name": entry.name,
                "title": entry.title,
                "source": f"{entry.source.kind}:{entry.source.repository}",
                "revision": entry.source.revision,
                "more": None if entry.folder_source is None else f"{entry.folder_source.kind}:{entry.folder_source.repository}",
                "licence": entry.licence,
                "size": entry.size,
                "here": here,
                "parts": len(entry.files) + len(entry.folders),
                "folder": str(root),
                "files": [{"name": file.name, "sha256": file.sha256 or "unknown", "rows": file.rows} for file in entry.files],
                "note": entry.note,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        click.echo(f"{row['name']:<14} {row['here']}/{row['parts']} here  {row['title']}")
        click.echo(f"{'':<14} {row['source']} @ {row['revision']}; licence {row['licence']}; size {row['size']}")
        if row["more"]:
            click.echo(f"{'':<14} and {row['more']}")
        if row["note"]:
            click.echo(f"{'':<14} {row['note']}")


@data.command()
@click.argument("name")
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="PATH", help="Take a local copy: folder, tar or zip.")
@click.option("--link", is_flag=True, help="With --from FOLDER: link instead of copying.")
@click.option("--mirror", metavar="URL", help="Another server with the sources' paths.")
@click.option("--only", metavar="GLOB", help="Only files whose name matches.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def fetch(name: str, source: Path | None, link: bool, mirror: str | None, only: str | None, as_json: bool) -> None:
    """Bring the files of benchmark NAME here, then check them; exit 1 when something is broken.

    The sha256 of each file is checked where it is known, and recorded where it is not, so that a later change is noticed.
    """
    from evals.datasets import adopting, fetching
    from evals.datasets.catalogue import benchmark
    from evals.datasets.local import data_root
    from evals.errors import DataError

    if link and source is None:
        raise DataError("--link: got no --from; expected a folder to link to. Write --from FOLDER --link.")
    if mirror is not None and source is not None:
        raise DataError("--mirror: got it together with --from; expected one of the two.")
    entry = benchmark(name)
    root, wanted = data_root() / entry.name, _matcher(only)
    try:
        if source is None:
            facts = fetching.fetch(entry, root, mirror=mirror, only=wanted, say=lambda line: click.echo(line, err=True))
        else:
            with adopting.opened(source) as copy:
                facts = adopting.take(entry, copy, root, link=link, only=wanted)
            adopting.record(root, facts, origin={"source": "copy", "revision": "unknown"})
    except OSError as error:
        raise DataError(f"{root}: got {error}; expected a folder that can be written. Set UNIAR_EVAL_DATA to another one.") from error
    whole = {f"{folder.name}/" for folder in entry.folders if only is None and any(folder.holds(path) for path in facts)}
    # What was not taken is not there to be checked.
    _verdict(entry, root, lambda path: path in facts or path in whole, as_json, taken=len(facts))


@data.command()
@click.argument("name")
@click.option("--only", metavar="GLOB", help="Only files whose name matches.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(name: str, only: str | None, as_json: bool) -> None:
    """Check the files of benchmark NAME: hashes, rows, languages, pictures; exit 1 when something is broken."""
    from evals.datasets.catalogue import benchmark
    from evals.datasets.local import data_root

    entry = benchmark(name)
    _verdict(entry, data_root() / entry.name, _matcher(only), as_json)


def _matcher(only: str | None) -> Callable[[str], bool]:
    from fnmatch import fnmatchcase

    return lambda name: only is None or fnmatchcase(name, only)


def _verdict(entry: Any, root: Path, wanted: Callable[[str], bool], as_json: bool, *, taken: int | None = None) -> None:
    from evals.datasets.checking import check as look

    found = look(entry, root, only=wanted)
    if as_json:
        row = {"name": entry.name, "folder": str(root), "files": found.files, "rows": found.rows, "images": found.images}
        row |= {} if taken is None else {"taken": taken}
        click.echo(json.dumps({**row, "problems": list(found.problems)}, ensure_ascii=False))
    else:
        pictures = f", {found.images} pictures" if found.images else ""
        click.echo(f"{entry.name}: {found.files} files, {found.rows} rows{pictures} in {root}")
        for problem in found.problems[:SHOWN]:
            click.echo(f"  {problem}")
        if len(found.problems) > SHOWN:
            click.echo(f"  and {len(found.problems) - SHOWN} more")
        click.echo("ok" if not found.problems else f"{len(found.problems)} problems")
    if found.problems:
        raise click.exceptions.Exit(1)
