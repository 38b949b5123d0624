"""Places that users hold one after the other, and never one user all of them.

What a stranger's server sends as slowly as it may holds its place for half an hour. So a user has at most half of
the places, even while nobody else waits: whoever comes later finds one free. Those who wait are served round the
users, in the order in which they came; a user's own come first in, first out.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sentinel_worker.errors import Transient

PATIENCE_SECONDS = 15.0
AGAIN_SECONDS = 5.0


class Shares:
    """`places`, at most half of them (rounded up) held by one user. Who waits holds no place, but a slot of the
    worker: for `patience_seconds` at most."""

    def __init__(self, places: int, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._free = places
        self._of_one = (places + 1) // 2
        self._patience_seconds = patience_seconds
        self._held: Counter[UUID] = Counter()
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}
        """Whose turn is next comes first."""

    @asynccontextmanager
    async def place(self, user: UUID) -> AsyncIterator[None]:
        """Hold a place inside the block; raises `Transient('worker_busy')` where none came in time."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(place)
        self._serve()
        try:
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await place
            except TimeoutError:
                raise Transient(
                    "worker_busy",
                    "Other URLs are being fetched; this one is tried again.",
                    retry_after_seconds=AGAIN_SECONDS,
                ) from None
            yield
        finally:
            self._leave(user, place)

    def _serve(self) -> None:
        """Give what is free to those who wait; who is served goes to the end."""
        while self._free:
            user = next((user for user in self._waiting if self._held[user] < self._of_one), None)
            if user is None:
                return
            waiting = self._waiting.pop(user)
            place = waiting.popleft()
            if waiting:
                self._waiting[user] = waiting
            if not place.done():  # else it was given up, and leaves by itself
                self._free -= 1
                self._held[user] += 1
                place.set_result(None)

    def _leave(self, user: UUID, place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            self._free += 1
            self._held -= Counter((user,))  # forgets who holds none
            self._serve()
            return
        waiting = self._waiting.get(user, deque())
        if place in waiting:
            waiting.remove(place)
        if not waiting:
            self._waiting.pop(user, None)
