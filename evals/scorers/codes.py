"""Use of a tokenizer's codes over a whole run: bit entropy, dead bits, dependence, distinct codes and perplexity of each level.

Formulas: `code_rules`. The codes are those that the model stored with its outputs (reconstruction, or generation).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError
from evals.metrics.bootstrap import statistic_of_sums
from evals.protocols import Roles
from evals.scorers import code_rules as rules
from evals.types import Metric, Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

UNITS = {"bit_entropy": "bits", "dead_bits": "count", "pair_information": "bits", "distinct_codes": "fraction", "perplexity": "count"}


class CodesScorer:
    """Set-level metrics of codes; a single output has no value."""

    name = "codes"
    version = "1"
    source = "entropy of binary codes: Zhao et al. 2024 (BSQ), section 3; perplexity of a codebook: van den Oord et al. 2017"
    needs_codes = True
    """Items of `measure` end with the codes, uint8 (N, L, G, D), or None."""
    set_only = True
    """Nothing to say of one output."""

    def __init__(self, *, roles: Roles) -> None:
        """Nothing to set; `roles` is not used."""

    def canary(self) -> None:
        """Four codes of two bits worked by hand: an even bit, a bit that is always 1."""
        import numpy as np

        level = rules.Level()
        level.add(np.array([[0, 1], [1, 1], [0, 1], [1, 1]], dtype=np.uint8))
        got = {"bit_entropy": float(rules.mean_bit_entropy(np.sum(level.images, axis=0))), **level.figures()}
        wanted = {"bit_entropy": 0.5, "dead_bits": 1.0, "pair_information": 0.0, "distinct_codes": 0.5, "perplexity": 2.0}
        if any(abs(got[key] - value) > 1e-12 for key, value in wanted.items()):
            raise CanaryError(f"scorer codes: canary: got {got}; expected {wanted}. The rules in evals/scorers/code_rules.py are wrong.")

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Say that the use of codes is a matter of the whole set."""
        return Score(
            sample_id=sample.sample_id,
            task=sample.task,
            repeat=output.repeat,
            scorer=self.name,
            outcome=Outcome.NOT_APPLICABLE,
            reason="a number of the whole set: see the metrics",
        )

    def measure(self, items: Iterable[Sequence[Any]], *, seed: int) -> list[Metric]:
        """Count the codes of all outputs; the bit entropy has an interval over images.

        Args:
            items: (sample, output, image, source, codes) of each output that is ok.
            seed: the run's seed.

        Raises:
            DataError: codes of different shapes of level or bits.
        """
        levels: list[rules.Level] = []
        form: tuple[int, int] | None = None
        known: set[str] = set()
        n = total = 0
        for sample, output, *_, codes in items:
            total += 1
            if codes is None:
                continue
            own = (codes.shape[1], codes.shape[3])
            form = form or own
            if own != form:
                raise DataError(
                    f"scorer codes: {sample.sample_id}/{output.repeat}: got {own[0]} levels of {own[1]} bits; expected {form[0]} of "
                    f"{form[1]} like the outputs before it. The run mixes two tokenizers."
                )
            levels = levels or [rules.Level() for _ in range(form[0])]
            for k, level in enumerate(levels):
                level.add(codes[:, k].reshape(-1, form[1]))
            n += 1
            known.add(sample.sample_id)
        if not n:
            # Images made elsewhere have no codes: said, not dropped.
            outcomes = {Outcome.NOT_APPLICABLE.value: total}
            return [_metric("bit_entropy (no codes)", "*", (None, None, None), 0, 0, total, outcomes)] if total else []
        outcomes = {Outcome.OK.value: n} | ({Outcome.NOT_APPLICABLE.value: total - n} if total > n else {})
        return [metric for k, level in enumerate(levels) for metric in _of_level(level, f"level{k}", n, len(known), total, outcomes, seed)]


def _of_level(level: rules.Level, task: str, n: int, samples: int, total: int, outcomes: dict[str, int], seed: int) -> list[Metric]:
    import numpy as np

    found = statistic_of_sums(np.stack(level.images), rules.mean_bit_entropy, seed=seed, name=f"bit_entropy/{task}")
    return [
        _metric("bit_entropy", task, (found.value, found.low, found.high), n, samples, total, outcomes),
        *(_metric(name, task, (value, None, None), n, samples, total, outcomes) for name, value in level.figures().items()),
    ]


def _metric(
    name: str, task: str, value: tuple[float | None, float | None, float | None], n: int, samples: int, total: int, outcomes: dict[str, int]
) -> Metric:
    return Metric(
        name=name, task=task, value=value[0], low=value[1], high=value[2], n=n, n_samples=samples, n_expected=total,
        outcomes=dict(outcomes), unit=UNITS.get(name, "bits"), kind="set",
    )  # fmt: skip
