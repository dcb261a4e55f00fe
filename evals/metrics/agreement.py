"""How far two scorers, or two judges, agree on the same outputs.

Krippendorff's alpha for two raters (Krippendorff 2019, Content Analysis, ch. 12): 1 - observed / expected disagreement
over the pairs that both rated; interval differences for numbers, which for values 0 and 1 is the nominal form as well.
Spearman's rank correlation with mean ranks for ties; Kendall's tau-b. Intervals by resampling prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evals.metrics.bootstrap import generator, percentiles

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 500


def krippendorff_alpha(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return alpha of two raters.

    Args:
        a, b: float64 (n,), the two ratings of each unit.

    Returns:
        At most 1; None when all ratings are equal (there is nothing to tell apart) or there is none.
    """
    import numpy as np

    if len(a) == 0:
        return None
    pooled = np.concatenate([a, b])
    n = len(pooled)
    # Sum over all ordered pairs of (x - y)^2 is 2 (n sum x^2 - (sum x)^2).
    centred = pooled - pooled.mean()
    expected = 2.0 * n * float((centred**2).sum()) / (n * (n - 1))
    if expected <= 1e-24:
        return None
    observed = float(((a - b) ** 2).mean())
    return 1.0 - observed / expected


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return Spearman's rank correlation; None when one side is constant or there are fewer than two pairs."""
    import numpy as np

    if len(a) < 2:
        return None
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    below = math.sqrt(float((x**2).sum()) * float((y**2).sum()))
    return None if below <= 1e-12 else float(np.dot(x, y)) / below


def kendall_tau(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return Kendall's tau-b; None when one side is constant or there are fewer than two pairs."""
    import numpy as np

    if len(a) < 2:
        return None
    same = left = right = 0.0
    for i in range(len(a) - 1):
        x, y = np.sign(a[i + 1 :] - a[i]), np.sign(b[i + 1 :] - b[i])
        same += float((x * y).sum())
        left += float((x != 0).sum())
        right += float((y != 0).sum())
    below = math.sqrt(left * right)
    return None if below == 0 else same / below


def agreement(pairs: Sequence[tuple[str, float, float]], *, seed: int, name: str, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Return how two ratings of the same outputs agree.

    Args:
        pairs: (prompt, first value, second value) of each output that both scored.
        seed: the run's seed.
        name: of the comparison; equal seed and name give equal draws.
        resamples: draws of the interval of alpha.

    Returns:
        `n`, `n_samples`, `equal` (share of equal values), `difference` (mean of second minus first), `alpha` with `alpha_low`
        and `alpha_high` (95%), `spearman`, `kendall`; what cannot be told is None.
    """
    import numpy as np

    a = np.array([pair[1] for pair in pairs], dtype=np.float64)
    b = np.array([pair[2] for pair in pairs], dtype=np.float64)
    clusters: dict[str, list[int]] = {}
    for index, (prompt, _, _) in enumerate(pairs):
        clusters.setdefault(prompt, []).append(index)
    low, high = _interval(list(clusters.values()), lambda i: krippendorff_alpha(a[i], b[i]), seed=seed, name=name, resamples=resamples)
    return {
        "n": len(pairs),
        "n_samples": len(clusters),
        "equal": float((np.abs(a - b) <= 1e-12).mean()) if len(pairs) else None,
        "difference": float((b - a).mean()) if len(pairs) else None,
        "alpha": krippendorff_alpha(a, b),
        "alpha_low": low,
        "alpha_high": high,
        "spearman": spearman(a, b),
        "kendall": kendall_tau(a, b),
    }


def _interval(
    clusters: Sequence[Sequence[int]],
    statistic: Callable[[np.ndarray], float | None],
    *,
    seed: int,
    name: str,
    resamples: int,
) -> tuple[float | None, float | None]:
    import numpy as np

    if len(clusters) < 2:
        return None, None
    draw = generator(seed, f"agreement/{name}")
    members = [np.array(cluster) for cluster in clusters]
    found = []
    for _ in range(resamples):
        chosen = draw.integers(0, len(members), size=len(members))
        value = statistic(np.concatenate([members[i] for i in chosen]))
        if value is not None:
            found.append(value)
    return percentiles(np.array(found)) if len(found) >= resamples // 2 else (None, None)


def _ranks(values: np.ndarray) -> np.ndarray:
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2.0)[inverse]
