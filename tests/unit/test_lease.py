"""What ends guarded work, and how."""

import asyncio
import uuid
from datetime import UTC, datetime

import pytest

from sentinel_worker.errors import Cancelled, LeaseLost, Released, Transient
from sentinel_worker.lease import Lease, boottime
from sentinel_worker.request import Claim


def a_claim(lease_seconds: float = 60) -> Claim:
    return Claim(
        id=uuid.uuid4(),
        fence=uuid.uuid4(),
        user_id=uuid.uuid4(),
        media_kind="video",
        storage_path="u/x.mp4",
        source_url=None,
        detector=None,
        options={},
        attempt=1,
        max_attempts=5,
        crashes=0,
        cancel_requested=False,
        created_at=datetime.now(UTC),
        lease_seconds=lease_seconds,
        queued_seconds=0,
        reoffered=False,
    )


@pytest.mark.parametrize("reason", [LeaseLost(), Cancelled(), Released()])
async def test_the_end_of_a_lease_stops_its_work(reason: LeaseLost | Cancelled | Released) -> None:
    lease = Lease(a_claim(), boottime())
    entered = asyncio.Event()

    async def work() -> None:
        with lease.guard():
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    lease.end(reason)
    with pytest.raises(type(reason)):
        await task
    assert not task.cancelled()


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    lease = Lease(a_claim(), boottime())
    entered = asyncio.Event()

    async def work() -> None:
        with lease.guard():
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
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
