"""The real server's rate limit on postgres_changes: above it all changes are silently dropped for everyone.

Events are counted in windows of five seconds. At the end of each window the average per second of the last
twelve (fewer soon after the start) is compared with the limit, and the result holds until the next window ends.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 5.0
WINDOWS: Final = 12
FORGET_AFTER_WINDOWS: Final = 60

log = logging.getLogger(__name__)


class RateLimit:
    """Counts events from its first use; `events_per_second` None means no limit. `clock` returns seconds."""

    def __init__(self, events_per_second: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = events_per_second
        self._clock = clock
        self._counts: deque[int] = deque(maxlen=WINDOWS)
        self._current = 0
        self._ended = 0
        self._next_end: float | None = None
        self._exceeded = False

    def exceeded(self) -> bool:
        """True if changes must be dropped now."""
        if self._limit is None:
            return False
        now = self._clock()
        if self._next_end is None:
            self._next_end = now  # the first window is empty, and ends at once
        while now >= self._next_end:
            self._end_window(self._limit)
            self._next_end += WINDOW_SECONDS
        return self._exceeded

    def count(self, events: int) -> None:
        """Add delivered events (a change for three subscriptions counts three times)."""
        self._current += events

    def _end_window(self, limit: int) -> None:
        self._ended += 1
        if self._ended % FORGET_AFTER_WINDOWS == 0 and not any(self._counts):
            self._counts.clear()
        self._counts.append(self._current)
        self._current = 0
        average = sum(self._counts) / len(self._counts) / WINDOW_SECONDS
        if average >= limit and not self._exceeded:
            log.warning(
                "MessagePerSecondRateLimitReached: postgres_changes are dropped for everyone: %.0f events/s, limit %d",
                average,
                limit,
            )
        self._exceeded = average >= limit
