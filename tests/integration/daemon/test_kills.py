"""Workers die or freeze: the request is done once, by another worker."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User, Worker
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import current_results, history, owner, sql
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRITERS = """
select w.name from analysis_results r join sentinel.attempts a using (fence) join sentinel.workers w on w.id = a.worker
"""
DOWNLOAD = "GET /storage/v1/object/authenticated/media/"


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
    names = sql(stack, WRITERS)
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


async def test_a_finish_that_arrives_after_its_lease_changes_nothing(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    proxy.hold_request = "POST /rest/v1/rpc/sentinel_finish"
    frozen = await start_worker(via=proxy)
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    await proxy.held.wait()
    old_fence = sql(stack, "select fence from sentinel.leases")[0]["fence"]
    os.kill(frozen.pid, signal.SIGSTOP)
    await start_worker()
    row = await user.answer(request_id)
    proxy.release.set()
    os.kill(frozen.pid, signal.SIGCONT)
    await until(lambda: "request.lease_lost" in frozen.said(), what="the late finish is lost", log=frozen.log)
    assert (row["status"], row["attempt"]) == ("succeeded", 2)
    assert sql(stack, "select * from analysis_requests where id = %s", request_id) == [row]
    assert history(stack, request_id) == [(1, "lease_expired", "scheduled"), (2, "succeeded", "succeeded")]
    assert current_results(stack, request_id) == 1
    derived = sql(stack, "select derived from analysis_results where is_current")[0]["derived"]
    assert not [path for path in derived.values() if str(old_fence) in path]


async def test_the_worker_and_its_children_end_with_its_parent(stack: Stack, start_worker: StartWorker) -> None:
    worker = await start_worker(real=True)
    zygotes = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    os.kill(worker.pid, signal.SIGKILL)
    await asyncio.wait_for(worker.process.wait(), 5)
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in zygotes), what="the zygote ended")
    assert httpx.get(f"{stack.url}/auth/v1/health").status_code < 500
