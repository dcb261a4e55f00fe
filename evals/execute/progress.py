"""How far it is, how fast, how long still: one rewritten line on a terminal, plain lines at intervals elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

BAR = 24
"""Cells of the bar."""
LINE_SECONDS = 10.0
"""Between plain lines."""
REDRAW_SECONDS = 0.1


class Progress:
    """Progress of one stage.

    Args:
        stage: word at the start of the line.
        total: items to do in this call.
        stream: where to write; a terminal gets the bar.
        clock: seconds, monotonic.
    """

    def __init__(self, stage: str, total: int, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stage = stage
        self._total = total
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._done = 0
        self._failed = 0
        self._started = clock()
        self._shown = self._started

    def step(self, *, failed: bool = False) -> None:
        """Count one finished item and show it when it is time."""
        self._done += 1
        self._failed += failed
        now = self._clock()
        wait = REDRAW_SECONDS if self._terminal else LINE_SECONDS
        if now - self._shown >= wait or self._done == self._total:
            self._shown = now
            self._write(now)

    def close(self) -> None:
        """End the bar's line, so that what follows starts on its own."""
        if self._terminal and self._done:
            self._stream.write("\n")
            self._stream.flush()

    def _write(self, now: float) -> None:
        text = describe(self._stage, self._done, self._total, now - self._started, failed=self._failed)
        if self._terminal:
            filled = BAR * self._done // max(self._total, 1)
            # Carriage return and "erase to the end of the line": a shorter text leaves nothing of a longer one.
            self._stream.write(f"\r{'█' * filled}{'░' * (BAR - filled)} {text}\x1b[K")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def describe(stage: str, done: int, total: int, seconds: float, *, failed: int = 0) -> str:
    """Return `stage done/total, rate, time left`.

    >>> describe("generate", 10, 40, 5.0)
    'generate 10/40 (25%), 2.0/s, 15 s left'
    """
    rate = done / seconds if seconds > 0 else 0.0
    left = (total - done) / rate if rate else 0.0
    speed = f"{rate:.1f}/s" if rate >= 1 or not rate else f"{1 / rate:.1f} s each"
    tail = f", {duration(left)} left" if done < total else f", took {duration(seconds)}"
    errors = f", {failed} failed" if failed else ""
    return f"{stage} {done}/{total} ({100 * done // max(total, 1)}%), {speed}{tail}{errors}"


def duration(seconds: float) -> str:
    """Return seconds in words.

    >>> duration(5400)
    '1 h 30 min'
    """
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
