"""A grid from file to table: cells and seeds as jobs, each stage made once, failures kept apart, one table at the end.

Folder: `kept/` (codes and images by content), `stages/` (trainings by content), `cells/CELL/SEED/` (runs, to be opened as any run) and
`ablation.json`. Calling it again on the same folder goes on; nothing that is finished is made again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.ablation import table
from evals.ablation.reuse import ReusingModel
from evals.ablation.schema import Ablation, Cell
from evals.ablation.stages import OutOfTime, train
from evals.errors import StoreError, UserError, sentence
from evals.store import atomic
from evals.store.lock import locked

Say = Callable[[str], None]
DONE, FAILED, PENDING = "done", "failed", "pending"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One cell under one seed."""

    cell: Cell
    seed: int
    suite: str
    profile: str | None
    limit: int | None
    folder: Path
    """Of the whole grid."""
    shared: Path
    """Holds the trainings, and what models made; the grid's own folder unless it is measured beside another."""
    device: str
    seconds: float | None
    """Budget that is left; None is no end."""

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / "cells" / self.cell.name / str(self.seed)


def run_ablation(
    ablation: Ablation,
    *,
    out: Path,
    jobs: int = 1,
    max_hours: float | None = None,
    device: str = "auto",
    say: Say = lambda line: None,
    command: Sequence[str] = (),
    shared: Path | None = None,
) -> dict[str, Any]:
    """Make what is lacking of a grid and return its table (`evals.ablation.table`); what is measured also is another call's.

    Args:
        ablation: see `evals.ablation.schema.read`.
        out: folder; made when it is not there.
        jobs: cells at once, each in a process of its own.
        max_hours: begin nothing after that long; what is under way in a training stops cleanly.
        device: `cpu`, `cuda` or `auto`.
        say: told what happens, a line each.
        command: for the table.
        shared: folder whose trainings, codes and images are used; `out` by default.

    Raises:
        StoreError: the folder is in use, holds another ablation, or cannot be written.
        DataError: cells that measure different things.
    """
    began = time.monotonic()
    deadline = None if max_hours is None else began + 3600 * max_hours
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"--out: got {out} ({error.strerror}); expected a writable folder.") from error
    with locked(out / "ablation.lock"):
        _refuse_other(out, ablation)
        todo = [
            Job(
                cell=cell, seed=seed, suite=ablation.suite, profile=ablation.profile, limit=ablation.limit, folder=out,
                shared=shared or out, device=device, seconds=None,
            )
            for seed in ablation.seeds
            for cell in ablation.cells
        ]  # fmt: skip
        say(f"{ablation.title}, size {ablation.size}: {len(ablation.cells)} cells x {len(ablation.seeds)} seeds in {out}")
        status: dict[tuple[str, int], dict[str, Any]] = {}
        try:
            for number, (job, outcome) in enumerate(_each(todo, jobs=jobs, deadline=deadline), 1):
                status[job.cell.name, job.seed] = outcome
                say(f"{number}/{len(todo)} {job.cell.name}, seed {job.seed}: {_told(outcome)}")
        finally:
            # Once, since it reads every run; also when the grid is interrupted.
            found = table.build(
                ablation, out, status, seconds=time.monotonic() - began, command=command, stages=(shared or out) / "stages"
            )
            atomic.write_json(out / "ablation.json", found)
    return found


def run_all(
    ablation: Ablation,
    *,
    out: Path,
    shared: Path | None = None,
    max_hours: float | None = None,
    written: Callable[[Path], None] = lambda folder: None,
    **options: Any,
) -> dict[Path, dict[str, Any]]:
    """Run a grid, then what is measured also; returns each folder's table, the main one first.

    Args:
        ablation: see `run_ablation`.
        out: folder of the main grid; the others lie below it in `also/`.
        shared: folder whose trainings, codes and images are used and added to; `out` by default.
        max_hours: of all together.
        written: told each folder once its table is there.
        options: of `run_ablation`.
    """
    began, found = time.monotonic(), {}
    grids = {out: ablation} | {out / "also" / other.name.removeprefix(f"{ablation.name}."): other for other in ablation.also}
    for folder, grid in grids.items():
        # Never 0: what is left undone is told as pending.
        left = None if max_hours is None else max(max_hours - (time.monotonic() - began) / 3600, 1e-9)
        found[folder] = run_ablation(grid, out=folder, max_hours=left, shared=shared or out, **options)
        written(folder)
    return found


def measure(job: Job) -> dict[str, Any]:
    """Make one cell under one seed.

    Returns:
        `status` (`done`, `failed`, `pending`), `reason`, and for a finished one `stages`, `made` and `cost`.
    """
    from evals.run import run_suite

    deadline = None if job.seconds is None else time.monotonic() + job.seconds
    try:
        start = job.cell.model
        checkpoint, made = train(
            job.cell.train, start=start, seed=job.seed, folder=job.shared / "stages", device=job.device, deadline=deadline
        )
        if deadline is not None and time.monotonic() > deadline:
            raise OutOfTime("The budget is spent before this measurement. The same command goes on.")
        wrapped: list[ReusingModel] = []

        def wrap(model: Any) -> Any:
            if not (hasattr(model, "write") and hasattr(model, "show")):
                return model
            wrapped.append(ReusingModel(model, job.shared / "kept"))
            return wrapped[0]

        done = run_suite(
            job.suite,
            model=checkpoint,
            profile=job.profile,
            limit=job.limit,
            settings=[f"{key}={json.dumps(value)}" for key, value in job.cell.settings.items()],
            seed=job.seed,
            out=job.run,
            device=job.device,
            report=False,
            wrap=wrap,
        )
    except OutOfTime as error:
        return {"status": PENDING, "reason": str(error)}
    except UserError as error:
        return {"status": FAILED, "reason": str(error)}
    # A cell is foreign settings on foreign checkpoints: whatever it raises is its own outcome, and the grid goes on.
    except Exception as error:
        return {"status": FAILED, "reason": sentence(error)}
    facts = {
        "stages": [{"checkpoint": str(t.checkpoint), "seconds": t.seconds, "reused": t.reused} for t in made],
        "made": dict(wrapped[0].made) if wrapped else {},
        "cost": wrapped[0].cost_of_run(job.run) if wrapped else {},
    }
    if done.results.get("status") != "complete":
        return {"status": FAILED, "reason": " ".join(done.results.get("reasons") or ["the run is incomplete"]), **facts}
    return {"status": DONE, "reason": "", **facts}


def _each(todo: Sequence[Job], *, jobs: int, deadline: float | None) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Yield each job with its outcome as it ends; in this process when there is one at a time."""

    def left() -> float | None:
        return None if deadline is None else deadline - time.monotonic()

    late = {"status": PENDING, "reason": "The budget is spent. The same command goes on."}
    if jobs == 1:
        for job in todo:
            rest = left()
            yield job, late if rest is not None and rest <= 0 else measure(replace(job, seconds=rest))
        return
    waiting = list(todo)
    while waiting:
        # A process that is killed takes its pool with it: what was running is told as failed, and a new pool goes on.
        yield from _pooled(waiting, jobs=jobs, left=left, late=late)


def _pooled(
    waiting: list[Job], *, jobs: int, left: Callable[[], float | None], late: dict[str, Any]
) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Take jobs off the list and yield their outcomes until it is empty or the pool breaks."""
    # A fresh interpreter each: a forked torch may hang on its own threads.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent) as pool:
        running: dict[Any, Job] = {}
        while waiting or running:
            while waiting and len(running) < jobs:
                rest = left()
                job = waiting.pop(0)
                if rest is not None and rest <= 0:
                    yield job, late
                    continue
                running[pool.submit(measure, replace(job, seconds=rest))] = job
            broken = False
            for ended in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                job = running.pop(ended)
                try:
                    yield job, ended.result()
                except Exception as error:
                    broken = broken or isinstance(error, BrokenProcessPool)
                    yield job, {"status": FAILED, "reason": f"its process ended: {sentence(error)}"}
            if broken:
                for job in running.values():
                    yield job, {"status": FAILED, "reason": "its process ended with another's; run the command again"}
                return


def _end_with_parent() -> None:
    """A worker whose pool was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "it is a pool's worker"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _refuse_other(out: Path, ablation: Ablation) -> None:
    """A folder belongs to one ablation at one size; other settings under its name would mix two grids in one table."""
    path = out / "grid.json"
    wanted = table.identity(ablation)
    if path.is_file():
        try:
            old = dict(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(f"{path}: got a file that cannot be read ({type(error).__name__}). Give another --out.") from None
        changed = [key for key in wanted if old.get(key) != wanted[key]]
        if changed:
            raise StoreError(
                f"{path}: {changed[0]}: got another one than this folder was begun with; expected the same ablation. Give another --out."
            )
        return
    foreign = sorted(p.name for p in out.iterdir() if p.name != "ablation.lock")
    if foreign:
        raise StoreError(f"{out}: got a folder with other files ({foreign[0]}); expected a new one. Give another --out.")
    atomic.write_json(path, wanted)


def _told(outcome: dict[str, Any]) -> str:
    if outcome["status"] != DONE:
        return f"{outcome['status']}: {outcome['reason']}"
    made = outcome["made"]
    trained = [s for s in outcome["stages"] if not s["reused"]]
    told = [f"{len(trained)} of {len(outcome['stages'])} stages trained"] if outcome["stages"] else []
    if made:
        told.append(f"{made.get('written', 0)} codes written, {made.get('codes found', 0)} found")
        told.append(f"{made.get('shown', 0)} images made, {made.get('images found', 0)} found")
    return "done" + (f" ({'; '.join(told)})" if told else "")

