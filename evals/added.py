"""Scores beside the first: another scorer, or another judge, over the outputs that a run already has.

Nothing is generated and nothing that was scored is touched. What is added stands in `scores/<name>.jsonl` and
`scores/added.json`, with its agreement with the run's own scores on the outputs that both could score.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from evals import plan, results, roles
from evals.errors import StoreError, SuiteError
from evals.execute.progress import Progress
from evals.metrics import aggregate
from evals.metrics.agreement import agreement
from evals.registry import Registry, suggest
from evals.score import build_roles, build_scorers, measure_set, score_outputs, self_check
from evals.store import atomic, manifest
from evals.store.journal import read_outputs
from evals.store.layout import Layout
from evals.store.lock import locked
from evals.store.reader import RunReader
from evals.suite import load, lock
from evals.suite.located import wrap
from evals.suite.schema import Suite
from evals.types import Outcome, Sample, Score

Say = Callable[[str], None]


def read_added(layout: Layout) -> list[dict[str, Any]]:
    """Return what was added to a run: name, scorer, roles, settings, metrics and agreement of each.

    Raises:
        StoreError: the file is damaged.
    """
    if not layout.added.exists():
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(layout.added.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{layout.added}: got a damaged file ({error}); expected JSON. Remove it and add the scores again.") from error
    return rows


def add_scores(
    run: str | Path,
    *,
    scorer: str | None = None,
    fresh: bool = False,
    role: Sequence[str] = (),
    settings: Sequence[str] = (),
    name: str | None = None,
    suite: str | None = None,
    say: Say = lambda line: None,
    progress: TextIO | None = None,
) -> list[dict[str, Any]]:
    """Score the outputs of a finished or unfinished run again.

    Args:
        run: the run folder.
        scorer: with `fresh` a plugin's name; else one of the run's own scorers, None meaning all.
        fresh: the scorer is another than the run's, with settings of its own.
        role: `ROLE=NAME`, see `evals.roles`.
        settings: `a.b=c` changes to the profile; keys of a fresh scorer stand under `score[0]`.
        name: under which the scores are kept; None makes one of the scorer and the changed roles.
        suite: the suite file, for a suite with plugin files of its own.
        say: told what happens.
        progress: stream for the progress lines.

    Returns:
        One record a scorer, as in `scores/added.json`.

    Raises:
        UserError: no run, an unknown scorer or role, a name already taken by other settings.
    """
    reader = RunReader(run)
    layout, facts = reader.layout, reader.manifest
    choice = roles.parse_roles(role)
    resolved = _changed_suite(facts["resolved_suite"], layout, scorer, choice, settings, suite, fresh=fresh)
    if not fresh and not role and not settings:
        raise SuiteError("rescore: got no change; expected --role or --set. The same scorer with the same roles gives the same scores.")
    registry = Registry(resolved.plugins)
    load.check_plugins(resolved, registry)
    playing = roles.with_ledger(build_roles(resolved, registry), choice)
    scorers = build_scorers(resolved, registry, playing)
    self_check(scorers, playing)
    samples = reader.samples()
    items = plan.work_items(resolved, samples, seed=facts["seed"])
    told = []
    with locked(layout.lock):
        roles.attach(playing, choice, layout)
        outputs = read_outputs(layout.journal)
        for use in resolved.score:
            kept = _name(use.name, playing, choice, name, reader.suite_scorers, several=len(resolved.score) > 1)
            record = {
                "name": kept,
                "scorer": {"scorer": use.name, **use.kwargs},
                "roles": lock.deciding(lock.resolved(resolved)["roles"]),
                "replayed": sorted(choice.replay),
            }
            _refuse_other(layout, record)
            alone = bool(getattr(scorers[use.name], "set_only", False))
            bar = None if progress is None or alone else Progress(f"score ({kept})", len(items), progress)
            scores = [] if alone else score_outputs(
                items,
                outputs,
                scorers[use.name],
                layout,
                name=kept,
                settings={"scorer": record["scorer"], "roles": record["roles"], "plugins": facts["resolved_suite"]["plugins"]},
                concurrency=roles.concurrency(playing),
                step=lambda score, bar=bar: bar.step(failed=score.outcome is Outcome.SCORER_ERROR) if bar else None,
            )
            if bar:
                bar.close()
            sets = measure_set(items, outputs, scorers[use.name], layout, seed=facts["seed"])
            numbers = {"metrics": [], "agreement": []}
            if not alone:
                numbers = _numbers(resolved, samples, scores, reader, registry, kept, use.name, seed=facts["seed"])
            record |= numbers
            record["metrics"] += [results.metric_json(metric) for metric in sets]
            record |= {"judges": roles.spend(playing), "created": manifest.now()}
            _keep(layout, record)
            say(f"{kept}: {'the whole set' if alone else f'{_ok(scores)} of {len(scores)} outputs'} scored.")
            told.append(record)
        _update_results(reader)
    return told


def _changed_suite(
    own: Mapping[str, Any],
    layout: Layout,
    scorer: str | None,
    choice: roles.RoleChoice,
    settings: Sequence[str],
    suite: str | None,
    *,
    fresh: bool,
) -> Suite:
    known = load.packaged()
    folder = load.open_suite(suite).folder if suite else known[own["suite"]].parent if own["suite"] in known else None
    changed = dict(own)
    if fresh:
        changed["score"] = [{"scorer": scorer}]
    elif scorer is not None:
        names = [use["scorer"] for use in own["score"]]
        if scorer not in names:
            raise SuiteError(f'--scorer: got "{scorer}"; expected one of the run: {", ".join(names)}.{suggest(scorer, names)}')
        changed["score"] = [use for use in own["score"] if use["scorer"] == scorer]
    file = load.from_resolved(changed, shown=str(layout.manifest), folder=folder)
    body = file.root.value["profiles"].value[own["profile"]]
    if fresh:
        # A scorer of another kind has no use for the suite's report.
        body.value["score"] = wrap([{"scorer": scorer}], source="--scorer", key="score")
    return file.resolve(own["profile"], settings, choice.plugins)


def _name(
    scorer: str,
    playing: Mapping[str, Any],
    choice: roles.RoleChoice,
    wanted: str | None,
    taken: Sequence[str],
    *,
    several: bool,
) -> str:
    if wanted is not None:
        made = f"{scorer}--{wanted}" if several else wanted
    else:
        judges = roles.ledgered(playing)
        parts = [
            str(judges[role].identity().get("model") or plugin) if role in judges else plugin for role, plugin in choice.plugins.items()
        ]
        parts += [f"{role}-replay" for role in choice.replay]
        made = "--".join([scorer, *parts])
    made = re.sub(r"[^A-Za-z0-9._-]+", "-", made).strip(".-") or "added"
    return f"{made}--again" if made in taken else made


def _refuse_other(layout: Layout, record: Mapping[str, Any]) -> None:
    for old in read_added(layout):
        if old["name"] == record["name"] and any(old[key] != record[key] for key in ("scorer", "roles")):
            raise SuiteError(
                f"--name: got {record['name']}, which holds scores of other settings; expected a new name. Give another --name."
            )


def _numbers(
    suite: Suite,
    samples: Sequence[Sample],
    scores: Sequence[Score],
    reader: RunReader,
    registry: Registry,
    kept: str,
    scorer: str,
    *,
    seed: int,
) -> dict[str, Any]:
    repeats = suite.generate.repeats
    found = []
    own = {name: reader.scores(name) for name in reader.suite_scorers}
    value = suite.report.value
    if any(value in score.values for score in scores) and scorer in own:
        headline = registry.load("metric", suite.report.headline)
        table = aggregate.rows(samples, repeats, scores, value)
        found.append(headline(table, value=value, task="*", kind="headline", seed=seed))
    found += results.scorer_means(kept, samples, repeats, scores, seed=seed)
    compared = []
    for name, first in own.items():
        before = {(score.sample_id, score.repeat): score for score in first if score.outcome is Outcome.OK}
        prompts = {sample.sample_id: aggregate.prompt_key(sample) for sample in samples}
        names = dict.fromkeys(key for score in scores for key in score.values)
        for key in names:
            pairs = [
                (prompts[score.sample_id], before[score.sample_id, score.repeat].values[key], score.values[key])
                for score in scores
                if key in score.values
                and key in before.get((score.sample_id, score.repeat), score).values
                and (score.sample_id, score.repeat) in before
            ]
            if pairs:
                compared.append({"with": name, "value": key, **agreement(pairs, seed=seed, name=f"{kept}/{name}/{key}")})
    return {"metrics": [results.metric_json(metric) for metric in found], "agreement": compared}


def _ok(scores: Sequence[Score]) -> int:
    return sum(score.outcome is Outcome.OK for score in scores)


def _keep(layout: Layout, record: dict[str, Any]) -> None:
    rows = [row for row in read_added(layout) if row["name"] != record["name"]]
    atomic.write_json(layout.added, [*rows, record])


def _update_results(reader: RunReader) -> None:
    found = dict(reader.results)
    # A run that was never finished has no results yet; they come with its own end.
    if found:
        atomic.write_json(reader.layout.results, {**found, "added": read_added(reader.layout)})
