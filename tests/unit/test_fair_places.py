"""The order of those who wait for a place; no user ever holds all places."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from sentinel_worker.concurrency.fair_places import FairPlaces
from sentinel_worker.domain.errors import Transient

A, B, C = (uuid.uuid4() for _ in range(3))


@dataclass
class Queue:
    """Requests that hold a place until released."""

    shares: FairPlaces
    served: list[str] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    go: dict[str, asyncio.Event] = field(default_factory=dict)

    async def ask(self, user: uuid.UUID, *names: str) -> None:
        for name in names:
            self.go[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._hold(user, name))
            await settled()

    async def _hold(self, user: uuid.UUID, name: str) -> None:
        async with self.shares.place(user):
            self.served.append(name)
            await self.go[name].wait()

    async def end(self, *names: str) -> None:
        for name in names:
            self.go[name].set()
            await self.tasks[name]
            await settled()


async def settled() -> None:
    """Wait until every task has gone as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)  # one turn of the loop


@asynccontextmanager
async def queue_of(places: int, patience_seconds: float = 60) -> AsyncIterator[Queue]:
    queue = Queue(FairPlaces(places, patience_seconds=patience_seconds))
    async with AsyncExitStack() as stack:
        yield queue
        for task in queue.tasks.values():
            stack.callback(task.cancel)
    await asyncio.gather(*queue.tasks.values(), return_exceptions=True)


async def test_one_user_leaves_half_to_those_who_come_later() -> None:
    async with queue_of(4) as queue:
        await queue.ask(A, "a1", "a2", "a3", "a4")
        assert queue.served == ["a1", "a2"]
        await queue.ask(B, "b1")
        await queue.ask(C, "c1")
        assert queue.served == ["a1", "a2", "b1", "c1"]


@pytest.mark.parametrize(("places", "of_one"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
async def test_half_is_rounded_up(places: int, of_one: int) -> None:
    async with queue_of(places) as queue:
        await queue.ask(A, *(f"a{number}" for number in range(places + 1)))
        assert len(queue.served) == of_one


async def test_users_are_served_in_turn() -> None:
    async with queue_of(1) as queue:
        await queue.ask(A, "a1", "a2", "a3")
        await queue.ask(B, "b1", "b2")
        await queue.ask(C, "c1")
        for name in ("a1", "b1", "c1", "a2", "b2"):
            assert queue.served[-1] == name
            await queue.end(name)
        assert queue.served == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_user_who_gives_up_and_returns_goes_before_those_who_always_wait() -> None:
    async with queue_of(2) as queue:
        await queue.ask(A, "a1", "a2", "a3")
        await queue.ask(C, "c1", "c2", "c3")
        await queue.ask(B, "b1")
        queue.tasks["b1"].cancel()
        await settled()
        await queue.ask(B, "b2")
        await queue.end("a1")
        assert queue.served == ["a1", "c1", "b2"]
        await queue.end("b2")
        await queue.ask(B, "b3")
        await queue.end("c1")
        assert queue.served == ["a1", "c1", "b2", "a2", "c2"]


async def test_old_turns_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentinel_worker.concurrency.turns.REMEMBERED_USERS", 2)
    shares = FairPlaces(1)
    for user in (A, B, C):
        async with shares.place(user):
            pass
    assert list(shares._turns._last) == [B, C]


async def test_a_place_that_never_becomes_free_is_not_waited_for_long() -> None:
    async with queue_of(1, patience_seconds=0.05) as queue:
        await queue.ask(A, "a1")
        for _ in range(2):
            with pytest.raises(Transient, match="worker_busy") as busy:
                async with queue.shares.place(B):
                    raise AssertionError("a place was given twice")
            assert busy.value.retry_after_seconds
        await queue.end("a1")
        await queue.ask(B, "b1")
        assert queue.served == ["a1", "b1"]
        assert not queue.shares._waiting


async def test_giving_up_loses_no_place() -> None:
    async with queue_of(1) as queue:
        await queue.ask(A, "a1", "a2")
        await queue.ask(B, "b1")
        queue.tasks["a2"].cancel()  # while it waits
        await queue.end("a1")
        assert queue.served == ["a1", "b1"]
        await queue.end("b1")
        async with queue.shares.place(C):
            await queue.ask(A, "a3")
        queue.tasks["a3"].cancel()  # it was given the place just now, and does not know yet
        await settled()
        assert queue.served == ["a1", "b1"]
        assert not queue.shares._held
        assert not queue.shares._waiting
        await queue.ask(C, "c1")
        assert queue.served == ["a1", "b1", "c1"]


async def test_a_user_holds_at_most_half_of_what_the_others_leave() -> None:
    async with queue_of(8) as queue:
        for user, name in ((A, "a"), (B, "b"), (C, "c")):
            await queue.ask(user, *(f"{name}{number}" for number in range(1, 9)))
        assert queue.served == ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]
        await queue.end("a1")
        assert queue.served[7:] == ["c2"], "C may have half of three places; A and B have their share"
        await queue.end("b1", "b2")
        assert queue.served[8:] == ["b3", "b4"]
