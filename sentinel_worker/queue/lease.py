"""Leases that this process can prove, and the thread that extends them.

The thread has its own client, so that neither a busy event loop nor its connections delay a heartbeat. It withholds
the heartbeat of stuck work: if the event loop does not respond, or a request is past its stage's deadline, another
worker shall get the row.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from math import inf
from uuid import UUID

import structlog
from supabase import Client

from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.errors import Cancelled, CodedError, LeaseLost, Permanent, Released, Transient
from sentinel_worker.domain.request import Claim, Stage
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import heartbeat

STAGE_GRACE_SECONDS = 10.0
"""Delay between the stage's own time limit, which acts first, and withholding the heartbeat."""
TOO_LATE = "This analysis was not finished by the time for which it was requested."

Ending = LeaseLost | Cancelled | Released | Permanent

log = structlog.get_logger()


def boottime() -> float:
    """Return seconds on a clock that keeps running while the machine sleeps, like the database's clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Lease of one claim in progress."""

    def __init__(self, claim: Claim, called_at: float) -> None:
        self.claim = claim
        self.compute = Compute(claim.user_id)
        self.expires_at = called_at + claim.lease_seconds
        self.late_at = inf if claim.answer_seconds is None else called_at + claim.answer_seconds
        self.stage: Stage = "fetching"
        self.stage_deadline: float | None = None
        self._ended_by: Ending | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None

    def check(self) -> None:
        """Raise `LeaseLost` if the lease can no longer be proved; called before every write."""
        if self._ended_by is not None:
            raise self._ended_by
        if boottime() >= self.expires_at:
            raise LeaseLost

    def watch(self) -> None:
        """End the work when the lease expires, even if the heartbeat's thread is blocked, or when it is too late."""
        now = boottime()
        if now >= self.expires_at:
            self.end(LeaseLost())
        elif now >= self.late_at:
            self.end(Permanent("answer_too_late", TOO_LATE))
        else:
            remaining = min(self.expires_at, self.late_at) - now
            self._expiry = asyncio.get_running_loop().call_later(remaining, self.watch)

    def unwatch(self) -> None:
        """Stop watching: this worker is done with the request."""
        if self._expiry is not None:
            self._expiry.cancel()

    def end(self, reason: Ending) -> None:
        """Cancel the guarded work; `guard` raises `reason` there. Call it only from the event loop."""
        if self._ended_by is None:
            self._ended_by = reason
            if self._task is not None:
                self._task.cancel()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Guard the work inside: it ends with the reason given to `end`, or `LeaseLost`."""
        self.check()
        self._task = asyncio.current_task()
        assert self._task is not None
        before = self._task.cancelling()
        try:
            yield
        except asyncio.CancelledError:
            if self._ended_by is None or self._task.uncancel() > before:
                raise
            raise self._ended_by from None
        finally:
            self._task = None
        if self._ended_by is not None:
            raise self._ended_by

    @asynccontextmanager
    async def enter(self, stage: Stage, limit_seconds: float) -> AsyncIterator[None]:
        """Mark the work inside as `stage`; at the limit it ends with `Transient('stage_timed_out')`."""
        self.stage = stage
        self.stage_deadline = boottime() + limit_seconds
        try:
            async with asyncio.timeout(limit_seconds) as limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise Transient(
                "stage_timed_out",
                f"The analysis took too long while {stage}.",
                params={"stage": stage, "limit_seconds": limit_seconds},
            ) from None
        finally:
            self.stage_deadline = None


class Leases:
    """Leases of this worker and their heartbeat. `refused` is called in the event loop after a refused heartbeat."""

    def __init__(
        self,
        client: Client,
        worker: UUID,
        *,
        lease_seconds: float,
        heartbeat_seconds: float,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._refused = refused
        self._client = client
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._held: dict[UUID, Lease] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    @property
    def ids(self) -> list[UUID]:
        """Ids of the requests held now."""
        return list(self._held)

    def add(self, claim: Claim, called_at: float) -> Lease:
        """Hold `claim`, whose call began at `called_at` (see `boottime`), until `remove`."""
        lease = Lease(claim, called_at)
        with self._changed:
            self._held[claim.id] = lease
            self._changed.notify()
        lease.watch()
        return lease

    def remove(self, lease: Lease) -> None:
        """Release `lease`: this worker is done with it. A newer lease of the same request stays."""
        lease.unwatch()
        with self._changed:
            if self._held.get(lease.claim.id) is lease:
                del self._held[lease.claim.id]

    def start(self) -> None:
        """Start the thread. Call it from the event loop whose work the leases guard."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Stop the thread; a call in flight ends at its own timeout."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        failures = 0
        due = boottime() + self._heartbeat_seconds
        while self._wait_until(due):
            due = boottime() + self._heartbeat_seconds
            try:
                self._beat()
                failures = 0
            except CodedError as error:
                failures += 1
                due = boottime() + min(self._heartbeat_seconds, 0.5 * 2 ** min(failures, 10))
                log.warning(logs.HEARTBEAT_FAILED, error_code=error.code, error=error.message, failures=failures)
                if error.code == "access_refused":
                    self._hand_back_in_time()
            except Exception:
                # Without this thread every lease would expire, so it survives unexpected errors.
                log.exception(logs.HEARTBEAT_FAILED)

    def _wait_until(self, due: float) -> bool:
        """Sleep until `due`, and longer while nothing is held; return False when the worker stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, timeout=max(0.0, due - boottime()))
            self._changed.wait_for(lambda: self._stopping or self._held)
            return not self._stopping

    def _beat(self) -> None:
        leases = {lease.claim.id: lease for lease in self._moving()}
        if not leases or not self._loop_answers():
            return
        called_at = boottime()
        answers = heartbeat(self._client, self._worker, [lease.claim for lease in leases.values()], self._lease_seconds)
        for request_id, answer in answers.items():
            lease = leases[request_id]
            # A `busy` lease was not extended; it keeps its expiry until the next heartbeat retries.
            if answer in ("ok", "cancel"):
                lease.expires_at = called_at + self._lease_seconds
            if answer == "lost":
                self._end(lease, LeaseLost())
            elif answer == "cancel":
                self._end(lease, Cancelled())

    def _hand_back_in_time(self) -> None:
        """Release leases that a refused heartbeat cannot save: it is not a crash, so the attempt is refunded."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._refused)
        with self._changed:
            held = list(self._held.values())
        for lease in held:
            if lease.expires_at - boottime() < 1.5 * self._heartbeat_seconds:
                self._end(lease, Released())

    def _moving(self) -> list[Lease]:
        now = boottime()
        with self._changed:
            # Work under an expired lease has already ended, so extending it would save nothing.
            held = [lease for lease in self._held.values() if now < lease.expires_at]
        stuck = [lease for lease in held if lease.stage_deadline and now > lease.stage_deadline + STAGE_GRACE_SECONDS]
        for lease in stuck:
            log.error(logs.HEARTBEAT_WITHHELD, request_id=str(lease.claim.id), stage=lease.stage)
        return [lease for lease in held if lease not in stuck]

    def _loop_answers(self) -> bool:
        assert self._loop is not None
        answered = threading.Event()
        self._loop.call_soon_threadsafe(answered.set)
        if answered.wait(self._heartbeat_seconds):
            return True
        log.error(logs.HEARTBEAT_WITHHELD, error="the event loop does not respond")
        return False

    def _end(self, lease: Lease, reason: Ending) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(lease.end, reason)
