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
LOOK_SECONDS = 0.001
"""Short beside the probing; a loop without a pause would take the processor from the worker it waits for."""
STEP_SECONDS = 0.02
"""How long a frozen child is let go on before it is looked at again."""
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
    """Stop the decoding child as soon as it is there: probing is over in a moment, so nothing else is looked at."""
    found: list[int] = []
    async with asyncio.timeout(SEEN_SECONDS):
        while not found:
            await asyncio.sleep(LOOK_SECONDS)
            found = [child for zygote in zygotes for child in children(zygote)]
    os.kill(found[0], signal.SIGSTOP)
    return found[0]


@asynccontextmanager
async def in_stage(
    stage: Stage, stack: Stack, worker: Worker, proxy: FaultProxy, user: User, film: Path
) -> AsyncIterator[str]:
    """A request of this worker that stays in `stage` until the end of the block, or is ended there."""
    proxy.again()
    proxy.hold = HELD_ANSWERS.get(stage)
    proxy.hold_request = HELD_REQUEST if stage == "finishing" else None
    request_id = await user.ask(film)
    if stage not in ("probing", "analyzing"):
        await asyncio.wait_for(proxy.held.wait(), SEEN_SECONDS)
        yield request_id
        proxy.release.set()
        return
    for _ in range(5):
        child = await frozen_child(children(worker.pid))
        if await stepped_to(stage, stack, request_id, child):
            break
        await user.answer(request_id)  # it was over before it was seen: another one
        request_id = await user.ask(film)
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
        await asyncio.sleep(SHOWN_SECONDS)
        if sql(stack, "select stage from analysis_requests where id = %s", request_id) == [{"stage": stage}]:
            return True
        try:
            os.kill(child, signal.SIGCONT)
            await asyncio.sleep(STEP_SECONDS)
            os.kill(child, signal.SIGSTOP)
        except ProcessLookupError:
            return False
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
