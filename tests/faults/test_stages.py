"""SIGTERM and a restart of the database in each stage of a request, with the whole worker and real media."""

from pathlib import Path
from typing import get_args

import pytest

from sentinel_local_supabase.stack import Stack
from sentinel_worker.domain.request import Stage
from tests.faults.stages import in_stage
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import current_results, history, row_when, sql
from tests.matrix import sampled
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("stage", sampled("faults", get_args(Stage), ["finishing"]))
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
    if stage == "finishing":  # the work was done, and its outcome is kept
        assert (await user.answer(request_id))["status"] == "succeeded"
        assert current_results(stack, request_id) == 1
    assert await worker.process.wait() == 0
    assert not sql(stack, "select from sentinel.leases")


@pytest.mark.matrix("faults")
async def test_the_database_restarts_in_each_stage(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    worker = await start_worker(via=proxy, SENTINEL_LEASE_SECONDS="30")
    for stage in get_args(Stage):
        async with in_stage(stage, stack, worker, proxy, user, clips["bikes.mp4"]) as request_id:
            await stack.stop_postgres()
            await stack.start_postgres()
        row = await user.answer(request_id)
        assert (row["status"], current_results(stack, request_id)) == ("succeeded", 1), (stage, row)
        assert history(stack, request_id) == [(1, "succeeded", "succeeded")], stage
    assert await worker.process.stop() == 0
