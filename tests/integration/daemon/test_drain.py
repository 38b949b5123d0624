"""Deliberate ends of work: cancel and SIGTERM. Also the sweep without hints."""

from pathlib import Path

import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import row_when, sql
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_without_realtime_rows_are_found_by_the_sweep(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    await start_worker(SENTINEL_REALTIME="false")
    row = await user.answer(await user.ask(clips["carphone_pristine.mp4"]))
    assert row["verdict"] == "real"


async def test_a_cancelled_request_stops(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    proxy.hold = "GET /storage/v1/object/authenticated/media/"
    await start_worker(via=proxy)
    request_id = await user.ask(clips["bikes.mp4"])
    await proxy.held.wait()
    await user.client.rpc("cancel_analysis", {"id": request_id}).execute()
    row = await user.answer(request_id)
    assert (row["status"], row["verdict"]) == ("cancelled", None)
    proxy.release.set()


async def test_sigterm_drains_and_refunds(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    proxy.hold = "GET /storage/v1/object/authenticated/media/"
    worker = await start_worker(via=proxy, SENTINEL_DRAIN_SECONDS="0.5")
    request_id = await user.ask(clips["bikes.mp4"])
    await proxy.held.wait()
    assert await worker.process.stop() == 0
    row = await row_when(stack, request_id, lambda row: row["status"] == "queued")
    assert row["attempt"] == 0
    history = sql(stack, "select outcome, answer from sentinel.attempts where request_id = %s", request_id)
    assert history == [{"outcome": "released", "answer": "queued"}]
    assert not sql(stack, "select from sentinel.leases")


async def test_sigterm_lets_running_work_finish(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    proxy.hold = "GET /storage/v1/object/authenticated/media/"
    worker = await start_worker(via=proxy)
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    await proxy.held.wait()
    worker.process.signal()
    await until(lambda: "worker.draining" in worker.said(), what="draining", log=worker.log)
    proxy.release.set()
    assert (await user.answer(request_id))["status"] == "succeeded"
    assert await worker.process.wait() == 0
