"""Places that users take in turn; one user holds at most half of them.

A server that sends as slowly as it may occupies a place for half an hour. So one user holds at most half of the places,
even while nobody else waits: if there are at least two, the next user finds one free. Among waiting users, the one
whose last place is longest ago goes first; giving up and coming back costs no turn. A user's own requests are served
first in, first out.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sentinel_worker.domain.errors import Transient

PATIENCE_SECONDS = 15.0
AGAIN_SECONDS = 5.0
REMEMBERED_USERS = 1000
"""Number of users whose last turn is remembered; a forgotten user counts as one who never had a turn."""


class FairPlaces:
    """`places` in all, of which one user holds at most half (rounded up).

    A waiting request holds no place, but it does hold a slot of the worker, so it waits at most `patience_seconds`.
    """

    def __init__(self, places: int, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._free = places
        self._of_one = (places + 1) // 2
        self._patience_seconds = patience_seconds
        self._held: Counter[UUID] = Counter()
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}
        self._turns = itertools.count(1)
        self._last_turn: dict[UUID, int] = {}
        """Oldest first."""

    @asynccontextmanager
    async def place(self, user: UUID) -> AsyncIterator[None]:
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
            users = [user for user in self._waiting if self._held[user] < self._of_one]
            if not users:
                return
            user = min(users, key=lambda user: self._last_turn.get(user, 0))
            place = self._waiting[user].popleft()
            if not self._waiting[user]:
                del self._waiting[user]
            if not place.done():  # otherwise its request gave up, and `_leave` cleans up
                self._free -= 1
                self._held[user] += 1
                self._note_turn(user)
                place.set_result(None)

    def _note_turn(self, user: UUID) -> None:
        self._last_turn.pop(user, None)
        self._last_turn[user] = next(self._turns)
        if len(self._last_turn) > REMEMBERED_USERS:
            del self._last_turn[next(iter(self._last_turn))]

    def _leave(self, user: UUID, place: asyncio.Future[None]) -> None:
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
