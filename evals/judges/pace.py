"""When the next request may leave: a rate for all threads together, a pause that the server asked for, growing waits.

The clock and the sleep are arguments, so that tests wait no real seconds.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_BACKOFF = 60.0
"""Seconds; a wait of our own grows no further."""


class Pace:
    """The gate in front of a server; one for all threads that ask it.

    Args:
        requests_per_minute: requests start at least 60 / this seconds apart; None sets no rate.
        clock: seconds that only grow.
        sleep: waits seconds.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0
        self._closed_until = 0.0

    def enter(self) -> None:
        """Wait until the next request may leave."""
        while True:
            with self._lock:
                now = self._clock()
                opens = max(self._next, self._closed_until)
                if now >= opens:
                    self._next = now + self._gap
                    return
            # Looked at again after the sleep: another thread may have gone first, or been told to wait meanwhile.
            self._sleep(opens - now)

    def hold(self, seconds: float) -> None:
        """Let no request of any thread leave for so long: the server's limit is one for all of them."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)

    def sleep(self, seconds: float) -> None:
        """Wait, this thread alone."""
        if seconds > 0:
            self._sleep(seconds)


def backoff(key: str, attempt: int, *, first: float) -> float:
    """Return the seconds to wait after a failed attempt: doubled each time, with a jitter that is the same in every run.

    Args:
        key: of the request; two requests that failed together do not come back together.
        attempt: number of the failed attempt, from 0.
        first: longest wait after attempt 0, seconds; the wait lies in the upper half of what is allowed.
    """
    drawn = int.from_bytes(hashlib.sha256(f"{key}:{attempt}".encode()).digest()[:8], "big") / 2**64
    return min(LONGEST_BACKOFF, first * 2.0 ** min(attempt, 30)) * (0.5 + 0.5 * drawn)


def retry_after(headers: Mapping[str, str], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Return the seconds that a response asks to wait (`retry-after-ms`, or `Retry-After` as seconds or a date).

    None when it does not say, or says what cannot be read.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        # A NaN compares false, an infinity is no wait that anybody meant.
        return seconds if 0 <= seconds < float("inf") else None
    try:
        wanted = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, ((wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC)) - now()).total_seconds())
