"""The verbs that write or show pages, attached through the entry-point group `uniar_eval.commands`.

What each does stands in the file of its name; here is only how it is called. stdout has the result, stderr the talk.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=_PATH)
@click.option("--pdf", "as_pdf", is_flag=True, help="Print the page to report/report.pdf as well, by a headless Chromium.")
@click.option("--json", "as_json", is_flag=True, help="Print path, size in bytes and seconds as JSON.")
def report(run: Path, as_pdf: bool, as_json: bool) -> None:
    """Write the HTML report of the run folder RUN and print its path."""
    from reports.render import HtmlReporter

    browser = None
    if as_pdf:
        from reports import pdf

        # Before the page is written, so that a missing browser is told at once.
        browser = pdf.find_browser()
    started = time.perf_counter()
    page = HtmlReporter().write(run)
    printed = pdf.print_page(page, page.with_name("report.pdf"), browser=browser) if as_pdf else None
    if as_json:
        size = sum(file.stat().st_size for file in page.parent.rglob("*") if file.is_file() and file != printed)
        seconds = round(time.perf_counter() - started, 3)
        told = {"report": str(page), "bytes": size, "seconds": seconds}
        click.echo(json.dumps(told | ({"pdf": str(printed), "pdf_bytes": printed.stat().st_size} if printed else {})))
        return
    click.echo(str(page))
    if printed:
        click.echo(str(printed))


@click.command()
@click.argument("runs", nargs=-1, type=_PATH)
@click.option("--published", "csv", type=_PATH, metavar="FILE", help="Results of others; by default the file that comes with uniar-eval.")
@click.option("--no-published", is_flag=True, help="Only the runs given.")
@click.option("--out", type=_PATH, default=Path("site"), show_default=True, metavar="DIR", help="Where the site goes.")
@click.option("--json", "as_json", is_flag=True, help="Print the site's page and what is on it as JSON.")
def leaderboard(runs: tuple[Path, ...], csv: Path | None, no_published: bool, out: Path, as_json: bool) -> None:
    """Write a leaderboard of RUNS and of published results as a static site; folders of runs stand for all runs in them."""
    from reports import leaderboard as boards
    from reports import leaderboard_site, published
    from reports.runs import open_runs

    if csv is not None and no_published:
        raise click.UsageError("got both --published and --no-published; expected one of them.")
    if not runs and no_published:
        raise click.UsageError("got no run and --no-published; expected something to show.")
    entries = boards.collect(open_runs(runs), None if no_published else csv or published.SHIPPED)
    page = leaderboard_site.write(entries, out)
    if as_json:
        counts = {kind: sum(entry.kind == kind for entry in entries) for kind in boards.KINDS}
        click.echo(json.dumps({"site": str(page), "boards": len(boards.boards(entries)), "entries": counts}))
    else:
        click.echo(str(page))


@click.command()
@click.argument("runs", nargs=-1, required=True, type=_PATH)
@click.option("--out", type=_PATH, default=Path("trend.html"), show_default=True, metavar="FILE", help="Where the page goes.")
@click.option("--json", "as_json", is_flag=True, help="Print the points as JSON.")
def trend(runs: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Draw how the numbers of one suite moved over checkpoints: RUNS are run folders, or a training run with its evaluations."""
    from reports import trend as drawing
    from reports.runs import open_runs

    found = drawing.collect(open_runs(runs))
    page = drawing.write(found, out)
    click.echo(json.dumps(drawing.as_json(found) | {"page": str(page)}) if as_json else str(page))


@click.command()
@click.argument("folder", metavar="DIR", default="runs", type=_PATH)
@click.option("--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="On 127.0.0.1; 0 takes a free one.")
def serve(folder: Path, port: int) -> None:
    """Browse the runs below DIR on this machine, live while they go on; nothing is written there. Ctrl-C ends it."""
    from reports import serve as server

    with server.start(folder, port=port) as running:
        click.echo(running.url)
        click.echo("Ctrl-C ends it.", err=True)
        running.wait()
