"""Schedule of sweeps (polls of the queue without a wake-up), and detection of missed hints."""

import asyncio
import random
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic

import structlog

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.request import Claim
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.removals import Removals
from sentinel_worker.wake.wakeup import Wakeup

MIN_SWEEP_SECONDS = 0.25
LOOK_AHEAD_SECONDS = 1.0
"""Shortest time between looks for scheduled requests, after a hint that led to no claim."""
JITTER = 0.8, 0.95
"""Bounds of the pause between two sweeps, as a share of the setting: spreads the load of many workers. Two pauses and a
call take less than twice the setting."""
MAINTAIN_AFTER_PAUSES = 1.5
"""An idle worker maintains only at every second sweep, because an empty claim promotes due requests too."""
NEAR_PAUSES = 2.0
"""A request due after more sweeps than this does not advance the next sweep."""
MISSED_AFTER_SECONDS = 3.0
"""Upper limit of Realtime's own delay; a row that waited longer without a hint was missed."""

log = structlog.get_logger()


class Sweeps:
    """The time of the next sweep, and the sweep itself, which calls `drain` if an admin asks for it in the database."""

    def __init__(
        self,
        settings: Settings,
        *,
        queue: QueueClient,
        removals: Removals,
        wakeup: Wakeup | None,
        lanes: Sequence[str],
        drain: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._removals = removals
        self._wakeup = wakeup
        self._lanes = lanes
        self._drain = drain
        self._at = 0.0
        self._maintained_at = -inf
        self._nothing_due = False
        self._idle_since: float | None = None

    @property
    def due(self) -> bool:
        """True if it is time for a sweep."""
        return monotonic() >= self._at

    def within(self, seconds: float) -> None:
        """Sweep in `seconds` at the latest, because a request is due then."""
        self._at = min(self._at, monotonic() + seconds)

    def found_nothing(self) -> None:
        """Record an empty claim. If a hint led to it, sweep soon: its request may be scheduled."""
        hinted_at = None if self._wakeup is None else self._wakeup.last_hint_at
        if hinted_at is not None and hinted_at > self._maintained_at:
            self._nothing_due = False
            self._at = min(self._at, self._maintained_at + LOOK_AHEAD_SECONDS)

    async def sweep(self) -> None:
        """Schedule the next sweep, and maintain the queue (register, promote, expire) if a claim would not suffice."""
        began = monotonic()
        listening = self._wakeup is not None and self._wakeup.healthy
        usual = self._settings.sweep_seconds if listening else self._settings.sweep_degraded_seconds
        pause = usual * random.uniform(*JITTER)  # noqa: S311 - no secret
        if not self._nothing_due or began - self._maintained_at > MAINTAIN_AFTER_PAUSES * usual:
            found = await self._queue.maintain(
                name=self._settings.worker_name, lanes=self._lanes, slots=self._settings.slots
            )
            self._maintained_at = began
            due_seconds = inf if found.next_due_seconds is None else found.next_due_seconds
            self._nothing_due = due_seconds > NEAR_PAUSES * usual
            pause = min(pause, max(MIN_SWEEP_SECONDS, due_seconds))
            if found.removals_due:
                self._removals.nudge()
            if found.drain:
                self._drain()
        self._at = monotonic() + pause

    async def wait(self, wake: asyncio.Event) -> None:
        """Wait for `wake` or the time of the next sweep."""
        if self._wakeup is not None and not self._wakeup.healthy:  # may have changed since the sweep was scheduled
            self.within(self._settings.sweep_degraded_seconds)
        self._idle_since = monotonic()
        try:
            async with asyncio.timeout(max(0.0, self._at - monotonic())):
                await wake.wait()
        except TimeoutError:
            return
        self._idle_since = None

    def judge_wakeup(self, claims: Sequence[Claim], called_at: float) -> None:
        """Judge the hints by the requests of a claim called at `called_at` (monotonic).

        Log requests that no hint announced, though this worker was idle and listening while they were queued.
        """
        idle_since, self._idle_since = self._idle_since, None
        waits = [claim.queued_seconds for claim in claims if not claim.was_scheduled]
        if self._wakeup is None or not waits:
            return
        self._wakeup.claimed(called_at - min(waits))
        if idle_since is None:
            return
        idle_seconds = monotonic() - idle_since
        now = monotonic()
        missed = [
            seconds
            for seconds in waits
            if MISSED_AFTER_SECONDS < seconds < idle_seconds and self._wakeup.listened_since(now - seconds)
        ]
        if missed:
            log.warning(logs.SWEEP_MISSED, requests=len(missed))
            self._wakeup.missed(min(missed))
