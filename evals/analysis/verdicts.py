"""What a run, or a committed baseline, says of each planned output: one form, so that a test is paired whatever stands behind it.

A prompt is named by the first sample that asks it. Nothing of a benchmark's own text is in here: a baseline file can be committed
without the benchmark's prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evals import likeness, ranks
from evals.errors import DataError
from evals.metrics import aggregate
from evals.metrics.aggregate import Row
from evals.store.reader import RunReader
from evals.types import Outcome, Output, Sample

Key = tuple[str, int]
"""Sample id and repeat."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """One measured model, ready to be compared."""

    path: Path
    model: str
    """Name of the model."""
    weights: str
    """Its sha256, empty when it tells none."""
    suite: str
    title: str
    profile: str
    protocol: str
    seed: int
    measurement: Mapping[str, Any]
    """What was measured (`evals.likeness.measurement`)."""
    sampling: Mapping[str, Any]
    """What the model was told about its own sampling."""
    value: str
    """Named value of the scores that is averaged."""
    headline: str
    """Metric plugin of the number at the top."""
    known: float | None
    """That number; None when the run has none yet."""
    low: float | None
    high: float | None
    scale: tuple[float, float]
    """Value of an output that is wholly wrong, and of one that is wholly right."""
    status: str
    """`complete` or `incomplete`."""
    reasons: tuple[str, ...] = ()
    """What is lacking."""
    table: Mapping[Key, Row] = field(default_factory=dict)
    """One row a planned output, plan order."""
    outputs_sha256: str = ""
    """Of all outputs; equal ones mean that every output is the same file. Empty while some output is lacking."""
    created: str = ""
    commit: str = ""

    @property
    def better(self) -> int:
        """1 when higher values are better, -1 when lower ones are."""
        return 1 if self.scale[1] >= self.scale[0] else -1

    @property
    def tasks(self) -> list[str]:
        """Tasks in plan order."""
        return list(dict.fromkeys(row.task for row in self.table.values()))

    @property
    def repeats(self) -> int:
        """Outputs a sample."""
        return 1 + max((repeat for _, repeat in self.table), default=0)

    @property
    def prompts(self) -> int:
        """Planned prompts."""
        return len({row.prompt for row in self.table.values()})

    def recipe(self) -> ranks.Recipe | None:
        """Return how the headline follows from sums over prompts; None when no known way gives it back."""
        if self.known is None:
            return None
        return ranks.recipe_of(list(self.table.values()), headline=self.headline, value=self.value, known=self.known)


def of_run(run: RunReader) -> Verdicts:
    """Return a run's verdicts, also of one that is not finished.

    Raises:
        DataError: the suite judges the whole set only, so that there is nothing to pair.
        StoreError: a damaged folder.
    """
    manifest, results, samples = run.manifest, run.results, run.samples()
    resolved = manifest.get("resolved_suite") or {}
    report = resolved.get("report") or {}
    value = str(report.get("value", "correct"))
    repeats = int((resolved.get("generate") or {}).get("repeats", 1))
    scale = (float(report.get("worst", 0.0)), float(report.get("best", 1.0)))
    scorer = results.get("scorer") or next(iter(run.suite_scorers), None)
    scores = run.scores(scorer) if scorer else []
    if results and not scores:
        raise DataError(
            f'{run.path}: report.value: got "{value}", a number of the whole set; expected a score of each output. '
            "Such a number has no pairs of outputs to compare."
        )
    first = _first_of_prompt(samples)
    rows = aggregate.rows(samples, repeats, scores, value, scale=scale)
    keys = [(sample.sample_id, repeat) for sample in samples for repeat in range(repeats)]
    rows = [replace(row, prompt=first[row.sample_id], metadata=_weight(row.metadata), evidence={}, tags=()) for row in rows]
    head = results.get("headline") or {}
    outputs = run.outputs()
    reasons = tuple(results.get("reasons") or ())
    if not results:
        done = sum(output.outcome is Outcome.OK for output in outputs)
        reasons = (f"{done} of {len(keys)} outputs are finished and none is scored; the run has no results.json.",)
    model = manifest.get("model") or {}
    return Verdicts(
        path=run.path,
        model=_name(model),
        weights=str(model.get("sha256") or ""),
        suite=str(manifest.get("suite")),
        title=str(manifest.get("title") or manifest.get("suite")),
        profile=str(manifest.get("profile") or ""),
        protocol=str((manifest.get("protocol") or {}).get("name") or ""),
        seed=int(manifest.get("seed") or 0),
        measurement=likeness.measurement(manifest),
        sampling={key: (resolved.get("generate") or {}).get(key) for key in likeness.SAMPLING if key != "batch_size"},
        value=value,
        headline=str(report.get("headline", "macro_over_tasks")),
        known=head.get("value"),
        low=head.get("low"),
        high=head.get("high"),
        scale=scale,
        status=str(results.get("status") or "incomplete"),
        reasons=reasons,
        table=dict(zip(keys, rows, strict=True)),
        outputs_sha256=_outputs_digest(keys, outputs),
        created=str(manifest.get("created") or ""),
        commit=str((manifest.get("git") or {}).get("commit") or ""),
    )


def open_verdicts(path: str | Path) -> Verdicts:
    """Open a run folder or a baseline file.

    Raises:
        DataError: neither.
        StoreError: a damaged run folder.
    """
    path = Path(path)
    if path.is_file():
        from evals.analysis import baseline

        return baseline.read(path)
    if not path.exists():
        raise DataError(f"{path}: got nothing there; expected a run folder or a baseline file. uniar-eval ls runs lists runs.")
    return of_run(RunReader(path))


def refuse_unlike(first: Verdicts, other: Verdicts, *, across_seeds: bool = False) -> None:
    """Refuse two that do not measure the same thing.

    Raises:
        DataError: naming the settings that differ, the protocol first.
    """
    told = likeness.differences(first.measurement, other.measurement, names=("in the first", "in the second"))
    if not told and first.seed != other.seed and not across_seeds:
        told = [f"seed: {first.seed} in the first, {other.seed} in the second (--across-seeds pairs by prompt alone)"]
    if told:
        more = f" (and {len(told) - 4} more)" if len(told) > 4 else ""
        raise DataError(
            f"{first.path} and {other.path}: got different measurements ({'; '.join(told[:4])}{more}); expected equal ones, since a "
            "difference in score would not be the models'."
        )


def differences_allowed(first: Verdicts, other: Verdicts) -> list[str]:
    """Return how the models' own sampling differs: no reason to refuse, and part of what a difference may come from."""
    told = likeness.differences(first.sampling, other.sampling, names=("in the first", "in the second"))
    return [f"generate.{phrase}" for phrase in told]


def _first_of_prompt(samples: Sequence[Sample]) -> dict[str, str]:
    """Sample id -> the first sample id that asks the same prompt."""
    seen: dict[str, str] = {}
    return {sample.sample_id: seen.setdefault(aggregate.prompt_key(sample), sample.sample_id) for sample in samples}


def _weight(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"category_weight": metadata["category_weight"]} if "category_weight" in metadata else {}


def _name(model: Mapping[str, Any]) -> str:
    name = str(model.get("id") or "unnamed model")
    # A checkpoint's path says where somebody keeps their files; a hub's id, `owner/name`, stays whole.
    return name.rstrip("/").rpartition("/")[2] or name if name.startswith(("/", ".", "~")) else name


def _outputs_digest(keys: Sequence[Key], outputs: Iterable[Output]) -> str:
    made = {(output.sample_id, output.repeat): output for output in outputs if output.outcome is Outcome.OK}
    if any(key not in made for key in keys):
        return ""
    rows = [[*key, made[key].image_sha256, made[key].text] for key in keys]
    return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()
