"""Places that users take in turn; one user holds at most half of what the others leave.

A server that sends as slowly as it may occupies a place for half an hour, and a film of large frames a decoder for
minutes. So one user holds at most half of the places that nobody else holds (rounded up), even while nobody waits: of
four places a first user gets two, a second one and a third one. Waiting users take turns; a user's own requests are
served first in, first out.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sentinel_worker.concurrency.turns import Turns, User
from sentinel_worker.domain.errors import Transient

AGAIN_SECONDS = 5.0


class FairPlaces:
    """`places` in all, of which one user holds at most half of what the others leave (rounded up).

    A waiting request holds no place, but it does hold a slot of the worker. With `patience_seconds`, which URLs have,
    it waits at most that long.
    """

    def __init__(self, places: int, *, patience_seconds: float | None = None) -> None:
        self._free = places
        self._patience_seconds = patience_seconds
        self._held: Counter[User] = Counter()
        self._waiting: dict[User, deque[asyncio.Future[None]]] = {}
        self._turns = Turns()

    @asynccontextmanager
    async def place(self, user: User) -> AsyncIterator[None]:
        """Hold a place inside the block; raises `Transient('worker_busy')` if none becomes free in time."""
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
                    "Other URLs are being fetched; this one will be retried soon.",
                    retry_after_seconds=AGAIN_SECONDS,
                ) from None
            yield
        finally:
            self._leave(user, place)

    def _serve(self) -> None:
        """Give free places to waiting requests."""
        while self._free:
            users = [user for user in self._waiting if self._held[user] < self._share(user)]
            if not users:
                return
            user = self._turns.first(users)
            place = self._waiting[user].popleft()
            if not self._waiting[user]:
                del self._waiting[user]
            if not place.done():  # otherwise its request gave up, and `_leave` cleans up
                self._free -= 1
                self._held[user] += 1
                self._turns.note(user)
                place.set_result(None)

    def _share(self, user: User) -> int:
        """Return half, rounded up, of the places that other users do not hold."""
        return (self._free + self._held[user] + 1) // 2

    def _leave(self, user: User, place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            self._free += 1
            self._held -= Counter((user,))  # drops users who hold none
            self._serve()
            return
        waiting = self._waiting.get(user, deque())
        if place in waiting:
            waiting.remove(place)
        if not waiting:
            self._waiting.pop(user, None)
