"""Holm's step-down correction: over all tests, the chance of even one false alarm stays at alpha, whatever depends on what.

Source: Holm 1979, A simple sequentially rejective multiple test procedure.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return the adjusted p values in the given order; None stays None and counts as no test.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    order = sorted((at for at, value in enumerate(values) if value is not None), key=lambda at: values[at])  # type: ignore[arg-type,return-value]
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, at in enumerate(order):
        value = values[at]
        assert value is not None
        highest = max(highest, min(1.0, (len(order) - rank) * value))
        adjusted[at] = highest
    return adjusted
