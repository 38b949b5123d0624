"""Files of deleted requests and users go from Storage: the database's outbox names them, a worker removes them."""

import asyncio
from collections import defaultdict

import httpx
import structlog

from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.rights import RightsCheck
from sentinel_worker.sources.storage_removal import remove

OBJECTS_A_CALL = 100

log = structlog.get_logger()


class Removals:
    """`nudge` after each sweep; `run` does the work apart from the claims.

    Nothing is acknowledged: the outbox itself looks whether an object is gone, and names it again where it is not.
    """

    def __init__(self, queue: QueueClient, http: httpx.AsyncClient, rights: RightsCheck) -> None:
        self._queue = queue
        self._rights = rights
        self._http = http
        self._due = asyncio.Event()

    def nudge(self) -> None:
        """Look into the outbox soon."""
        self._due.set()

    async def run(self, supervisor: Supervisor) -> None:
        """Work until cancelled. What fails is left to a later sweep, of this worker or another."""
        await supervisor.repeat("removals", self._remove_when_due)

    async def _remove_when_due(self) -> None:
        await self._due.wait()
        self._due.clear()
        try:
            while await self.once():
                pass
        except CodedError as error:
            log.warning(logs.REMOVAL_FAILED, error_code=error.code, error=error.message)

    async def once(self) -> int:
        """Remove the next objects; returns how many were named."""
        named = defaultdict(list)
        for bucket, name in await self._queue.deletions(limit=OBJECTS_A_CALL):
            named[bucket].append(name)
        for bucket, names in named.items():
            removed = await remove(self._http, bucket, names)
            write = log.info if removed == len(names) else log.warning
            write(logs.REMOVED, bucket=bucket, removed=removed, left=len(names) - removed)
            if removed < len(names):  # row security hides what may not be removed, as if it were not there
                self._rights.doubt()
        return sum(map(len, named.values()))
