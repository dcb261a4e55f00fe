"""How many prompts would show a difference, and what difference a run's prompts can show.

With a baseline the variance is that of the paired differences seen. From one run alone it is what two runs of equal models would
have that differ by their draws only: twice the spread of a prompt's own outputs, so it needs two outputs a prompt. A model that
really differs moves some prompts more than others; the variance is then larger, and the numbers here are a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evals import ranks
from evals.analysis import pairing
from evals.analysis.compare import against
from evals.analysis.verdicts import Verdicts, refuse_unlike
from evals.errors import DataError
from evals.stats import errors, power

DEFAULT_EFFECT = 0.02
"""Two points, of the suite's scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Power:
    """Sizes and effects of one suite's headline."""

    run: Verdicts
    basis: str
    """Where the variance comes from, in words."""
    variance: float
    """Of the paired difference, times the number of prompts."""
    within: float | None
    """The part of it that more outputs a prompt lower; None where that is not known."""
    prompts: int
    strata: int
    repeats: int
    effect: float
    alpha: float
    power: float

    @property
    def detectable(self) -> float:
        """Minimum detectable effect at the run's size."""
        return power.detectable(self.variance, self.prompts, alpha=self.alpha, power=self.power, strata=self.strata)

    @property
    def needed(self) -> int:
        """Prompts with which the effect is shown."""
        return power.needed(self.variance, self.effect, alpha=self.alpha, power=self.power, strata=self.strata)

    @property
    def achieved(self) -> float:
        """Chance of showing the effect at the run's size."""
        return power.achieved(self.variance, self.effect, self.prompts, alpha=self.alpha, strata=self.strata)

    @property
    def repeats_needed(self) -> int | None:
        """Outputs a prompt that show the effect on the same prompts; None when none do."""
        size = (self.prompts, self.strata, self.repeats)
        return repeats_for(self.variance, self.within, size, self.effect, alpha=self.alpha, wanted=self.power)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "suite": self.run.suite,
            "model": self.run.model,
            "basis": self.basis,
            "effect": self.effect,
            "alpha": self.alpha,
            "power": self.power,
            "prompts": self.prompts,
            "repeats": self.repeats,
            "variance_per_prompt": self.variance,
            "detectable": self.detectable,
            "achieved_power": self.achieved,
            "prompts_needed": self.needed,
            "repeats_needed": self.repeats_needed,
        }


def repeats_for(
    variance: float, within: float | None, size: tuple[int, int, int], effect: float, *, alpha: float, wanted: float
) -> int | None:
    """Return the outputs a prompt that show an effect on the prompts there are; None when none do, or nobody knows.

    Args:
        variance: of the paired difference per prompt, at the present outputs a prompt.
        within: the part that comes from the draws.
        size: prompts, strata, present outputs a prompt.
        effect: above 0.
        alpha: of the test.
        wanted: power.
    """
    if within is None:
        return None
    prompts, strata, repeats = size
    one = power.detectable(1.0, prompts, alpha=alpha, power=wanted, strata=strata)
    return power.repeats_needed(max(0.0, variance - within), within * repeats, target=(effect / one) ** 2)


def of_run(
    run: Verdicts,
    baseline: Verdicts | None = None,
    *,
    effect: float | None = None,
    alpha: float = 0.05,
    wanted: float = 0.8,
    across_seeds: bool = False,
) -> Power:
    """Return sizes and effects for a one-sided paired test of the headline.

    Args:
        run: whose prompts are asked again.
        baseline: what it is paired with; None takes the run's own repeats.
        effect: to be shown, in the headline's unit; None takes two points of the suite's scale.
        alpha: of the test.
        wanted: power.
        across_seeds: as for `compare`.

    Raises:
        DataError: nothing tells the variance.
    """
    span = abs(run.scale[1] - run.scale[0])
    common = {"run": run, "repeats": run.repeats, "effect": effect or DEFAULT_EFFECT * span, "alpha": alpha, "power": wanted}
    if baseline is not None:
        refuse_unlike(baseline, run, across_seeds=across_seeds)
        overall = against(baseline, run).overall
        if overall is None or overall.spread is None:
            raise DataError(f"{run.path}: got too few prompts to tell how differences vary; expected two or more of each task.")
        return Power(
            basis=f"paired differences to {baseline.model}",
            variance=overall.spread.error**2 * overall.prompts,
            within=None if overall.within is None else overall.within * overall.prompts,
            prompts=overall.prompts,
            strata=overall.strata,
            **common,
        )
    return _alone(run, span, common)


def _alone(run: Verdicts, span: float, common: dict[str, Any]) -> Power:
    recipe = run.recipe()
    rows = [row for row in run.table.values() if row.value is not None]
    if recipe is None or recipe.values or not rows:
        raise DataError(f'{run.path}: got the headline "{run.headline}"; expected a mean of scores, or a second run: --baseline FILE|RUN.')
    keys, _ = ranks.add_up(rows, recipe)
    sizes = [len(part) for part in keys]
    drawn = pairing.drawn(rows, [row.value for row in rows], recipe)  # type: ignore[misc]
    if drawn is None:
        raise DataError(
            f"{run.path}: got one output a prompt, which does not tell how far draws differ; expected two or more "
            "(--set generate.repeats=2), or a second run: --baseline FILE|RUN."
        )
    variance = sum(sizes) * errors.with_added(2.0 * drawn, sizes, span)
    return Power(
        basis="two runs of equal models, from the spread of each prompt's own outputs",
        variance=variance,
        within=sum(sizes) * 2.0 * drawn,
        prompts=sum(sizes),
        strata=len(sizes),
        **common,
    )
