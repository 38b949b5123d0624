"""Removal of files of deleted requests and users, and of attempts without a result, as the database's outbox lists."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence, Set

import httpx
import structlog

from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.rights import RightsCheck
from sentinel_worker.sources.storage_removal import remove

OBJECTS_A_CALL = 100
REMEMBERED = 10_000
"""Most names kept of those that Storage did not confirm; one that was already gone is never listed again."""
ROUND_SECONDS = 1.1
"""Pause between two rounds; a folder with more objects than one call lists is due again after a second."""

log = structlog.get_logger()


class Removals:
    """Removes files in the background. Sweeps call `nudge` when the database lists some; `run` does the work.

    Nothing is acknowledged: the outbox itself checks whether an object is gone, and lists it again otherwise.
    """

    def __init__(self, queue: QueueClient, http: httpx.AsyncClient, rights: RightsCheck) -> None:
        self._queue = queue
        self._rights = rights
        self._http = http
        self._due = asyncio.Event()
        # How often Storage did not confirm a name of a bucket; one that is not listed again was already gone.
        self._unconfirmed: dict[tuple[str, str], int] = {}

    def nudge(self) -> None:
        """Check the outbox soon."""
        self._due.set()

    async def run(self, supervisor: Supervisor) -> None:
        """Work until cancelled. Failed removals are left to a later sweep, of this worker or another."""
        await supervisor.repeat("removals", self._remove_when_due)

    async def _remove_when_due(self) -> None:
        await self._due.wait()
        self._due.clear()
        try:
            if await self.once():  # there may be more
                await asyncio.sleep(ROUND_SECONDS)
                self.nudge()
        except CodedError as error:
            log.warning(logs.REMOVAL_FAILED, error_code=error.code, error=error.message)

    async def once(self) -> int:
        """Remove the next objects; return how many were removed."""
        named, count = defaultdict(list), 0
        for bucket, name in await self._queue.deletions(limit=OBJECTS_A_CALL):
            named[bucket].append(name)
        for bucket, names in named.items():
            removed = await remove(self._http, bucket, names)
            count += len(removed)
            stuck = self._stuck(bucket, names, removed)
            write = log.warning if stuck else log.info
            write(logs.REMOVED, bucket=bucket, removed=len(removed), left=stuck)
            if len(removed) < len(names):  # row security hides objects that this role may not remove
                self._rights.doubt()
        return count

    def _stuck(self, bucket: str, names: Sequence[str], removed: Set[str]) -> int:
        """Note what Storage did not confirm; return how many of these names it has not confirmed before either."""
        stuck = 0
        for name in names:
            times = self._unconfirmed.pop((bucket, name), 0)
            if name not in removed:
                self._unconfirmed[bucket, name] = times + 1
                stuck += times > 0
        for oldest in list(self._unconfirmed)[:-REMEMBERED]:
            del self._unconfirmed[oldest]
        return stuck
