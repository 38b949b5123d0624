"""Deliberate ends of work: cancel, SIGTERM, and a drain or a pause in SQL. Also the sweep without hints."""

import signal
from pathlib import Path

import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import registered, row_when, sql
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


@pytest.mark.parametrize("realtime", ["true", "false"])
async def test_an_admin_drains_one_worker_in_sql(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy, realtime: str
) -> None:
    proxy.hold = "GET /storage/v1/object/authenticated/media/"
    worker = await start_worker(via=proxy, SENTINEL_REALTIME=realtime)
    running = await user.ask(clips["carphone_pristine.mp4"])
    await proxy.held.wait()
    asked = "update sentinel.workers set draining = true where name = 'worker-1' returning id"
    assert len(sql(stack, asked)) == 1
    waiting = await user.ask(clips["carphone_pristine.mp4"])
    await until(lambda: "worker.draining" in worker.said(), what="draining", log=worker.log)
    proxy.release.set()
    assert (await user.answer(running))["status"] == "succeeded"
    assert await worker.process.wait() == 0
    assert {"worker.drain_asked", "worker.stopped"} <= worker.said()
    assert not registered(stack, "worker-1")
    await start_worker()
    row = await user.answer(waiting)
    assert (row["status"], row["attempt"]) == ("succeeded", 1), "the draining worker did not claim it"


async def test_a_pause_holds_what_waits_and_its_end_wakes_the_worker(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    await start_worker(SENTINEL_SWEEP_SECONDS="600", SENTINEL_SWEEP_DEGRADED_SECONDS="600")
    (pause,) = sql(stack, "insert into sentinel.paused (user_id) values (%s) returning id", user.id)
    try:
        request_id = await user.ask(clips["carphone_pristine.mp4"])
        (other,) = sql(
            stack,
            "with another as (insert into auth.users (id) values (gen_random_uuid()) returning id)"
            " insert into analysis_requests (user_id, source_url) select id, 'https://example.invalid/a' from another"
            " returning id",
        )
        await row_when(stack, str(other["id"]), lambda row: row["status"] != "queued")
        (row,) = sql(stack, "select status from analysis_requests where id = %s", request_id)
        assert row["status"] == "queued", "another user's later request was claimed, and this one was not"
    finally:
        sql(stack, "delete from sentinel.paused where id = %s returning id", pause["id"])
        sql(stack, "delete from analysis_requests where source_url = 'https://example.invalid/a' returning id")
    assert (await user.answer(request_id))["status"] == "succeeded"


async def test_a_stopped_worker_leaves_the_list_and_a_killed_one_stays(stack: Stack, start_worker: StartWorker) -> None:
    stopped, killed = await start_worker(), await start_worker()
    assert await stopped.process.stop() == 0
    killed.process.signal(signal.SIGKILL)
    await killed.process.wait()
    assert (registered(stack, "worker-1"), registered(stack, "worker-2")) == (False, True)
