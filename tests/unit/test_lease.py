"""Ends of guarded work, and their causes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest
from supabase import Client, ClientOptions

from sentinel_worker.domain.errors import Cancelled, LeaseLost, Permanent, Released, Transient
from sentinel_worker.queue.lease import Lease, Leases, boottime
from sentinel_worker.worker.error_outcomes import finish_for
from tests.claims import a_claim


async def guarded(lease: Lease) -> asyncio.Task[None]:
    """Work that holds `lease` and, once begun, waits forever."""
    entered = asyncio.Event()

    async def work() -> None:
        with lease.guard():
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    return task


@pytest.mark.parametrize("reason", [LeaseLost(), Cancelled(), Released()])
async def test_the_end_of_a_lease_stops_its_work(reason: LeaseLost | Cancelled | Released) -> None:
    lease = Lease(a_claim(), boottime())
    task = await guarded(lease)
    lease.end(reason)
    with pytest.raises(type(reason)):
        await task
    assert not task.cancelled()


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    lease = Lease(a_claim(), boottime())
    task = await guarded(lease)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_ends_after_its_lease_writes_nothing() -> None:
    lease = Lease(a_claim(), boottime())
    guard = lease.guard()
    guard.__enter__()
    lease._task = None  # the moment between the last await and the end of the block
    lease.end(Cancelled())
    with pytest.raises(Cancelled):
        guard.__exit__(None, None, None)


async def test_work_ends_for_good_when_nobody_waits_for_the_answer_any_more() -> None:
    lease = Lease(replace(a_claim(), answer_seconds=0.01), boottime())
    task = await guarded(lease)
    lease.watch()
    with pytest.raises(Permanent) as ended:
        await task
    assert ended.value.code == "answer_too_late"
    assert finish_for(ended.value, lease.claim, "analyzing").outcome == "failed"
    lease.unwatch()


async def test_work_that_ends_before_that_time_is_an_answer() -> None:
    lease = Lease(replace(a_claim(), answer_seconds=3600), boottime())
    lease.watch()
    with lease.guard():
        await asyncio.sleep(0)
    lease.unwatch()


async def test_a_request_that_is_too_late_already_does_not_begin() -> None:
    lease = Lease(replace(a_claim(), answer_seconds=-1), boottime())
    lease.watch()
    with pytest.raises(Permanent, match="answer_too_late"), lease.guard():
        raise AssertionError("it began")


async def test_an_expired_lease_refuses_writes() -> None:
    lease = Lease(a_claim(lease_seconds=0), boottime())
    with pytest.raises(LeaseLost):
        lease.check()


async def test_a_stage_that_takes_too_long_is_worth_a_retry() -> None:
    lease = Lease(a_claim(), boottime())
    with pytest.raises(Transient) as caught:
        async with lease.enter("probing", 0.01):
            await asyncio.Event().wait()
    assert caught.value.code == "stage_timed_out"
    assert lease.stage_deadline is None


class Heartbeats:
    """A client whose heartbeats all get one answer; the first two can be awaited."""

    def __init__(self, answer: str) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._calls = 0
        self.first_was_read = asyncio.Event()
        """Set when the second one begins."""

    def client(self) -> Client:
        http = httpx.Client(transport=httpx.MockTransport(self._reply))
        return Client("http://supabase.test", "key", ClientOptions(httpx_client=http))

    def _reply(self, request: httpx.Request) -> httpx.Response:
        self._calls += 1
        if self._calls == 2:
            self._loop.call_soon_threadsafe(self.first_was_read.set)
        leases = json.loads(request.content)["args"]["leases"]
        return httpx.Response(200, json=[{"id": lease["id"], "answer": self._answer} for lease in leases])


@asynccontextmanager
async def heard(answer: str, lease_seconds: float = 60) -> AsyncIterator[tuple[Lease, float]]:
    """A lease after at least one heartbeat with this `answer`, and its expiry before that."""
    heartbeats = Heartbeats(answer)
    leases = Leases(heartbeats.client(), uuid4(), lease_seconds=60, heartbeat_seconds=0.01)
    lease = leases.add(a_claim(lease_seconds), boottime())
    before = lease.expires_at
    leases.start()
    try:
        await heartbeats.first_was_read.wait()
        yield lease, before
    finally:
        await leases.stop()
        leases.remove(lease)


async def test_a_heartbeat_answered_with_ok_extends_the_lease() -> None:
    async with heard("ok", lease_seconds=10) as (lease, before):
        assert lease.expires_at > before + 49
        lease.check()


@pytest.mark.parametrize("answer", ["busy", "a word of a later schema"])
async def test_a_lease_that_was_not_extended_keeps_its_time_and_is_asked_for_again(answer: str) -> None:
    async with heard(answer, lease_seconds=10) as (lease, before):
        assert lease.expires_at == before
        lease.check()


@pytest.mark.parametrize(("answer", "error"), [("lost", LeaseLost), ("cancel", Cancelled)])
async def test_a_heartbeat_stops_what_should_not_continue(answer: str, error: type[LeaseLost | Cancelled]) -> None:
    async with heard(answer) as (lease, _):
        with pytest.raises(error):
            lease.check()
