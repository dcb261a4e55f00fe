"""`uniar-eval ablate`: a grid of cells, each stage made once, with effects against the control."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command()
@click.argument("ablation", metavar="NAME|FILE")
@click.option("--size", default=None, help="One of the file's sizes, or full. [default: mini where there is one, else full]")
@click.option("--smoke", is_flag=True, help="The size smoke: minutes.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder of the grid; default runs/ablations/NAME-SIZE.")
@click.option(
    "--share",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of trainings, codes and images that several grids make once; default the grid's own.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at once, each in its own process.")
@click.option("--max-hours", type=click.FloatRange(min=0, min_open=True), default=None, help="Stop cleanly after that long.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--list", "listed", is_flag=True, help="Print the cells and stop.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), default=None, help="Also write the table as CSV.")
@click.option("--parquet", "parquet_file", type=click.Path(path_type=Path), default=None, help="Also write the table as Parquet.")
@click.option("--latex", "latex_file", type=click.Path(path_type=Path), default=None, help="Also write the table as LaTeX.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole table as JSON.")
@click.pass_context
def ablate(
    ctx: click.Context,
    ablation: str,
    size: str | None,
    smoke: bool,
    out: Path | None,
    share: Path | None,
    jobs: int,
    max_hours: float | None,
    device: str,
    listed: bool,
    csv_file: Path | None,
    parquet_file: Path | None,
    latex_file: Path | None,
    as_json: bool,
) -> None:
    """Run the grid of an ablation file, or go on with it, and print each cell against the control.

    Exit code 3 when a cell failed or the budget ended before the last.
    """
    from evals.ablation import exporting, schema
    from evals.ablation.finding import find
    from evals.ablation.run import run_all

    if smoke and size not in (None, "smoke"):
        raise click.UsageError(f"--size: got {size} with --smoke; expected one of them.")
    path, shown = find(ablation)
    offered = schema.sizes_of(path, shown=shown)
    chosen = "smoke" if smoke else size or ("mini" if "mini" in offered else "full")
    read = schema.read(path, shown=shown, size=chosen)
    if listed:
        for cell in read.cells:
            told = ", ".join(f"{key}={json.dumps(value)}" for key, value in cell.own.items()) or "as the file's settings"
            click.echo(f"{cell.name}{' (control)' if cell.name == read.control else ''}: {told}")
        return
    folder = out or Path("runs") / "ablations" / f"{read.name}-{read.size}"
    command = ["uniar-eval", *sys.argv[1:]] if Path(sys.argv[0]).name.startswith("uniar-eval") else ["uniar-eval", "ablate", ablation]
    pages: dict[Path, Path | None] = {}
    found = run_all(
        read,
        out=folder,
        shared=share,
        jobs=jobs,
        max_hours=max_hours,
        device=device,
        say=lambda line: click.echo(line, err=True),
        command=command,
        written=lambda grid: pages.update({grid: _page(grid)}),
    )
    for file, write in ((csv_file, exporting.csv), (parquet_file, exporting.parquet), (latex_file, exporting.latex)):
        for grid, table in found.items() if file is not None else ():
            write(table, file if grid == folder else file.with_name(f"{file.stem}-{grid.name}{file.suffix}"))
    if as_json:
        told = list(found.values())
        click.echo(json.dumps(told[0] if len(told) == 1 else told, indent=2, ensure_ascii=False))
    else:
        for grid, table in found.items():
            for line in exporting.lines(table):
                click.echo(line)
            click.echo(f"Table: {grid / 'ablation.json'}")
            if pages[grid] is not None:
                click.echo(f"Page: {pages[grid]}")
    if not all(table["complete"] for table in found.values()):
        ctx.exit(3)


def _page(folder: Path) -> Path | None:
    """The page of the grid, where a reporter of that name is installed."""
    from evals.registry import Registry

    registry = Registry()
    if "ablation" not in registry.names("reporter"):
        return None
    page: Path = registry.load("reporter", "ablation")().write(folder)
    return page
