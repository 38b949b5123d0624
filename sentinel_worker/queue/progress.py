"""Progress of running requests, written sparingly: each write causes a Realtime event for the whole project."""

import asyncio
from typing import NamedTuple

import structlog

from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.domain.request import Claim, Stage
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import QueueClient

CALL_EVERY_SECONDS = 1.0
POINTS = 2

log = structlog.get_logger()


class _Point(NamedTuple):
    """Where a request is, in percent of the whole."""

    stage: Stage
    percent: int


class Progress:
    """Keeps the latest report of each request; `run` writes those worth showing, in at most one call a second.

    A report that comes within that second is not lost: the next call carries the latest one.
    """

    def __init__(self, queue: QueueClient) -> None:
        self._queue = queue
        self._shown: dict[Claim, _Point] = {}
        self._latest: dict[Claim, _Point] = {}
        self._due = asyncio.Event()

    def report(self, claim: Claim, stage: Stage, percent: float) -> None:
        """Note that `claim` is at `percent` (0 to 100) of the whole request."""
        self._latest[claim] = _Point(stage, int(percent))
        if self._worth_showing(claim):
            self._due.set()

    def forget(self, claim: Claim) -> None:
        """Drop unwritten progress: this worker is done with the request."""
        self._shown.pop(claim, None)
        self._latest.pop(claim, None)

    async def run(self, supervisor: Supervisor) -> None:
        """Write until cancelled. A failed write is dropped, because the next one is more recent."""
        await supervisor.repeat("progress", self._write_next)

    def _worth_showing(self, claim: Claim) -> bool:
        latest, shown = self._latest[claim], self._shown.get(claim)
        return shown is None or latest.stage != shown.stage or latest.percent - shown.percent >= POINTS

    async def _write_next(self) -> None:
        await self._due.wait()
        self._due.clear()
        changes = {claim: latest for claim, latest in self._latest.items() if self._worth_showing(claim)}
        if not changes:
            return
        self._shown |= changes
        try:
            await self._queue.progress(changes)
        except CodedError as error:
            write = log.debug if self._queue.circuit.open else log.warning
            write(logs.CALL_FAILED, call="progress", error_code=error.code, error=error.message)
        await asyncio.sleep(CALL_EVERY_SECONDS)
