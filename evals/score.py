"""Outputs -> scores. Self-check first; every planned output gets exactly one score a scorer, its outcome typed.

Verdicts are cached under a key of everything they depend on, so a killed scoring goes on where it stopped and an
unchanged one costs nothing. The cache is a convenience: deleting it changes no result.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from evals.errors import CanaryError, ModelError, PluginError, StoreError, sentence
from evals.protocols import Scorer
from evals.registry import Registry
from evals.store import atomic
from evals.store import codes as codes_file
from evals.store.journal import Journal, read_rows
from evals.store.layout import Layout
from evals.store.pictures import open_image
from evals.suite.load import bind
from evals.suite.lock import digest
from evals.suite.schema import Suite
from evals.types import Metric, Outcome, Output, Score, WorkItem

if TYPE_CHECKING:
    from PIL import Image

_T = TypeVar("_T")
_CACHED = frozenset({Outcome.OK, Outcome.UNDECIDED, Outcome.OFF_SCALE, Outcome.NOT_APPLICABLE, Outcome.REFUSED})


def build_roles(suite: Suite, registry: Registry) -> dict[str, Any]:
    """Build what the suite names under `roles`.

    Raises:
        UserError: a plugin that is unknown or given wrong keys, or weights that are not there.
    """
    roles: dict[str, Any] = {}
    for role, use in suite.roles.items():
        factory, kwargs = bind(use, role, registry, key="use", folder=suite.folder)
        roles[role] = factory(**kwargs)
    return roles


def build_scorers(suite: Suite, registry: Registry, roles: Mapping[str, Any] | None = None) -> dict[str, Scorer]:
    """Build every scorer of a suite, all with the same roles.

    Args:
        suite: resolved.
        registry: of the suite.
        roles: made by `build_roles`; None makes them.

    Returns:
        Suite's scorer name -> scorer, in the suite's order.

    Raises:
        UserError: see `build_roles`.
    """
    roles = build_roles(suite, registry) if roles is None else roles
    scorers: dict[str, Scorer] = {}
    for use in suite.score:
        factory, kwargs = bind(use, "scorer", registry, key="scorer", folder=suite.folder)
        scorers[use.name] = factory(roles=dict(roles), **kwargs)
    return scorers


def self_check(scorers: Mapping[str, Scorer], roles: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Run the canary of every role that has one, then every scorer's.

    Raises:
        CanaryError: a known case is judged wrongly, or a canary itself fails.
        ModelError: a role cannot answer at all (no key, no weights), in its own words.
    """
    for name, thing in [*roles.items(), *scorers.items()]:
        canary = getattr(thing, "canary", None)
        if canary is None:
            continue
        kind = "scorer" if name in scorers else "role"
        try:
            canary()
        except (CanaryError, ModelError):
            raise
        except Exception as error:
            raise CanaryError(
                f"{kind} {name}: the self-check failed ({sentence(error)}); expected the known verdicts. "
                "No score was written."
            ) from error


def score_outputs(
    items: Sequence[WorkItem],
    outputs: Mapping[tuple[str, int], Output],
    scorer: Scorer,
    layout: Layout,
    *,
    name: str,
    settings: Mapping[str, Any],
    step: Callable[[Score], None] = lambda score: None,
    concurrency: int = 1,
) -> list[Score]:
    """Score a run with one scorer and write `scores/<name>.jsonl` in plan order.

    Args:
        items: the plan.
        outputs: last journal line of each item; an absent one is `missing`.
        scorer: its canary has passed.
        layout: of the run folder, locked by the caller.
        name: the scorer's name in the suite.
        settings: what the scorer and its roles were built from; part of the cache key.
        step: told after each score, in plan order.
        concurrency: outputs that are judged at once.

    Returns:
        One score an item, plan order.

    Raises:
        ModelError, PluginError: nothing can be scored at all (no weights); what was scored is kept.
        StoreError: a damaged cache line.
    """
    base = {"scorer": name, "version": scorer.version, "settings": dict(settings)}
    cache = {row["key"]: row["score"] for _, row in read_rows(layout.score_cache(name)) if "key" in row}
    needs_source = bool(getattr(scorer, "needs_source", False))

    def one(item: WorkItem) -> tuple[Score, str | None]:
        output = outputs.get((item.sample.sample_id, item.repeat))
        if output is None or output.outcome is not Outcome.OK:
            return _unscored(item, output, name), None
        content = {**base, "sample": item.sample.to_json(), "repeat": item.repeat, **_content(output)}
        if needs_source:
            content["source_sha256"] = _sha256(layout.find_source(item.sample.sample_id))
        key = digest(content)
        if key in cache:
            return Score.from_json(cache[key]), None
        return _judge(item, output, scorer, layout, name, needs_source=needs_source), key

    scores = []
    with Journal(layout.score_cache(name)) as journal:
        for score, key in _in_order(one, items, at_once=concurrency):
            if key is not None and score.outcome in _CACHED:
                journal.append({"key": key, "score": score.to_json()})
            scores.append(score)
            step(score)
    atomic.write_lines(layout.scores(name), (score.to_json() for score in scores))
    return scores


def measure_set(
    items: Sequence[WorkItem],
    outputs: Mapping[tuple[str, int], Output],
    scorer: Scorer,
    layout: Layout,
    *,
    seed: int,
) -> list[Metric]:
    """Return a scorer's metrics of the whole set (FID, code usage); an empty list from a scorer without any.

    Args:
        items, outputs, scorer, layout: see `score_outputs`.
        seed: the run's seed.

    Raises:
        UserError: weights or reference images that are not there.
    """
    measure = getattr(scorer, "measure", None)
    if measure is None:
        return []

    def ok() -> Iterator[tuple[Any, ...]]:
        for item in items:
            output = outputs.get((item.sample.sample_id, item.repeat))
            if output is None or output.outcome is not Outcome.OK:
                continue
            image = None if output.image is None else _open(layout, output.image)
            source = layout.find_source(item.sample.sample_id)
            row = (item.sample, output, image, None if source is None else open_image(source))
            if getattr(scorer, "needs_codes", False):
                row = (*row, None if output.codes is None else codes_file.unpack(layout.resolve(output.codes)))
            yield row

    found = list(measure(ok(), seed=seed))
    return [_of_the_plan(metric, *_made(items, outputs, metric.task)) for metric in found]


def _made(items: Sequence[WorkItem], outputs: Mapping[tuple[str, int], Output], task: str) -> tuple[Counter[Outcome], int]:
    """Count what became of the planned outputs of a task (`*`: of all), and how many there are."""
    own = [item for item in items if task in ("*", item.sample.task)]
    keys = [(item.sample.sample_id, item.repeat) for item in own]
    return Counter(outputs[key].outcome if key in outputs else Outcome.MISSING for key in keys), len(own)


def _of_the_plan(metric: Metric, made: Mapping[Outcome, int], planned: int) -> Metric:
    # A measure sees the outputs that are there; what is lacking counts all the same.
    if metric.n > made.get(Outcome.OK, 0):
        return metric
    outcomes = {**{outcome.value: count for outcome, count in made.items()}, Outcome.OK.value: metric.n}
    aside = made.get(Outcome.OK, 0) - metric.n
    if aside:
        outcomes[Outcome.NOT_APPLICABLE.value] = outcomes.get(Outcome.NOT_APPLICABLE.value, 0) + aside
    return replace(metric, n_expected=planned, outcomes={o.value: outcomes[o.value] for o in Outcome if outcomes.get(o.value)})


def _in_order(one: Callable[[WorkItem], _T], items: Sequence[WorkItem], *, at_once: int) -> Iterator[_T]:
    """Yield `one(item)` in order; up to `at_once` are at work, so that a slow judge is asked many things at a time."""
    if at_once <= 1:
        yield from map(one, items)
        return
    waiting: deque[Future[_T]] = deque()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="score")
    try:
        for item in items:
            waiting.append(pool.submit(one, item))
            # A few more than are at work keep everyone busy while the oldest is slow; no more, since a kill loses them.
            if len(waiting) >= 2 * at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _sha256(path: Path | None) -> str | None:
    return None if path is None else atomic.sha256(path)


def _judge(
    item: WorkItem, output: Output, scorer: Scorer, layout: Layout, name: str, *, needs_source: bool
) -> Score:
    try:
        image = None if output.image is None else _open(layout, output.image)
        if needs_source:
            source = layout.find_source(item.sample.sample_id)
            if source is None:
                return _without(item, name, Outcome.SCORER_ERROR, "the run holds no source image of this sample")
            score = scorer.score(item.sample, output, image, source=open_image(source))  # type: ignore[call-arg]
        else:
            score = scorer.score(item.sample, output, image)
    # Missing weights and a ledger that cannot be written hit every output alike: stop with their sentence instead of
    # thousands of equal outcomes.
    except (ModelError, PluginError, StoreError):
        raise
    except Exception as error:
        return _without(item, name, Outcome.SCORER_ERROR, sentence(error))
    wanted = (item.sample.sample_id, item.sample.task, item.repeat)
    if not isinstance(score, Score) or (score.sample_id, score.task, score.repeat) != wanted:
        return _without(item, name, Outcome.SCORER_ERROR, "the scorer returned a score of something else")
    # The suite's name counts: it is the file's name, and a plugin may be registered under another than its own.
    score = replace(score, scorer=name)
    try:
        atomic.line(score.to_json())
    except (TypeError, ValueError) as error:
        return _without(item, name, Outcome.SCORER_ERROR, f"the scorer's verdict is not finite JSON: {error}")
    return score


def _open(layout: Layout, relative: str) -> Image.Image:
    return open_image(layout.resolve(relative), shown=relative)


def _content(output: Output) -> dict[str, Any]:
    return {"image_sha256": output.image_sha256, "codes_sha256": output.codes_sha256, "text": output.text}


def _unscored(item: WorkItem, output: Output | None, name: str) -> Score:
    if output is None:
        return _without(item, name, Outcome.MISSING, "The run has not made this output.")
    return _without(item, name, output.outcome, output.error or f"The output is {output.outcome.value}.")


def _without(item: WorkItem, name: str, outcome: Outcome, reason: str) -> Score:
    return Score(
        sample_id=item.sample.sample_id,
        task=item.sample.task,
        repeat=item.repeat,
        scorer=name,
        outcome=outcome,
        reason=reason,
    )
