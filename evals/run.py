"""The whole street in one readable function: suite -> plan -> outputs -> scores -> metrics -> run folder -> page.

Calling it again on the same folder finishes what is lacking. The module is callable, so `evals.run("geneval")` works
whether or not this file was imported before.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TextIO

from evals import models, plan, results, roles
from evals.added import read_added
from evals.errors import StoreError, SuiteError, UserError
from evals.execute.engine import execute, unfinished
from evals.execute.progress import Progress
from evals.facts import build_manifest, command_line, folder_name, next_step, scorer_settings
from evals.models import choosing
from evals.protocols import Model, Scorer
from evals.registry import Registry
from evals.score import build_roles, build_scorers, measure_set, score_outputs, self_check
from evals.store import atomic, manifest
from evals.store.journal import read_outputs
from evals.store.layout import Layout
from evals.store.lock import locked
from evals.store.sources import keep_sources
from evals.suite import load
from evals.suite.schema import Suite
from evals.types import Outcome, Sample, WorkItem

Say = Callable[[str], None]


class Interrupted(UserError):
    """Ctrl-C; the folder is whole and the sentence says how to go on."""

    exit_code = 130


class RunResult(NamedTuple):
    """A finished or incomplete run."""

    path: Path
    results: dict[str, Any]
    report: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """What all stages share."""

    suite: Suite
    samples: list[Sample]
    items: list[WorkItem]
    model: Model
    scorers: Mapping[str, Scorer]
    roles: Mapping[str, Any]
    layout: Layout
    manifest: dict[str, Any]
    data_root: str | None


def run_suite(
    suite: str,
    *,
    model: str | None = None,
    profile: str | None = None,
    limit: int | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    out: str | Path | None = None,
    device: str = "auto",
    report: bool = True,
    say: Say = lambda line: None,
    progress: TextIO | None = None,
    command: Sequence[str] | None = None,
    role: Sequence[str] = (),
    wrap: Callable[[Model], Model] = lambda model: model,
) -> RunResult:
    """Measure a model on a suite.

    Args:
        suite: path of a suite file, or the name of a packaged one.
        model: checkpoint path or id, `images:DIR`, or a plugin's name; None runs the bundled checkpoint.
        profile: None means `mini` for the bundled checkpoint, else `official`.
        limit: samples a task; the results are then marked as limited.
        settings: `a.b=c` changes to the profile.
        seed: fixes every draw, together with the sample's id and the repeat.
        out: run folder; None makes one under `runs/` whose name holds the settings' fingerprint.
        device: `cpu`, `cuda` or `auto`.
        report: write the page.
        say: told what happens, a line each.
        progress: stream for the progress lines.
        command: the command line, for the manifest and for the sentence after an interrupt.
        role: `ROLE=NAME` puts another plugin into a role; `judge=replay` takes every reply out of the run's ledger, and
            `judge=replay:RUN` out of another run's.
        wrap: puts another model around the one that was built, for example one that looks up what it has made before.

    Returns:
        Folder, content of `results.json`, and the page (None when none was written).

    Raises:
        UserError: anything the user can mend; `Interrupted` after Ctrl-C.
    """
    command = list(command) if command else command_line(suite, model, profile, limit, settings, seed, out, role)
    choice = roles.parse_roles(role)
    opened = load.open_suite(suite)
    chosen = _profile(opened, profile, model, say)
    resolved = opened.resolve(chosen, settings, choice.plugins)
    registry = Registry(resolved.plugins)
    load.check_plugins(resolved, registry)
    if limit is not None and limit < 1:
        raise SuiteError(f"--limit: got {limit}; expected at least 1.")
    if model is None:
        say(f"No --model given: running the bundled checkpoint {models.BUNDLED} on the {chosen} profile.")
    samples, data_root = load_samples(resolved, registry, limit)
    say(
        f"{resolved.title}: {len(samples)} prompts x {resolved.generate.repeats} = "
        f"{len(samples) * resolved.generate.repeats} outputs, seed {seed}"
        f"{'' if limit is None else f', limit {limit} a task'}."
    )
    # Scorers before the model: absent detector weights should be told at once, not after hours of generation.
    playing = roles.with_ledger(build_roles(resolved, registry), choice)
    scorers = build_scorers(resolved, registry, playing)
    self_check(scorers, playing)
    tested = wrap(models.build(model, registry, device=device))
    if resolved.verb not in tested.verbs:
        can = ", ".join(sorted(tested.verbs))
        raise SuiteError(f'{suite}: verb: got "{resolved.verb}"; the model {tested.name} can only {can}.')
    if resolved.generate.answer_by != "words":
        _check_options(resolved, tested, samples, suite, say)
    facts = build_manifest(resolved, tested, samples, seed=seed, limit=limit, device=device, command=command)
    if facts["notice"]:
        say(facts["notice"])
    layout = Layout(Path(out) if out is not None else Path("runs") / folder_name(resolved, tested, facts["fingerprint"]))
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"--out: got {layout.root} ({error.strerror}); expected a writable folder.") from error
    job = _Job(
        suite=resolved,
        samples=samples,
        items=plan.work_items(resolved, samples, seed=seed, data_root=data_root),
        model=tested,
        scorers=scorers,
        roles=playing,
        layout=layout,
        manifest=facts,
        data_root=data_root,
    )
    with locked(layout.lock):
        _open_folder(job)
        roles.attach(playing, choice, layout)
        found = _stages(job, registry, say=say, progress=progress, command=command)
        page = write_report(layout.root, say) if report else None
    return RunResult(layout.root, found, page)


def _check_options(resolved: Suite, tested: Model, samples: list[Sample], suite: str | Path, say: Say) -> None:
    """Refuse answers by likelihood where none can be had; say how many questions are answered in words after all."""
    key = f"{suite}: generate.answer_by: got {resolved.generate.answer_by}"
    if resolved.verb != "understand" or not getattr(tested, "ranks_options", False):
        raise SuiteError(f"{key}; the model {tested.name} can only {resolved.verb} in its own way. Set it to words.")
    if bare := choosing.without_options(samples):
        if bare == len(samples):
            raise SuiteError(f"{key}; none of its {len(samples)} questions has options. Set it to words.")
        say(f"{bare} of {len(samples)} questions have no options: they are answered in words.")


def load_samples(suite: Suite, registry: Registry, limit: int | None) -> tuple[list[Sample], str | None]:
    """Build the suite's dataset and return its samples and, when it has one, the folder of its input images.

    Raises:
        UserError: data that are missing or malformed.
    """
    factory, kwargs = load.bind(suite.data, "dataset", registry, key="dataset", folder=suite.folder)
    dataset = factory(**kwargs)
    root = getattr(dataset, "root", None)
    return plan.take(dataset.load(), limit, dataset=suite.data.name), None if root is None else str(root)


def _stages(
    job: _Job, registry: Registry, *, say: Say, progress: TextIO | None, command: Sequence[str]
) -> dict[str, Any]:
    layout = job.layout
    try:
        outputs = _generate(job, say=say, progress=progress)
        started = time.perf_counter()
        scores, sets = {}, []
        for use in job.suite.score:
            if getattr(job.scorers[use.name], "set_only", False):
                sets += measure_set(job.items, outputs, job.scorers[use.name], layout, seed=job.manifest["seed"])
                continue
            bar = _progress(f"score ({use.name})", len(job.items), progress)
            scores[use.name] = score_outputs(
                job.items,
                outputs,
                job.scorers[use.name],
                layout,
                name=use.name,
                settings=scorer_settings(job.manifest["resolved_suite"], use.name),
                concurrency=roles.concurrency(job.roles),
                step=lambda score, bar=bar: bar.step(failed=score.outcome is Outcome.SCORER_ERROR) if bar else None,
            )
            if bar:
                bar.close()
            sets += measure_set(job.items, outputs, job.scorers[use.name], layout, seed=job.manifest["seed"])
    except KeyboardInterrupt as error:
        done = sum(output.outcome is Outcome.OK for output in read_outputs(layout.journal).values())
        raise Interrupted(
            f"Interrupted; {done} of {len(job.items)} outputs are finished and kept in {layout.root}. "
            f"Go on with: {shlex.join(command)}"
        ) from error
    except OSError as error:
        raise StoreError(
            f"{layout.root}: got {error}; expected a folder that can be written. "
            f"What is finished is kept; go on with: {shlex.join(command)}"
        ) from error
    found = results.build(
        job.manifest,
        job.samples,
        scores,
        outputs=outputs,
        headline=registry.load("metric", job.suite.report.headline),
        metrics=[registry.load("metric", name) for name in job.suite.report.metrics],
        set_metrics=sets,
        added=read_added(layout),
        judges=roles.spend(job.roles),
        seconds={
            "generate": round(sum(output.seconds for output in outputs.values()), 3),
            "score": round(time.perf_counter() - started, 3),
        },
        next_step=next_step(job.manifest, command),
    )
    atomic.write_json(layout.results, found)
    return found


def _generate(job: _Job, *, say: Say, progress: TextIO | None) -> dict[tuple[str, int], Any]:
    layout = job.layout
    before = read_outputs(layout.journal)
    todo, lost = unfinished(job.items, before, layout)
    if lost:
        say(f"{lost} finished outputs have a missing or changed file and are made again.")
    if before:
        say(f"Going on in {layout.root}: {len(job.items) - len(todo)} of {len(job.items)} outputs are finished.")
    if todo:
        bar = _progress("generate", len(todo), progress)
        try:
            execute(
                todo,
                job.model,
                layout,
                batch_size=job.suite.generate.batch_size,
                step=lambda output: bar.step(failed=output.outcome is not Outcome.OK) if bar else None,
            )
        finally:
            if bar:
                bar.close()
    planned = {(item.sample.sample_id, item.repeat) for item in job.items}
    return {key: output for key, output in read_outputs(layout.journal).items() if key in planned}


def _open_folder(job: _Job) -> None:
    layout = job.layout
    if layout.manifest.exists():
        old = manifest.read(layout)
        manifest.refuse_other(layout, old.get("identity", {}), job.manifest["identity"])
        # The first call's manifest stands, since the first outputs were made under it; a later call on other software
        # or another machine is added, not hidden.
        here = {key: job.manifest[key] for key in ("versions", "git", "hardware")}
        calls = [old, *old.get("resumed", [])]
        if any(calls[-1].get(key) != value for key, value in here.items()):
            old["resumed"] = [*old.get("resumed", []), {"created": job.manifest["created"], **here}]
            atomic.write_json(layout.manifest, old)
        job.manifest.update(old)
    else:
        foreign = [path.name for path in layout.root.iterdir() if path.name not in ("run.lock", "samples.jsonl")]
        foreign = [name for name in foreign if not name.endswith(".part")]
        if foreign:
            raise StoreError(
                f"{layout.root}: got a folder with other files ({sorted(foreign)[0]}); expected a new folder or a run. "
                "Give another --out."
            )
    atomic.sweep(layout.root)
    atomic.write_lines(layout.samples, (sample.to_json() for sample in job.samples))
    if not layout.manifest.exists():
        atomic.write_json(layout.manifest, job.manifest)
    keep_sources(layout, job.samples, job.data_root)


def _profile(opened: load.SuiteFile, wanted: str | None, model: str | None, say: Say) -> str:
    if wanted is not None:
        return wanted
    default = "mini" if model in (None, models.BUNDLED) else "official"
    known = opened.profiles
    variants = [name for name in known if name.startswith(f"{default}-")]
    if default not in known and variants:
        say(f"{opened.shown} has several {default} profiles; running the first of {', '.join(variants)}. --profile takes another.")
        return variants[0]
    if default not in known and len(known) == 1:
        say(f"{opened.shown} has no {default} profile; running its only one, {known[0]}.")
        return known[0]
    return default


def write_report(run: str | Path, say: Say) -> Path | None:
    """Write the page of a run folder and return it; None, with a sentence to `say`, when that cannot be done."""
    layout, registry = Layout(Path(run)), Registry()
    if "html" not in registry.names("reporter"):
        say("No page was written: no reporter is installed (pip install -e . registers the one of this repository).")
        return None
    try:
        page: Path = registry.load("reporter", "html")().write(layout.root)
    except UserError as error:
        # The numbers are safe by now and must still be shown.
        say(f"No page was written: {error}")
        return None
    return page


def _progress(stage: str, total: int, stream: TextIO | None) -> Progress | None:
    return None if stream is None else Progress(stage, total, stream)


class _Callable(ModuleType):
    """Lets `evals.run(...)` mean `run_suite(...)` while `evals.run` stays this module (language reference 3.3.2.1)."""

    def __call__(self, *args: Any, **kwargs: Any) -> RunResult:
        return run_suite(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
