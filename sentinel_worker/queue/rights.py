"""Check of this worker's rights in the database, at the start and after each refusal.

While a needed right is missing, no request is claimed, so that none loses an attempt for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from sentinel_worker.domain.errors import CodedError, Transient
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import MissingRight, QueueClient
from sentinel_worker.supabase_client.connections import REFUSED_RETRY_SECONDS

log = structlog.get_logger()


class Doubt:
    """Flag that the rights must be checked before the next claim. `QueueClient` reports refused calls here."""

    def __init__(self) -> None:
        self.raised = True
        self.spared: set[str] = set()
        """Names of rights that are known to be missing, but that the worker does not need."""

    def call_refused(self, function: str) -> None:
        """Note that the database refused a call of `function`."""
        if f"execute {function}" not in self.spared:
            self.raised = True


class RightsCheck:
    """Logs each missing right once, with the statement that grants it, until it is granted."""

    def __init__(self, queue: QueueClient, doubt: Doubt) -> None:
        self._queue = queue
        self._doubt = doubt
        self._told: set[str] = set()

    def doubt(self) -> None:
        """Check again before the next claim, because something was refused or hidden."""
        self._doubt.raised = True

    @contextmanager
    def doubted_after(self, *codes: str) -> Iterator[None]:
        """Call `doubt` if the block raises an error with one of these codes."""
        try:
            yield
        except CodedError as error:
            if error.code in codes:
                self.doubt()
            raise

    async def check(self) -> None:
        """Raise `Transient('access_refused')` while a needed right is missing; makes a call only after a doubt."""
        if self._doubt.raised:
            await self.check_again()

    async def check_again(self) -> None:
        """Raise like `check`, but make the call in any case."""
        try:
            missing = await self._queue.missing_rights()
        except Transient as error:
            if error.code != "schema_missing":
                raise
            # The database has an earlier version; each refusal still names the missing right.
            log.warning(logs.RIGHTS_UNKNOWN, error=error.message)
            self._doubt.raised = False
            return
        self._tell(missing)
        needed = [right.sentence for right in missing if right.needed]
        self._doubt.raised = bool(needed)
        if needed:
            raise Transient("access_refused", "\n".join(needed), retry_after_seconds=REFUSED_RETRY_SECONDS)

    def _tell(self, missing: list[MissingRight]) -> None:
        for right in missing:
            if right.name not in self._told:
                write = log.error if right.needed else log.warning
                write(logs.RIGHT_MISSING, right=right.name, error=right.sentence, run=right.remedy)
        self._told = {right.name for right in missing}
        self._doubt.spared = {right.name for right in missing if not right.needed}
