"""Upload of the pictures for people to Storage. A verdict is never lost for lack of them."""

import asyncio
import math
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import structlog

from sentinel_worker.concurrency.backoff import full_jitter_seconds
from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.domain.machine_errors import is_of_machine
from sentinel_worker.observe import logs
from sentinel_worker.queue.lease import Lease
from sentinel_worker.queue.rights import RightsCheck
from sentinel_worker.sources import storage
from sentinel_worker.sources.storage_errors import key_of
from sentinel_worker.supabase_client.expiry import CLOCKS_DIFFER_SECONDS, seconds_left
from sentinel_worker.worker.machine import Machine

BUCKET: Final = "derived"
STORAGE_AWAY: Final = with_trait(Trait.AT_ONCE)
"""Error codes after which Storage may take a picture moments later."""

log = structlog.get_logger()


class DerivedFiles:
    """Uploads pictures with `http`, a client for Storage, into the folder of their request's fence."""

    def __init__(self, http: httpx.AsyncClient, rights: RightsCheck, machine: Machine) -> None:
        self._http = http
        self._rights = rights
        self._machine = machine

    async def keep(self, lease: Lease, name: str, file: Path) -> str | None:
        """Upload one picture; returns its path in the bucket, or None if it is left out.

        While Storage is away, this repeats the upload until it is cancelled or the key expires. Storage refuses an
        expired key at once, but for a while the database still accepts the verdict. Raises
        `Transient('access_refused')` if the worker lacks a right, the errors of its machine, and those of
        `lease.check`.
        """
        claim = lease.claim
        path = f"{claim.user_id}/{claim.id}/{claim.fence}/{file.name}"
        while (left := self._key_seconds_left) > 0:  # the key may be replaced meanwhile
            with suppress(TimeoutError):
                async with asyncio.timeout(None if left == math.inf else left):
                    return path if await self._store(lease, name, path, file) else None
        log.warning(logs.NOT_DERIVED, name=name, error_code="access_refused", error="The worker's key has expired.")
        return None

    async def _store(self, lease: Lease, name: str, path: str, file: Path) -> bool:
        """Upload one picture, again and again while Storage is away; returns False if it is left out."""
        failures = 0
        while True:
            lease.check()
            try:
                await self._send(path, file)
            except (Permanent, Transient) as error:
                if self._ends_the_request(error):
                    raise
                failures += 1
                is_left_out = error.code not in STORAGE_AWAY
                write = log.warning if failures == 1 or is_left_out else log.debug
                write(logs.NOT_DERIVED, name=name, error_code=error.code, error=error.message)
                if is_left_out:
                    return False
                wished = (isinstance(error, Transient) and error.retry_after_seconds) or 0.0
                await asyncio.sleep(max(wished, full_jitter_seconds(failures, first=0.5, cap=5.0)))
            else:
                return True

    async def _send(self, path: str, file: Path) -> None:
        try:
            with self._rights.doubted_after("access_refused"):
                await storage.upload(self._http, bucket=BUCKET, path=path, file=file)
        except OSError as met:  # the picture cannot be read: the machine is at fault, or only this file is gone
            error = await self._machine.explained(met)
            if error is met:
                error = Permanent("file_unreadable", f"The picture cannot be read ({met.strerror}).")
            raise error from met

    def _ends_the_request(self, error: CodedError) -> bool:
        """True if the request is given back for `error`: other workers can store its pictures, this one cannot."""
        lacks_a_right = error.code == "access_refused" and self._key_seconds_left > CLOCKS_DIFFER_SECONDS
        return lacks_a_right or is_of_machine(error)

    @property
    def _key_seconds_left(self) -> float:
        key = key_of(self._http)
        return math.inf if key is None else seconds_left(key)
