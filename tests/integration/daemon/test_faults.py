"""Kills, stops and lost answers: no request is lost, none is answered twice."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import psycopg
import pytest

from sentinel_worker.local.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User, Worker, row_when, sql, until
from tests.integration.daemon.proxy import FaultProxy

DOWNLOAD = "GET /storage/v1/object/authenticated/media/"


def owner(stack: Stack, request_id: str) -> str:
    query = "select w.name from sentinel.leases l join sentinel.workers w on w.id = l.worker where l.request_id = %s"
    return str(sql(stack, query, request_id)[0]["name"])


def history(stack: Stack, request_id: str) -> list[tuple[int, str, str]]:
    query = "select attempt, outcome, answer from sentinel.attempts where request_id = %s order by finished_at"
    return [(row["attempt"], row["outcome"], row["answer"]) for row in sql(stack, query, request_id)]


def current_results(stack: Stack, request_id: str) -> int:
    return len(sql(stack, "select from analysis_results where request_id = %s and is_current", request_id))


async def two_workers(start_worker: StartWorker, proxy: FaultProxy) -> dict[str, Worker]:
    return {"worker-1": await start_worker(via=proxy), "worker-2": await start_worker(via=proxy)}


async def test_kill_9_in_the_middle_of_a_request(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    proxy.hold = DOWNLOAD
    workers = await two_workers(start_worker, proxy)
    request_id = await user.ask(clips["bikes-tampered.mp4"])
    await proxy.held.wait()
    victim = workers.pop(owner(stack, request_id))
    os.kill(victim.pid, signal.SIGKILL)
    proxy.release.set()
    row = await user.answer(request_id)
    (survivor,) = workers
    assert (row["status"], row["verdict"], row["attempt"], row["crashes"]) == ("succeeded", "fake", 2, 1)
    assert history(stack, request_id) == [(1, "lease_expired", "scheduled"), (2, "succeeded", "succeeded")]
    assert current_results(stack, request_id) == 1
    names = sql(stack, "select w.name from analysis_results r join sentinel.workers w on w.id = r.worker")
    assert names == [{"name": survivor}]


async def test_a_worker_that_was_stopped_past_its_lease_writes_nothing(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    proxy.hold = DOWNLOAD
    workers = await two_workers(start_worker, proxy)
    request_id = await user.ask(clips["bikes.mp4"])
    await proxy.held.wait()
    stopped = workers[owner(stack, request_id)]
    old_fence = sql(stack, "select fence from sentinel.leases")[0]["fence"]
    os.kill(stopped.pid, signal.SIGSTOP)
    proxy.release.set()
    row = await user.answer(request_id)
    assert (row["status"], row["attempt"]) == ("succeeded", 2)
    before = sql(stack, "select name, updated_at from storage.objects where bucket_id = 'derived' order by name")
    os.kill(stopped.pid, signal.SIGCONT)
    await until(
        lambda: "request.lease_lost" in stopped.said(),
        what="the revived worker gives up", log=stopped.log,
    )  # fmt: skip
    assert await stopped.process.stop() == 0
    after = sql(stack, "select name, updated_at from storage.objects where bucket_id = 'derived' order by name")
    assert after == before
    assert not [item for item in after if str(old_fence) in item["name"]]
    assert sql(stack, "select * from analysis_requests where id = %s", request_id) == [row]
    assert current_results(stack, request_id) == 1


@pytest.mark.parametrize("answer_with", [b'"reoffered":', b'"answer":"succeeded"'], ids=["claim", "finish"])
async def test_a_lost_answer_is_asked_again(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy, answer_with: bytes
) -> None:
    await start_worker(via=proxy, SENTINEL_LEASE_SECONDS="30")
    proxy.lose, proxy.losses = answer_with, 2
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    row = await user.answer(request_id)
    await asyncio.wait_for(proxy.lost.wait(), 10)
    assert (row["status"], row["attempt"], row["crashes"]) == ("succeeded", 1, 0)
    assert history(stack, request_id) == [(1, "succeeded", "succeeded")]
    assert current_results(stack, request_id) == 1


async def test_the_gateway_and_the_database_come_back(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    worker = await start_worker()
    asked = []
    for stop, start in [
        (stack.stop_gateway, stack.start_gateway),
        (stack.stop_postgres, stack.start_postgres),
    ]:
        asked += [await user.ask(clips["carphone_pristine.mp4"]) for _ in range(3)]
        await stop()
        await until(
            lambda: bool({"worker.call_failed", "lease.heartbeat_failed"} & worker.said()),
            what="the worker notices", log=worker.log,
        )  # fmt: skip
        await start()
        for request_id in asked:
            row = await user.answer(request_id)
            assert row["status"] == "succeeded", row
            assert current_results(stack, request_id) == 1
            assert [answer for _, _, answer in history(stack, request_id)].count("succeeded") == 1
    assert await worker.process.stop() == 0


async def test_requeue_by_plain_sql_is_done_again_at_once(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy,
    admin: psycopg.Connection,
) -> None:  # fmt: skip
    await start_worker(via=proxy)
    failed = await user.insert(f"{user.id}/late.mp4")
    assert (await user.answer(failed))["error_code"] == "object_not_found"
    await user.upload(clips["carphone_pristine.mp4"], "late.mp4")
    admin.execute("update analysis_requests set status = 'queued' where status = 'failed'")
    assert (await user.answer(failed))["verdict"] == "real"

    admin.execute("update analysis_requests set status = 'queued' where id = %s", (failed,))
    await row_when(stack, failed, lambda row: row["status"] == "succeeded")
    kept = sql(stack, "select is_current from analysis_results where request_id = %s order by created_at", failed)
    assert [row["is_current"] for row in kept] == [False, True]

    proxy.hold = DOWNLOAD
    running = await user.ask(clips["bikes.mp4"])
    await proxy.held.wait()
    with pytest.raises(psycopg.Error, match="set only by a worker"):
        admin.execute("update analysis_requests set status = 'running' where id = %s", (failed,))
    admin.execute("update analysis_requests set status = 'queued' where id = %s", (running,))
    proxy.release.set()
    row = await user.answer(running)
    assert (row["status"], row["attempt"]) == ("succeeded", 1)
    assert history(stack, running) == [(1, "moved_by_hand", "queued"), (1, "succeeded", "succeeded")]
    assert current_results(stack, running) == 1


async def test_wrong_settings_are_all_named_and_exit_2(stack: Stack, start_worker: StartWorker) -> None:
    wrong = {"SENTINEL_SLOTS": "many", "SENTINEL_LEASE_SECONDS": "3", "SENTINEL_HEARTBEAT_SECONDS": "2"}
    worker = await start_worker(wait=False, **wrong)
    assert await worker.process.wait() == 2
    said = worker.log.read_text()
    assert "SENTINEL_SLOTS" in said
    assert "SENTINEL_HEARTBEAT_SECONDS" in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SUPABASE_SECRET_KEY": "sb_secret_wrong"}, "access_refused"),
        ({"SENTINEL_DETECTOR": "no-such", "SENTINEL_DETECTOR_PATH": ""}, "SENTINEL_DETECTOR_PATH"),
        ({"SENTINEL_DETECTOR_PATH": "/"}, "checkpoint"),
    ],
)
async def test_what_the_operator_must_mend_exits_2(
    stack: Stack, start_worker: StartWorker, settings: dict[str, str], said: str
) -> None:
    worker = await start_worker(wait=False, **settings)
    assert await worker.process.wait() == 2
    assert said in worker.log.read_text()


async def test_a_worker_starts_without_supabase_and_waits_for_it(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    await stack.stop_gateway()
    worker = await start_worker(wait=False)
    await until(
        lambda: "worker.call_failed" in worker.said(),
        what="it waits",
        log=worker.log,
    )
    await stack.start_gateway()
    assert (await user.answer(request_id))["status"] == "succeeded"


async def test_the_worker_and_its_children_end_with_its_parent(stack: Stack, start_worker: StartWorker) -> None:
    worker = await start_worker()
    zygotes = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    os.kill(worker.pid, signal.SIGKILL)
    await asyncio.wait_for(worker.process.wait(), 5)
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in zygotes), what="the zygote ended")
    assert httpx.get(f"{stack.url}/auth/v1/health").status_code < 500
