"""Rotation of keys while the worker runs: reread from files, tried, and only then used."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.concurrency.waiting import at_most
from sentinel_worker.config import secret_files
from sentinel_worker.config.settings import variable
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.domain.machine_errors import is_of_machine
from sentinel_worker.observe import logs
from sentinel_worker.supabase_client.breaker import OUTAGES
from sentinel_worker.supabase_client.keys import Key, WorkerKeys

log = structlog.get_logger()


class KeyRotation:
    """Rereads the files of `keys` every `look_seconds`, when `nudge` is called, and when `asked` is set.

    `try_key` raises unless Supabase accepts a key; `changed` is called once a new one is in use. A refused key is
    logged once and tried again at each look; the old one stays in use meanwhile.
    """

    def __init__(
        self,
        keys: WorkerKeys,
        *,
        asked: asyncio.Event,
        try_key: Callable[[Key], Awaitable[None]],
        changed: Callable[[], None],
        look_seconds: float,
    ) -> None:
        self._keys = keys
        self._try_key = try_key
        self._changed = changed
        self._look_seconds = look_seconds
        self._asked = asked
        self._told = ""
        self._signalled = False

    def nudge(self) -> None:
        """Reread the files now; for SIGHUP."""
        self._signalled = True
        self._asked.set()

    async def run(self, supervisor: Supervisor) -> None:
        """Watch the files until cancelled."""
        self._warn_of_exposed_files()
        await supervisor.repeat("keys", self._look_when_asked)

    async def _look_when_asked(self) -> None:
        await at_most(self._look_seconds if self._keys.paths else None, self._asked)
        self._asked.clear()
        signalled, self._signalled = self._signalled, False
        await self._look(aloud=signalled)

    async def _look(self, *, aloud: bool) -> None:
        try:
            changed = await asyncio.to_thread(self._keys.read)
        except ValueError as error:
            self._tell_once(logs.KEY_UNREADABLE, str(error), aloud=aloud)
            return
        if not changed:
            self._told = ""
            if aloud:
                log.info(logs.KEY_READ_AGAIN, files=len(self._keys.paths))
            return
        names = ", ".join(variable(name) for name in changed)
        try:
            await self._try_key(self._keys.with_changes(changed))
        except CodedError as error:
            if error.code not in OUTAGES and not is_of_machine(error):  # neither says anything about the key
                self._tell_once(logs.KEY_REFUSED, f"{names}: {error.message}", aloud=aloud)
            return
        self._keys.use(changed)
        self._told = ""
        log.info(logs.KEY_CHANGED, names=names)
        self._warn_of_exposed_files()
        self._changed()

    def _tell_once(self, event: str, error: str, *, aloud: bool) -> None:
        if aloud or error != self._told:
            log.error(event, error=error)
        self._told = error

    def _warn_of_exposed_files(self) -> None:
        for name, path in self._keys.paths.items():
            with suppress(OSError):
                if secret_files.is_exposed(path):
                    log.warning(
                        logs.KEY_EXPOSED, name=variable(name), error=f"every user can read {path}: run chmod 600"
                    )
