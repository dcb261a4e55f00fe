"""One step ahead, nothing else changes."""

from __future__ import annotations

import threading

import pytest

from uniar.errors import TrainingError
from uniar.training.prefetch import Ahead


@pytest.mark.parametrize("threaded", [True, False])
def test_a_step_is_prepared_once_and_taken_in_any_order(threaded):
    made = []

    def prepare(step: int) -> int:
        made.append((step, threading.current_thread() is threading.main_thread()))
        return step * 10

    ahead = Ahead(prepare, threaded=threaded)
    assert ahead.take(0) == 0
    ahead.start(1)
    ahead.start(1)
    assert ahead.take(1) == 10
    # A resumed run goes on elsewhere: what was begun is not mistaken for it.
    ahead.start(2)
    assert ahead.take(7) == 70 and ahead.take(2) == 20
    assert [step for step, _ in made if step in (0, 1, 7)] == [0, 1, 7]
    assert dict(made)[1] is not threaded


def test_a_mistake_in_the_data_reaches_whoever_takes_it():
    def prepare(step: int) -> int:
        raise TrainingError(f"sample {step}: broken.")

    ahead = Ahead(prepare, threaded=True)
    ahead.start(3)
    with pytest.raises(TrainingError, match="sample 3: broken"):
        ahead.take(3)
