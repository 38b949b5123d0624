"""Deleted analyses and lost attempts leave no file in Storage, and a worker's own role can ensure that."""

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.claimant import Claimant
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import sql
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOWNLOAD = "GET /storage/v1/object/authenticated/media/"
UPLOAD = "POST /storage/v1/object/derived/"
REMOVED = b'"last_accessed_at":'


def stored(stack: Stack, name: str) -> int:
    """Count the objects at or below `name`."""
    return len(sql(stack, "select from storage.objects where starts_with(name, %s)", name))


def token_of_a_worker(stack: Stack) -> str:
    return stack.keys.sign({"role": "sentinel_worker", "aud": "authenticated", "exp": int(time.time()) + 3600})


async def test_files_go_with_their_analysis(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    worker = await start_worker(
        SUPABASE_SECRET_KEY="", SUPABASE_PUBLISHABLE_KEY=stack.publishable_key,
        SENTINEL_WORKER_JWT=token_of_a_worker(stack),
    )  # fmt: skip
    kept, gone = [await user.ask(clips["bikes.mp4"]) for _ in range(2)]
    for request in (kept, gone):
        assert (await user.answer(request))["status"] == "succeeded"
    film = sql(stack, "select storage_path from analysis_requests where id = %s", gone)[0]["storage_path"]
    assert stored(stack, f"{user.id}/{gone}/") == 3
    answer = await user.client.rpc("delete_analysis", {"id": gone}).execute()
    assert answer.data == "deleted"
    await until(lambda: not stored(stack, film) and not stored(stack, f"{user.id}/{gone}/"), what="its files are gone")
    assert stored(stack, f"{user.id}/{kept}/") == 3
    await until(lambda: "storage.removed" in worker.said(), what="it is logged", log=worker.log)
    assert "storage.removal_failed" not in worker.said()


async def test_a_removal_whose_answer_was_lost_is_done_again(
    stack: Stack, start_worker: StartWorker, user: User, admin: psycopg.Connection, proxy: FaultProxy
) -> None:
    worker = await start_worker(via=proxy, SENTINEL_REALTIME="false")
    path = await user.upload(b"no film", "x.mp4")
    request = await user.insert(path)
    assert (await user.answer(request))["status"] == "failed"
    proxy.lose, proxy.losses = REMOVED, 1
    await user.client.rpc("delete_analysis", {"id": request}).execute()
    await until(lambda: "storage.removal_failed" in worker.said(), what="the removal's answer was lost")
    admin.execute("update sentinel.deletions set due_at = now(), keep_until = now()")
    await until(lambda: not sql(stack, "select from sentinel.deletions"), what="the outbox is empty")
    assert stored(stack, path) == 0


async def test_a_running_analysis_is_deleted_under_its_worker(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    worker = await start_worker(via=proxy)
    proxy.hold = DOWNLOAD
    request = await user.ask(clips["bikes.mp4"])
    await proxy.held.wait()
    await user.client.rpc("delete_analysis", {"id": request}).execute()
    await until(lambda: "request.lease_lost" in worker.said(), what="the worker heard of it")
    proxy.release.set()
    other = await user.ask(clips["bikes.mp4"])
    assert (await user.answer(other))["status"] == "succeeded"
    assert stored(stack, f"{user.id}/{request}/") == 0


async def test_a_worker_that_is_killed_while_it_uploads_leaves_nothing(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    proxy.hold = UPLOAD
    killed = await start_worker(via=proxy, SENTINEL_REALTIME="false")
    request = await user.ask(clips["bikes.mp4"])
    await proxy.held.wait()
    folder = folder_of_the_attempt(stack, request)
    assert stored(stack, folder) == 1
    os.kill(killed.pid, signal.SIGKILL)
    await start_worker(
        SENTINEL_REALTIME="false", SUPABASE_SECRET_KEY="", SUPABASE_PUBLISHABLE_KEY=stack.publishable_key,
        SENTINEL_WORKER_JWT=token_of_a_worker(stack),
    )  # fmt: skip
    assert (await user.answer(request))["status"] == "succeeded"
    await until(lambda: to_be_looked_at_again(stack, folder), what="the first attempt's files are gone")
    assert stored(stack, folder) == 0
    with Claimant(stack) as late:
        late.put("derived", f"{folder}late.jpg")
    sql(stack, "update sentinel.deletions set due_at = now() where name = %s returning id", folder)
    await until(lambda: not stored(stack, folder), what="an upload that was under way is gone too")
    derived = sql(stack, "select derived from analysis_results where request_id = %s", request)[0]["derived"]
    assert {stored(stack, path) for path in derived.values()} == {1}


def folder_of_the_attempt(stack: Stack, request: str) -> str:
    """Return the folder of the running attempt's derived files."""
    (lease,) = sql(stack, "select fence from sentinel.leases where request_id = %s", request)
    (row,) = sql(stack, "select user_id from analysis_requests where id = %s", request)
    return f"{row['user_id']}/{request}/{lease['fence']}/"


def to_be_looked_at_again(stack: Stack, folder: str) -> bool:
    """True if the folder was found empty, and the outbox keeps it only for files that arrive late."""
    return bool(sql(stack, "select from sentinel.deletions where name = %s and due_at = keep_until", folder))
