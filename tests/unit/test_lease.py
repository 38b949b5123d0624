"""What ends guarded work, and how."""

import asyncio

import pytest

from sentinel_worker.errors import Cancelled, LeaseLost, Released, Transient
from sentinel_worker.lease import Lease, boottime
from tests.claims import a_claim


async def guarded(lease: Lease) -> asyncio.Task[None]:
    """Work that holds `lease` and waits for ever, once it has begun."""
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
