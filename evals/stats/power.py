"""How many prompts show an effect, and what effect a number of prompts can show, from the variance of paired differences.

Source: the usual formula of a one-sided paired test, n = (t_{1-alpha} + t_{power})^2 V / effect^2 (Chow, Shao & Wang 2008, section
3.1), with t quantiles at the degrees of freedom that n has. V is the variance of the difference times the number of prompts
(`errors.variance_per_prompt`), so that verdicts, graded values, means over tasks and repeats all go the same way; for verdicts
with one output a prompt it is McNemar's: share of differing pairs minus the squared difference.
"""

from __future__ import annotations

import math

from evals.stats.distributions import t_cdf, t_quantile


def detectable(variance: float, prompts: int, *, alpha: float = 0.05, power: float = 0.8, strata: int = 1) -> float:
    """Return the minimum detectable effect: the smallest true difference that is shown with the given power.

    Args:
        variance: of the paired difference, per prompt.
        prompts: that are asked, more than `strata`.
        alpha: of the one-sided test.
        power: chance of showing the effect.
        strata: tasks whose means are averaged; each costs a degree of freedom.
    """
    return _quantiles(alpha, power, prompts - strata) * math.sqrt(variance / prompts)


def needed(variance: float, effect: float, *, alpha: float = 0.05, power: float = 0.8, strata: int = 1) -> int:
    """Return the smallest number of prompts with which `effect` (above 0) is shown with the given power."""
    high = strata + 2
    while detectable(variance, high, alpha=alpha, power=power, strata=strata) > effect:
        high *= 2
    low = strata + 1
    while low < high:
        middle = (low + high) // 2
        if detectable(variance, middle, alpha=alpha, power=power, strata=strata) > effect:
            low = middle + 1
        else:
            high = middle
    return low


def achieved(variance: float, effect: float, prompts: int, *, alpha: float = 0.05, strata: int = 1) -> float:
    """Return the chance that a true difference of `effect` is shown with this number of prompts."""
    if variance <= 0.0:
        return 1.0 if effect > 0 else alpha
    df = max(1, prompts - strata)
    return t_cdf(effect / math.sqrt(variance / prompts) - t_quantile(1 - alpha, df), df)


def repeats_needed(between: float, within: float, *, target: float) -> int | None:
    """Return the outputs a prompt that bring the variance per prompt down to `target` when the prompts stay the same.

    Args:
        between: variance of the prompts' true differences, which more outputs do not lower.
        within: variance of one output's difference around its prompt's.
        target: variance per prompt, above 0.

    Returns:
        None when no number of outputs is enough.
    """
    return None if target <= between else max(1, math.ceil(within / (target - between) - 1e-9))


def _quantiles(alpha: float, power: float, df: float) -> float:
    return t_quantile(1 - alpha, df) + t_quantile(power, df)
