"""The real server's rate limits: above them row changes, or broadcasts from the database, are silently dropped.

Events are counted in windows. At the end of each window the average per second of the last ones (fewer soon after the
start) is compared with the limit, and the result holds until the next window ends. Row changes and broadcasts are
counted separately; a dropped event is not counted.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Windows:
    """How events are counted: the last `number` windows of `seconds` each, all forgotten after `forgotten_after`
    windows if they are empty. `warning` is logged when events begin to be dropped."""

    seconds: float
    number: int
    forgotten_after: int
    warning: str


CHANGES: Final = Windows(
    5.0, 12, 60, "MessagePerSecondRateLimitReached: postgres_changes are dropped for everyone: %.0f events/s, limit %d"
)
BROADCASTS: Final = Windows(
    1.0,
    60,
    600,
    "UnableToBroadcastChanges: too_many_requests: broadcasts from the database are dropped: %.0f events/s, limit %d",
)

log = logging.getLogger(__name__)


class RateLimit:
    """Counts events from its first use; `events_per_second` None means no limit. `clock` returns seconds."""

    def __init__(
        self,
        events_per_second: int | None,
        clock: Callable[[], float] = time.monotonic,
        windows: Windows = CHANGES,
    ) -> None:
        self._limit = events_per_second
        self._clock = clock
        self._windows = windows
        self._counts: deque[int] = deque(maxlen=windows.number)
        self._current = 0
        self._ended = 0
        self._next_end: float | None = None
        self._exceeded = False

    def exceeded(self) -> bool:
        """True if events must be dropped now."""
        if self._limit is not None:
            self._end_windows(self._limit)
        return self._exceeded

    def count(self, events: int) -> None:
        """Add delivered events: a change for three subscriptions counts three times, a broadcast also once itself."""
        if self._limit is not None:
            self._end_windows(self._limit)
            self._current += events

    def _end_windows(self, limit: int) -> None:
        now = self._clock()
        if self._next_end is None:
            self._next_end = now  # the first window is empty, and ends at once
        # Long idle times: windows before these would be forgotten anyway.
        self._next_end = max(self._next_end, now - 2 * self._windows.forgotten_after * self._windows.seconds)
        while now >= self._next_end:
            self._end_window(limit)
            self._next_end += self._windows.seconds

    def _end_window(self, limit: int) -> None:
        self._ended += 1
        if self._ended % self._windows.forgotten_after == 0 and not any(self._counts):
            self._counts.clear()
        self._counts.append(self._current)
        self._current = 0
        average = sum(self._counts) / len(self._counts) / self._windows.seconds
        if average >= limit and not self._exceeded:
            log.warning(self._windows.warning, average, limit)
        self._exceeded = average >= limit
