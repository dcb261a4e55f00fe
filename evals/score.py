"""Outputs -> scores. Self-check first; every planned output gets exactly one score a scorer, its outcome typed.

Verdicts are cached under a key of everything they depend on, so a killed scoring goes on where it stopped and an
unchanged one costs nothing. The cache is a convenience: deleting it changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, ModelError, PluginError, sentence
from evals.protocols import Scorer
from evals.registry import Registry
from evals.store import atomic
from evals.store.journal import Journal, read_rows
from evals.store.layout import Layout
from evals.suite.load import bind
from evals.suite.lock import digest
from evals.suite.schema import Suite
from evals.types import Outcome, Output, Score, WorkItem

if TYPE_CHECKING:
    from PIL import Image

_CACHED = frozenset({Outcome.OK, Outcome.OFF_SCALE, Outcome.NOT_APPLICABLE, Outcome.REFUSED})


def build_scorers(suite: Suite, registry: Registry) -> dict[str, Scorer]:
    """Build the roles once and every scorer with them.

    Returns:
        Suite's scorer name -> scorer, in the suite's order.

    Raises:
        UserError: a plugin that is unknown or given wrong keys, or weights that are not there.
    """
    roles: dict[str, Any] = {}
    for role, use in suite.roles.items():
        factory, kwargs = bind(use, role, registry, key="use", folder=suite.folder)
        roles[role] = factory(**kwargs)
    scorers: dict[str, Scorer] = {}
    for use in suite.score:
        factory, kwargs = bind(use, "scorer", registry, key="scorer", folder=suite.folder)
        scorers[use.name] = factory(roles=roles, **kwargs)
    return scorers


def self_check(scorers: Mapping[str, Scorer]) -> None:
    """Run every scorer's canary.

    Raises:
        CanaryError: a scorer judges a known case wrongly, or its canary itself fails.
    """
    for name, scorer in scorers.items():
        try:
            scorer.canary()
        except CanaryError:
            raise
        except Exception as error:
            raise CanaryError(
                f"scorer {name}: the self-check failed ({sentence(error)}); expected the known verdicts. "
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
) -> list[Score]:
    """Score a run with one scorer and write `scores/<name>.jsonl` in plan order.

    Args:
        items: the plan.
        outputs: last journal line of each item; an absent one is `missing`.
        scorer: its canary has passed.
        layout: of the run folder, locked by the caller.
        name: the scorer's name in the suite.
        settings: what the scorer and its roles were built from; part of the cache key.
        step: told after each score.

    Returns:
        One score an item, plan order.

    Raises:
        ModelError, PluginError: nothing can be scored at all (no weights); what was scored is kept.
        StoreError: a damaged cache line.
    """
    base = {"scorer": name, "version": scorer.version, "settings": dict(settings)}
    cache = {row["key"]: row["score"] for _, row in read_rows(layout.score_cache(name)) if "key" in row}
    scores = []
    with Journal(layout.score_cache(name)) as journal:
        for item in items:
            output = outputs.get((item.sample.sample_id, item.repeat))
            if output is None or output.outcome is not Outcome.OK:
                score = _unscored(item, output, name)
            else:
                key = digest({**base, "sample": item.sample.to_json(), "repeat": item.repeat, **_content(output)})
                if key in cache:
                    score = Score.from_json(cache[key])
                else:
                    score = _judge(item, output, scorer, layout, name)
                    if score.outcome in _CACHED:
                        journal.append({"key": key, "score": score.to_json()})
            scores.append(score)
            step(score)
    atomic.write_lines(layout.scores(name), (score.to_json() for score in scores))
    return scores


def _judge(item: WorkItem, output: Output, scorer: Scorer, layout: Layout, name: str) -> Score:
    try:
        image = None if output.image is None else _open(layout, output.image)
        score = scorer.score(item.sample, output, image)
    # Missing weights hit every output alike: stop with their sentence instead of thousands of equal outcomes.
    except (ModelError, PluginError):
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
    from PIL import Image

    with Image.open(layout.resolve(relative)) as image:
        return image.convert("RGB")


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
