"""When the queue is looked at unasked, and what a request found then says about the hints."""

import asyncio
import random
from collections.abc import Sequence
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
"""A hint that brought no request may be about one scheduled for soon; no worker looks that up more often."""
MAINTAIN_AFTER_PAUSES, REMOVE_AFTER_PAUSES = 1.5, 7.5
"""An idle worker is quiet, every second and every eighth sweep: a claim that finds nothing promotes by itself."""
NEAR_PAUSES = 2.0
"""What is due later than that needs no sweep of its own yet."""
MISSED_AFTER_SECONDS = 3.0
"""Realtime's own delay stays below this; a row older than it that no hint announced was missed."""

log = structlog.get_logger()


class Sweeps:
    """The time of the next sweep, and the sweep itself."""

    def __init__(
        self,
        settings: Settings,
        *,
        queue: QueueClient,
        removals: Removals,
        wakeup: Wakeup | None,
        lanes: Sequence[str],
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._removals = removals
        self._wakeup = wakeup
        self._lanes = lanes
        self._at = 0.0
        self._maintained_at = -inf
        self._removed_at = -inf
        self._nothing_due = False
        self._idle_since: float | None = None

    @property
    def due(self) -> bool:
        """Whether it is time for one."""
        return monotonic() >= self._at

    def within(self, seconds: float) -> None:
        """Something is due then: sweep no later."""
        self._at = min(self._at, monotonic() + seconds)

    def found_nothing(self) -> None:
        """A claim came back empty. If a hint led to it, its request may wait for its time: look ahead soon."""
        hinted_at = None if self._wakeup is None else self._wakeup.last_hint_at
        if hinted_at is not None and hinted_at > self._maintained_at:
            self._nothing_due = False
            self._at = min(self._at, self._maintained_at + LOOK_AHEAD_SECONDS)

    async def sweep(self) -> None:
        """Set the time of the next; register, promote and expire where the claim that follows is not enough."""
        began = monotonic()
        listening = self._wakeup is not None and self._wakeup.healthy
        usual = self._settings.sweep_seconds if listening else self._settings.sweep_degraded_seconds
        pause = usual * random.uniform(0.9, 1.1)  # noqa: S311 - spreads the load of many workers, no secret
        if not self._nothing_due or began - self._maintained_at > MAINTAIN_AFTER_PAUSES * usual:
            next_due_seconds = await self._queue.maintain(
                name=self._settings.worker_name, lanes=self._lanes, slots=self._settings.slots
            )
            self._maintained_at = began
            due_seconds = inf if next_due_seconds is None else next_due_seconds
            self._nothing_due = due_seconds > NEAR_PAUSES * usual
            pause = min(pause, max(MIN_SWEEP_SECONDS, due_seconds))
        if began - self._removed_at > REMOVE_AFTER_PAUSES * usual:
            self._removed_at = began
            self._removals.nudge()
        self._at = monotonic() + pause

    async def wait(self, wake: asyncio.Event) -> None:
        """Until `wake` or the time of the next sweep."""
        if self._wakeup is not None and not self._wakeup.healthy:  # since the time was set, perhaps
            self.within(self._settings.sweep_degraded_seconds)
        self._idle_since = monotonic()
        try:
            async with asyncio.timeout(max(0.0, self._at - monotonic())):
                await wake.wait()
        except TimeoutError:
            return
        self._idle_since = None

    def judge_wakeup(self, claims: Sequence[Claim]) -> None:
        """A row that lay queued while this worker was idle and listening was never announced."""
        idle_since, self._idle_since = self._idle_since, None
        if self._wakeup is None or idle_since is None:
            return
        idle_seconds = monotonic() - idle_since
        waits = [claim.queued_seconds for claim in claims if not claim.was_scheduled]
        missed = [seconds for seconds in waits if MISSED_AFTER_SECONDS < seconds < idle_seconds]
        if missed:
            log.warning(logs.SWEEP_MISSED, requests=len(missed))
            self._wakeup.missed(min(missed))
