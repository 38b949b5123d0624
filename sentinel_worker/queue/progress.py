"""Progress of running requests, written sparingly: each write causes a Realtime event for the whole project."""

import asyncio
from dataclasses import dataclass
from time import monotonic

import structlog

from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.domain.request import Claim, Stage
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import QueueClient

CALL_EVERY_SECONDS = 1.0
POINTS = 5
POINTS_EVERY_SECONDS = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Shown:
    stage: Stage
    percent: int
    at: float

    def worth_replacing(self, stage: Stage, percent: int, now: float) -> bool:
        moved = percent - self.percent >= POINTS and now - self.at >= POINTS_EVERY_SECONDS
        return stage != self.stage or moved


class Progress:
    """Collects reports; `run` writes those worth showing, for all requests in at most one call a second."""

    def __init__(self, queue: QueueClient) -> None:
        self._queue = queue
        self._shown: dict[Claim, _Shown] = {}
        self._pending: dict[Claim, tuple[Stage, int]] = {}
        self._due = asyncio.Event()

    def report(self, claim: Claim, stage: Stage, percent: float) -> None:
        """Note that `claim` is at `percent` (0 to 100) of the whole request."""
        shown = self._shown.get(claim)
        whole = int(percent)
        now = monotonic()
        if shown is None or shown.worth_replacing(stage, whole, now):
            self._shown[claim] = _Shown(stage, whole, now)
            self._pending[claim] = (stage, whole)
            self._due.set()

    def forget(self, claim: Claim) -> None:
        """Drop unwritten progress: this worker is done with the request."""
        self._shown.pop(claim, None)
        self._pending.pop(claim, None)

    async def run(self, supervisor: Supervisor) -> None:
        """Write until cancelled. A failed write is dropped, because the next one is more recent."""
        await supervisor.repeat("progress", self._write_next)

    async def _write_next(self) -> None:
        await self._due.wait()
        self._due.clear()
        changes, self._pending = self._pending, {}
        if changes:
            try:
                await self._queue.progress(changes)
            except CodedError as error:
                write = log.debug if self._queue.circuit.open else log.warning
                write(logs.CALL_FAILED, call="progress", error_code=error.code, error=error.message)
            await asyncio.sleep(CALL_EVERY_SECONDS)
