"""The next step's data while this step is computed.

One thread and one step ahead: reading, decoding and packing then cost no time of their own, and what is prepared is the same, since
it depends on the step alone. Leaves what is prepared to the stage.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Prepares steps.

    Args:
        prepare: step -> its data; what it raises is raised by `take`.
        threaded: False prepares a step when it is taken.
    """

    def __init__(self, prepare: Callable[[int], T], *, threaded: bool):
        self._prepare = prepare
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="data") if threaded else None
        self._waiting: dict[int, Future[T]] = {}

    def start(self, step: int) -> None:
        """Begin with a step."""
        if self._pool is not None and step not in self._waiting:
            self._waiting[step] = self._pool.submit(self._prepare, step)

    def take(self, step: int) -> T:
        """The data of a step, waiting for it when need be."""
        waiting = self._waiting.pop(step, None)
        # A resumed run starts elsewhere than what was begun.
        self._waiting.clear()
        return self._prepare(step) if waiting is None else waiting.result()
