"""The run loop: wake-up or sweep, claim as many requests as there are free slots, work, answer."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from time import monotonic

import structlog

from sentinel_worker.concurrency.backoff import full_jitter_seconds
from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.concurrency.waiting import at_most, unless
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import CodedError, Fatal, Permanent, Transient
from sentinel_worker.observe import logs
from sentinel_worker.observe.health import Health
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.lease import Leases, boottime
from sentinel_worker.queue.outcomes import Outcomes
from sentinel_worker.queue.progress import Progress
from sentinel_worker.queue.removals import Removals
from sentinel_worker.queue.rights import RightsCheck
from sentinel_worker.supabase_client.breaker import AWAY
from sentinel_worker.supabase_client.connections import at_start
from sentinel_worker.supabase_client.expiry import LOOK_SECONDS, KeyExpiry
from sentinel_worker.wake.wakeup import Wakeup
from sentinel_worker.worker.machine import Machine
from sentinel_worker.worker.pipeline import Pipeline
from sentinel_worker.worker.running_requests import RunningRequests
from sentinel_worker.worker.sweeps import Sweeps

RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS = 0.5, 60.0
DECODER_RETRY_SECONDS = 1.0
REALTIME_START_SECONDS = 15.0
"""Grace period for Realtime to connect; its absence is reported only after it."""

log = structlog.get_logger()


class Worker:
    """Claims and answers requests until `drain` is called."""

    def __init__(
        self,
        settings: Settings,
        *,
        queue: QueueClient,
        leases: Leases,
        outcomes: Outcomes,
        progress: Progress,
        pipeline: Pipeline,
        machine: Machine,
        removals: Removals,
        rights: RightsCheck,
        expiry: KeyExpiry,
        wakeup: Wakeup | None,
        wake: asyncio.Event,
        health: Health,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._leases = leases
        self._outcomes = outcomes
        self._progress = progress
        self._pipeline = pipeline
        self._machine = machine
        self._removals = removals
        self._rights = rights
        self._expiry = expiry
        self._wakeup = wakeup
        self._wake = wake
        self._health = health
        self._lanes = pipeline.lanes
        self._sweeps = Sweeps(
            settings, queue=queue, removals=removals, wakeup=wakeup, lanes=pipeline.lanes, drain=self._drain_as_asked
        )
        self._failures = 0
        self._started_at = monotonic()
        self._running = RunningRequests(
            leases=leases,
            outcomes=outcomes,
            progress=progress,
            pipeline=pipeline,
            machine=machine,
            freed=wake.set,
            due_in=self._due_in,
            broken=self._break,
        )
        self._broken_by: Fatal | None = None
        self._draining = asyncio.Event()
        self._hurry = asyncio.Event()
        self._key_changed = asyncio.Event()
        self._supervisor = Supervisor(self._break)

    async def run(self, *beside: Callable[[Supervisor], Coroutine[object, object, None]]) -> None:
        """Work until `drain` is called and the running requests have ended; the loops of `beside` run as long.

        Raises `Fatal` if the start fails, and `Transient('worker_broken')` after an error in a request or a loop from
        which this process cannot recover; its requests have been released by then.
        """
        try:
            await self._rights.check()
            await self._sweeps.sweep()
        except Transient as error:
            met = at_start(error)
            if isinstance(met, Fatal):
                raise met from error
        background = [self._outcomes.run, self._progress.run, self._removals.run, self._watch_expiry, *beside]
        if self._wakeup is not None:
            background.append(self._wakeup.run)
        self._leases.start()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run(self._supervisor)) for run in background]
                await self._supervisor.repeat(
                    "claims", lambda: self._claim_when_woken(group), vital=True, until=self._draining
                )
                self._health.become("draining")
                await self._running.drain(self._settings.drain_seconds, self._hurry)
                for task in tasks:
                    task.cancel()
        finally:
            await self._leases.stop()
        await self._leave()
        log.info(logs.STOPPED)
        if self._broken_by is not None:
            raise Transient("worker_broken", self._broken_by.message) from self._broken_by

    def drain(self) -> None:
        """Stop claiming. A second call immediately releases the running requests."""
        if self._draining.is_set():
            self._hurry.set()
        self._draining.set()
        self._wake.set()

    def key_changed(self) -> None:
        """Retry at once: calls refused with the old key may succeed with the new one."""
        self._key_changed.set()
        self._expiry.key_changed()
        self._outcomes.key_changed()
        self._wake.set()

    def drain_on_signals(self) -> None:
        """Drain on SIGTERM or SIGINT; a second signal releases running requests immediately."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain)

    def _drain_as_asked(self) -> None:
        if not self._draining.is_set():
            log.info(logs.DRAIN_ASKED)
            self.drain()

    async def _leave(self) -> None:
        """Leave the list of workers. If the call fails, a sweep of another worker removes this one a day later."""
        if self._queue.circuit.open:
            return
        try:
            await self._queue.leave()
        except CodedError as error:
            log.warning(logs.CALL_FAILED, call="leave", error_code=error.code, error=error.message)

    # The claim loop

    async def _claim_when_woken(self, group: asyncio.TaskGroup) -> None:
        # Cleared before the calls, so that wake-ups during them are not lost.
        self._wake.clear()
        self._key_changed.clear()
        if reason := self._expiry.reason:
            self._health.become("broken", reason)
            await unless(self._draining, at_most(LOOK_SECONDS, self._key_changed))
            return
        try:
            await self._rights.check()
            if self._sweeps.due:
                await self._sweeps.sweep()
            claimed = await self._claim(group)
        except CodedError as error:
            await self._wait_out(error)
            return
        self._failures = 0
        self._show_condition()
        if not claimed:
            await self._sweeps.wait(self._wake)

    async def _watch_expiry(self, supervisor: Supervisor) -> None:
        await self._expiry.run(supervisor, expired=self._wake.set, hand_back=self._running.hand_back)

    async def _claim(self, group: asyncio.TaskGroup) -> int:
        """Claim requests for the free slots; returns how many were claimed."""
        free = 0 if self._draining.is_set() else self._settings.slots - len(self._running)
        if not self._pipeline.can_decode:
            self._sweeps.within(DECODER_RETRY_SECONDS)
            return 0
        if free == 0:
            return 0
        if not await self._machine.fit():
            self._sweeps.within(self._machine.pause_seconds)
            return 0
        called_at, asked_at = boottime(), monotonic()
        claims = await self._queue.claim(
            self._lanes,
            limit=free,
            lease_seconds=self._settings.lease_seconds,
            held=self._leases.ids,
            slots=self._settings.slots,
            holding=self._running.by_user,
        )
        for claim in claims:
            self._running.start(group, claim, called_at)
        self._sweeps.judge_wakeup(claims, asked_at)
        if not claims:
            self._sweeps.found_nothing()
        return len(claims)

    async def _wait_out(self, error: CodedError) -> None:
        """Wait with backoff after a failed call, at most until the drain starts."""
        if self._queue.circuit.open:  # the breaker has logged this, and decides when to retry
            self._health.become("degraded", AWAY)
            await unless(self._draining, self._queue.circuit.turn())
            return
        if self._machine.note(error):
            self._show_condition()
            await unless(self._draining, asyncio.sleep(self._machine.pause_seconds))
            return
        self._failures += 1
        self._health.become("broken" if isinstance(error, Permanent) else "degraded", error.message)
        wished = error.retry_after_seconds if isinstance(error, Transient) else None
        drawn = full_jitter_seconds(self._failures, first=RETRY_FIRST_SECONDS, cap=RETRY_CAP_SECONDS)
        pause = max(drawn, wished or 0)
        log.warning(logs.CALL_FAILED, error_code=error.code, error=error.message, retry_seconds=round(pause, 1))
        await unless(self._draining, at_most(pause, self._key_changed))

    def _show_condition(self) -> None:
        if not self._pipeline.can_decode:
            self._health.become("broken", "The decoder does not start, so no requests are claimed.")
        elif self._machine.fault is not None:
            self._health.become("degraded", self._machine.fault.message)
        elif self._outcomes.refusal is not None:
            self._health.become("degraded", self._outcomes.refusal)
        elif self._wakeup is None or self._wakeup.healthy:
            self._health.become("ready")
        elif self._health.state != "starting" or monotonic() - self._started_at > REALTIME_START_SECONDS:
            self._health.become("degraded", "Realtime is down, so requests are found by polling.")

    def _due_in(self, seconds: float) -> None:
        self._sweeps.within(seconds)
        self._wake.set()  # restarts the wait for the next sweep

    def _break(self, error: Fatal) -> None:
        log.error(logs.BROKEN, error_code=error.code, error=error.message)
        self._broken_by = error
        self._draining.set()
        self._wake.set()
