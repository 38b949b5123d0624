"""Locks of uploads: requests for one upload run one after another, and one that keeps others waiting must end soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sentinel_local_supabase.storage.storage_errors import StorageError

_WAIT_SECONDS = 5.0
_DRAIN_SECONDS = 3.0


class HeldLock:
    """Exclusive access to an upload. While others wait, its holder may read for only a few more seconds."""

    def __init__(self) -> None:
        self._deadline: float | None = None
        self._limit: asyncio.Timeout | None = None

    def hurry(self) -> None:
        """Limit the remaining time because somebody waits: a client that is gone must not block one that resumes."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + _DRAIN_SECONDS
            if self._limit is not None:
                self._limit.reschedule(self._deadline)

    async def next_of(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """Return the next chunk; None at the end, and when somebody has waited too long."""
        try:
            async with asyncio.timeout_at(self._deadline) as self._limit:
                return await anext(chunks, None)
        except TimeoutError:
            return None
        finally:
            self._limit = None

    @property
    def is_over(self) -> bool:
        """True if the holder's time has run out."""
        return self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline


@dataclass(slots=True)
class _Place:
    """The lock of one upload, its current holder, and the number of holders and waiters."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    holder: HeldLock | None = None
    present: int = 0


class UploadLocks:
    """The locks of all uploads of this server."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}

    def is_locked(self, upload: str) -> bool:
        """Return True if somebody holds or awaits the upload's lock."""
        return upload in self._places

    @asynccontextmanager
    async def acquire(self, upload: str) -> AsyncIterator[HeldLock]:
        """Wait for an upload's lock, at most five seconds. Raises LockTimeout."""
        place = self._places.setdefault(upload, _Place())
        place.present += 1
        try:
            await _acquire(place)
            try:
                place.holder = HeldLock()
                if place.present > 1:
                    place.holder.hurry()
                yield place.holder
            finally:
                place.holder = None
                place.lock.release()
        finally:
            place.present -= 1
            if place.present == 0:
                del self._places[upload]


async def _acquire(place: _Place) -> None:
    if place.holder is not None:
        place.holder.hurry()
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            await place.lock.acquire()
    except TimeoutError as error:
        raise StorageError("503", "acquiring_lock_timeout", "LockTimeout", "acquiring lock timeout") from error
