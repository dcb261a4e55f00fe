"""May this run ship? Its headline against a baseline's, with the fall that is tolerated as margin.

Two one-sided questions on the paired difference, each at alpha:

- pass: the fall is shown to be smaller than the margin (non-inferiority). A run whose true fall is as large as the margin passes
  with a chance of alpha at most. With several checks all must pass, which needs no correction (intersection-union test).
- regression: not passed, and shown to be worse at all (sign-flip test, corrected over the checks by Holm). A run that is truly as
  good is called a regression with a chance of alpha at most.

What is neither is inconclusive, and the number of prompts that would decide is told. What cannot be judged is incomplete (outputs or
scores are lacking) or invalid (another measurement, or gaps that could hide a regression).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evals.analysis import pairing
from evals.analysis.compare import OVERALL, Against, Delta, against
from evals.analysis.power import DEFAULT_EFFECT, repeats_for
from evals.analysis.verdicts import Verdicts, refuse_unlike
from evals.errors import DataError
from evals.registry import suggest
from evals.stats import margins as claims
from evals.stats import power
from evals.stats.errors import Spread
from evals.stats.holm import holm

PASS, REGRESSION, INCONCLUSIVE, INCOMPLETE, INVALID = "pass", "regression", "inconclusive", "incomplete", "invalid"
EXIT_CODES = {PASS: 0, REGRESSION: 1, INCOMPLETE: 3, INVALID: 3, INCONCLUSIVE: 4}
EVERY_TASK = "*"
NAMED = 20
"""Lost samples that are named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One gated number."""

    metric: str
    """`SUITE.overall` or `SUITE.TASK`."""
    margin: float
    delta: Delta | None
    better: int
    verdict: str
    bound: float | None = None
    """One-sided bound of the difference, higher is better: with 1 - alpha confidence it is not below."""
    p_worse: float | None = None
    """That the run is no worse, corrected over the checks by Holm."""
    prompts_needed: int | None = None
    """That would decide if the true difference is the one seen."""
    repeats_needed: int | None = None
    """Outputs a prompt that would decide on the same prompts; None when none would, or that is not known."""
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "metric": self.metric,
            "verdict": self.verdict,
            "margin": self.margin,
            "bound": self.bound,
            "p_worse": self.p_worse,
            "prompts_needed": self.prompts_needed,
            "repeats_needed": self.repeats_needed,
            "reason": self.reason,
            "delta": None if self.delta is None else self.delta.to_json(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the gate says."""

    verdict: str
    run: Verdicts
    baseline: Verdicts
    alpha: float
    checks: tuple[Check, ...] = ()
    tasks: tuple[Delta, ...] = ()
    worse_tasks: tuple[str, ...] = ()
    """Tasks that are worse after Holm's correction; told, and gated only where a margin names them."""
    lost: tuple[str, ...] = ()
    """Samples that the baseline had more of, `sample_id/repeat`, worst first."""
    n_lost: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regression, 3 incomplete or invalid, 4 inconclusive."""
        return EXIT_CODES[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "schema_version": 1,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "suite": self.baseline.suite,
            "protocol": self.baseline.protocol,
            "alpha": self.alpha,
            "run": {"path": str(self.run.path), "model": self.run.model, "headline": self.run.known, "status": self.run.status},
            "baseline": {"path": str(self.baseline.path), "model": self.baseline.model, "headline": self.baseline.known},
            "checks": [check.to_json() for check in self.checks],
            "tasks": [task.to_json() for task in self.tasks],
            "worse_tasks": list(self.worse_tasks),
            "lost": list(self.lost),
            "n_lost": self.n_lost,
            "reasons": list(self.reasons),
        }


def gate(
    run: Verdicts,
    baseline: Verdicts,
    *,
    margins: Mapping[str, float] | None = None,
    alpha: float = 0.05,
    wanted: float = 0.8,
    across_seeds: bool = False,
) -> Verdict:
    """Judge a run against a baseline.

    Args:
        run: the candidate.
        baseline: a run, or a baseline file.
        margins: `SUITE.overall`, `SUITE.TASK` or `SUITE.*` (every task) -> tolerated fall, in the number's unit. The overall number is
            always gated, without a margin of its own by two points of the suite's scale.
        alpha: of each one-sided test.
        wanted: power for the number of prompts that would decide.
        across_seeds: pair by prompt alone where the seeds differ.

    Raises:
        DataError: a margin that names nothing of the suite.
    """
    wanted_margins = resolve_margins(margins or {}, baseline)
    common = {"run": run, "baseline": baseline, "alpha": alpha}
    try:
        refuse_unlike(baseline, run, across_seeds=across_seeds)
    except DataError as error:
        return Verdict(verdict=INVALID, reasons=(str(error),), **common)
    lacking = [f"{side.path}: {' '.join(side.reasons) or 'incomplete.'}" for side in (run, baseline) if side.status != "complete"]
    if lacking:
        return Verdict(verdict=INCOMPLETE, reasons=tuple(lacking), **common)
    try:
        found = against(baseline, run)
    except DataError as error:
        return Verdict(verdict=INVALID, reasons=(str(error),), **common)
    checks = _checks(found, baseline, wanted_margins, alpha=alpha, wanted=wanted)
    verdict, reasons = _whole(checks), list(found.notes)
    if found.overall_of.startswith("mean"):
        reasons.insert(0, f"The overall number is the {found.overall_of}.")
    if verdict == PASS and (gone := pairing.lost_scores(baseline, run)):
        hidden = _hidden(run, baseline, list(gone), wanted_margins, alpha=alpha, wanted=wanted)
        if hidden:
            verdict = INVALID
            reasons.insert(0, hidden)
    lost = _lost(found, baseline)
    return Verdict(
        verdict=verdict,
        checks=tuple(checks),
        tasks=found.tasks,
        worse_tasks=tuple(
            task.name for task in found.tasks if task.p_holm is not None and task.p_holm <= alpha and task.delta * baseline.better < 0
        ),
        lost=tuple(lost[:NAMED]),
        n_lost=len(lost),
        reasons=tuple(reasons),
        **common,
    )


def resolve_margins(margins: Mapping[str, float], baseline: Verdicts) -> dict[str, float]:
    """Return `overall` or task -> margin.

    Raises:
        DataError: another suite, an unknown task, or a margin below 0.
    """
    found = {OVERALL: DEFAULT_EFFECT * abs(baseline.scale[1] - baseline.scale[0])}
    known = [OVERALL, *baseline.tasks]
    for name, margin in margins.items():
        part = name.removeprefix(f"{baseline.suite}.")
        if part == name or part not in (*known, EVERY_TASK):
            names = [f"{baseline.suite}.{each}" for each in (*known, EVERY_TASK)]
            raise DataError(f'--margin: got "{name}"; expected one of {", ".join(names)}.{suggest(name, names)}')
        if not (math.isfinite(margin) and margin >= 0.0):
            raise DataError(f"--margin: {name}: got {margin:g}; expected a tolerated fall of at least 0.")
        found |= dict.fromkeys(baseline.tasks, margin) if part == EVERY_TASK else {part: margin}
    return found


def _checks(found: Against, baseline: Verdicts, margins: Mapping[str, float], *, alpha: float, wanted: float) -> list[Check]:
    deltas = {OVERALL: found.overall} | {task.name: task for task in found.tasks}
    better = baseline.better
    gated = [(name, margin, deltas.get(name)) for name, margin in margins.items()]
    tails = [
        None if delta is None or delta.tail is None else (delta.tail.lower if better > 0 else delta.tail.upper) for _, _, delta in gated
    ]
    same = bool(found.run.outputs_sha256) and found.run.outputs_sha256 == baseline.outputs_sha256
    return [
        _check(f"{baseline.suite}.{name}", margin, delta, p, better=better, same=same, alpha=alpha, wanted=wanted, repeats=baseline.repeats)
        for (name, margin, delta), p in zip(gated, holm(tails), strict=True)
    ]


def _check(
    metric: str,
    margin: float,
    delta: Delta | None,
    p: float | None,
    *,
    better: int,
    same: bool,
    alpha: float,
    wanted: float,
    repeats: int,
) -> Check:
    common = {"metric": metric, "margin": margin, "delta": delta, "better": better, "p_worse": p}
    if delta is None:
        return Check(verdict=INVALID, reason="no output of it is scored in both.", **common)
    differ = delta.counts[pairing.WON] + delta.counts[pairing.LOST]
    if same and not differ:
        return Check(verdict=PASS, bound=0.0, reason="every output is the baseline's, and so is every score.", **common)
    if delta.spread is None:
        return Check(verdict=INCONCLUSIVE, reason=f"{delta.prompts} prompts are too few to tell how scores vary.", **common)
    # From here on higher is better.
    spread = Spread(better * delta.delta, delta.spread.error, delta.spread.df)
    bound = spread.bound(alpha)
    if not differ:
        bound = min(bound, -delta.span * claims.unseen(delta.prompts, alpha=alpha))
    if bound > -margin:
        return Check(verdict=PASS, bound=bound, reason=f"a fall of {margin:g} or more is ruled out.", **common)
    if p is not None and p <= alpha:
        return Check(
            verdict=REGRESSION, bound=bound, reason=f"worse by {-spread.value:.4f}, and a fall of {margin:g} is not ruled out.", **common
        )
    prompts, again = _would_decide(spread, delta, margin, alpha=alpha, wanted=wanted, repeats=repeats)
    return Check(
        verdict=INCONCLUSIVE,
        bound=bound,
        prompts_needed=prompts,
        repeats_needed=again,
        reason=_undecided(prompts, again, delta, repeats, wanted),
        **common,
    )


def _would_decide(
    spread: Spread, delta: Delta, margin: float, *, alpha: float, wanted: float, repeats: int
) -> tuple[int | None, int | None]:
    """Return prompts, and outputs a prompt on the same prompts, that decide either way if the true difference is the one seen."""
    # What has to be told apart from 0: the room above the margin for a pass, the fall itself for a regression.
    effects = [effect for effect in (spread.value + margin, -spread.value) if effect > 1e-9 * max(1.0, delta.span)]
    if not effects:
        return None, None
    effect, variance = max(effects), spread.error**2 * delta.prompts
    within = None if delta.within is None else delta.within * delta.prompts
    prompts = power.needed(variance, effect, alpha=alpha, power=wanted, strata=delta.strata)
    if not delta.counts[pairing.WON] + delta.counts[pairing.LOST]:
        # Nothing differs: that the margin is not reached is shown by as many prompts without a difference.
        prompts = max(prompts, math.ceil(math.log(alpha) / math.log1p(-min(1 - 1e-12, margin / delta.span))) + 1)
    again = repeats_for(variance, within, (delta.prompts, delta.strata, repeats), effect, alpha=alpha, wanted=wanted)
    return max(prompts, delta.prompts + 1), None if again is None else max(again, repeats + 1)


def _undecided(prompts: int | None, again: int | None, delta: Delta, repeats: int, wanted: float) -> str:
    if prompts is None:
        return "no number of prompts decides: the difference seen is as large as the margin."
    told = f"{prompts:,} prompts would decide with {wanted:.0%} power if the true difference is the one seen (now {delta.prompts:,})"
    return f"{told}; or {again:,} outputs a prompt on the same prompts (now {repeats})." if again else f"{told}."


def _whole(checks: Sequence[Check]) -> str:
    verdicts = {check.verdict for check in checks}
    return next(verdict for verdict in (INVALID, REGRESSION, INCONCLUSIVE, PASS) if verdict in verdicts)


def _hidden(
    run: Verdicts, baseline: Verdicts, gone: Sequence[pairing.Key], margins: Mapping[str, float], *, alpha: float, wanted: float
) -> str:
    """Return why a pass may come from scores that are gone, empty when it stands even if they are counted as wholly wrong."""
    counts = Counter(run.table[key].outcome.value if key in run.table else "not planned" for key in gone)
    told = (
        f"{len(gone)} outputs have a score in the baseline and none in the run ({', '.join(f'{n} {name}' for name, n in counts.items())})"
    )
    low, high = sorted(baseline.scale)
    recipe = baseline.recipe()
    if recipe is None or recipe.values or not all(low <= row.value <= high for row in run.table.values() if row.value is not None):
        return f"{told}; what they hide cannot be bounded."
    worst = {key: replace(run.table[key], value=run.scale[0]) if key in gone else row for key, row in run.table.items()}
    verdict = _whole(
        _checks(
            against(baseline, replace(run, table=worst, known=_again(worst, recipe), outputs_sha256="")),
            baseline,
            margins,
            alpha=alpha,
            wanted=wanted,
        )
    )
    return "" if verdict == PASS else f"{told}; counted as wholly wrong, the verdict would be {verdict}."


def _again(table: Mapping[pairing.Key, Any], recipe: Any) -> float:
    from evals import ranks
    from evals.stats.sums import value

    _, parts = ranks.add_up([row for row in table.values() if row.value is not None], recipe)
    return value(parts, recipe.statistic)


def _lost(found: Against, baseline: Verdicts) -> list[str]:
    matched = found.matched
    apart = zip(matched.keys, matched.apart(), strict=True)
    lost = [(baseline.better * difference, key) for key, difference in apart if pairing.result(difference, baseline.better) == pairing.LOST]
    return [f"{name}/{repeat}" for _, (name, repeat) in sorted(lost, key=lambda row: row[0])]
