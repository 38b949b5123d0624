"""SIGTERM and a restart of the database in each stage of a request, with the whole worker and real media."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sentinel_worker.local.stack import Stack
from sentinel_worker.request import STAGES, Stage
from tests.integration.daemon.conftest import (
    StartWorker,
    User,
    Worker,
    current_results,
    history,
    row_when,
    sql,
    until,
)
from tests.integration.daemon.proxy import FaultProxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELD_ANSWERS = {
    "fetching": "GET /storage/v1/object/authenticated/media/",
    "deriving": "POST /storage/v1/object/derived/",
}
HELD_REQUEST = "POST /rest/v1/rpc/sentinel_finish"
SEEN_SECONDS = 90
STEP_SECONDS = 0.01
"""How long a frozen child may work before its request is looked at again."""
SHOWN_SECONDS = 1.3
"""By then a change of stage is in the row: progress is written once a second."""


def children(process: int) -> list[int]:
    """The children of all its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found


async def frozen_child(zygotes: list[int]) -> int:
    """Stop the decoding child as soon as it is there; without a pause, since probing is over in a moment."""
    found: list[int] = []
    async with asyncio.timeout(SEEN_SECONDS):
        while not found:
            await asyncio.sleep(0)  # the proxy lives in this loop
            found = [child for zygote in zygotes for child in children(zygote)]
    os.kill(found[0], signal.SIGSTOP)
    return found[0]


async def frozen_at_its_start(stack: Stack, worker: Worker, user: User, film: Path) -> tuple[str, int]:
    """A new request and its child; the zygote waits until the file is being fetched, so that nobody comes too late."""
    zygotes = children(worker.pid)
    for zygote in zygotes:
        os.kill(zygote, signal.SIGSTOP)
    try:
        request_id = await user.ask(film)
        await row_when(stack, request_id, lambda row: row["stage"] == "fetching")
    finally:
        for zygote in zygotes:
            os.kill(zygote, signal.SIGCONT)
    return request_id, await frozen_child(zygotes)


def worked_seconds(process: int) -> float:
    """How long its main thread has had a processor."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


async def go_on(child: int) -> None:
    """Let it work for some milliseconds, however busy this machine is; or wait, if it does, a little longer."""
    until_seconds = worked_seconds(child) + STEP_SECONDS
    os.kill(child, signal.SIGCONT)
    for _ in range(50):
        await asyncio.sleep(STEP_SECONDS / 4)
        if worked_seconds(child) >= until_seconds:
            break
    os.kill(child, signal.SIGSTOP)


@asynccontextmanager
async def in_stage(
    stage: Stage, stack: Stack, worker: Worker, proxy: FaultProxy, user: User, film: Path
) -> AsyncIterator[str]:
    """A request of this worker that stays in `stage` until the end of the block, or is ended there."""
    proxy.again()
    proxy.hold = HELD_ANSWERS.get(stage)
    proxy.hold_request = HELD_REQUEST if stage == "finishing" else None
    if stage not in ("probing", "analyzing"):
        request_id = await user.ask(film)
        await asyncio.wait_for(proxy.held.wait(), SEEN_SECONDS)
        yield request_id
        proxy.release.set()
        return
    for _ in range(5):
        request_id, child = await frozen_at_its_start(stack, worker, user, film)
        if await stepped_to(stage, stack, request_id, child):
            break
        await user.answer(request_id)  # a step was too long, and it is over
    else:
        pytest.fail(f"no request was seen {stage}")
    try:
        yield request_id
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGCONT)


async def stepped_to(stage: Stage, stack: Stack, request_id: str, child: int) -> bool:
    """Let the frozen child go on, step by step, until its request shows `stage`; False when it got past it."""
    for _ in range(20):
        if sql(stack, "select stage from analysis_requests where id = %s", request_id) == [{"stage": stage}]:
            return True
        try:
            await go_on(child)
        except (ProcessLookupError, FileNotFoundError):
            return False
        await asyncio.sleep(SHOWN_SECONDS)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGCONT)
    return False


@pytest.mark.parametrize("stage", STAGES)
async def test_sigterm_in_each_stage(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy, stage: Stage
) -> None:
    worker = await start_worker(via=proxy, SENTINEL_DRAIN_SECONDS="0.5", SENTINEL_LEASE_SECONDS="30")
    async with in_stage(stage, stack, worker, proxy, user, clips["bikes.mp4"]) as request_id:
        worker.process.signal()
        await until(lambda: "worker.drain_expired" in worker.said(), what="the drain is over", log=worker.log)
        if stage != "finishing":
            row = await row_when(stack, request_id, lambda row: row["status"] == "queued")
            assert row["attempt"] == 0
            assert history(stack, request_id) == [(1, "released", "queued")]
    if stage == "finishing":  # the work was done, and its outcome is not thrown away
        assert (await user.answer(request_id))["status"] == "succeeded"
        assert current_results(stack, request_id) == 1
    assert await worker.process.wait() == 0
    assert not sql(stack, "select from sentinel.leases")


async def test_the_database_restarts_in_each_stage(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    worker = await start_worker(via=proxy, SENTINEL_LEASE_SECONDS="30")
    for stage in STAGES:
        async with in_stage(stage, stack, worker, proxy, user, clips["bikes.mp4"]) as request_id:
            await stack.stop_postgres()
            await stack.start_postgres()
        row = await user.answer(request_id)
        assert (row["status"], current_results(stack, request_id)) == ("succeeded", 1), (stage, row)
        assert history(stack, request_id) == [(1, "succeeded", "succeeded")], stage
    assert await worker.process.stop() == 0
