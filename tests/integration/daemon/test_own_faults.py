"""Unexpected errors in the worker: a single one does not stop it; repeated ones drain it, and nothing is lost."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
import structlog

from bench.instant import Instant
from sentinel_local_supabase.faults import Faults, HttpFault
from sentinel_local_supabase.stack import Stack
from sentinel_worker import daemon
from sentinel_worker.concurrency import supervisor
from sentinel_worker.concurrency.supervisor import MOST_IN_A_ROW
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.domain.request import Finish
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.lease import Lease
from sentinel_worker.queue.progress import Progress
from sentinel_worker.queue.rights import RightsCheck
from sentinel_worker.worker.pipeline import Pipeline
from tests.integration.daemon.conftest import User
from tests.integration.daemon.queries import history, row_when, sql
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALLS = {
    "sentinel_claim",
    "sentinel_progress",
    "sentinel_finish",
    "sentinel_maintain",
    "sentinel_deletions",
    "sentinel_rights",
}
LOOPS = {"claims", "outcomes", "progress", "removals"}
FILE_TO_REMOVE = """
insert into sentinel.deletions (bucket_id, name, user_id, keep_until) values ('media', 'gone.mp4', %s, now())
returning id
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RETRY_FIRST_SECONDS", 0.01)


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as said:
        yield said


class Reporting(Instant):
    """An instant pipeline that shows progress and triggers a check of the worker's rights each time."""

    def __init__(self, progress: Progress, rights: RightsCheck, seconds: float = 0.0) -> None:
        super().__init__(seconds, lanes=("video/own-faults",))
        self.progress, self.rights = progress, rights

    async def analyze(self, lease: Lease) -> Finish:
        self.progress.report(lease.claim, "analyzing", 50)
        self.rights.doubt()
        return await super().analyze(lease)


def quick_settings(stack: Stack) -> Settings:
    quick = {
        "lease_seconds": 6,
        "heartbeat_seconds": 1,
        "sweep_seconds": 0.2,
        "sweep_degraded_seconds": 0.2,
        "drain_seconds": 1,
        "slots": 2,
    }
    return Settings.model_validate({"SUPABASE_URL": stack.url, "SUPABASE_SECRET_KEY": stack.secret_key, **quick})


async def ask(user: User) -> str:
    return await user.insert(f"{user.id}/x.mp4", media_kind="video", detector="own-faults")


@pytest.mark.parametrize("error", [ValueError, RecursionError])
async def test_a_fault_in_each_call_loses_nothing(
    stack: Stack, user: User, lines: list[Any], error: type[Exception]
) -> None:
    """Carry out each call once, then raise an unexpected exception."""
    to_fail: set[str] = set()

    class Faulty(QueueClient):
        async def _call(self, function: str, args: dict[str, Any]) -> list[dict[str, Any]]:
            rows = await super()._call(function, args)
            if function in to_fail and (function != "sentinel_claim" or rows):
                to_fail.remove(function)
                raise error("a fault")
            return rows

    def pipeline(_http: httpx.AsyncClient, progress: Progress, rights: RightsCheck) -> Pipeline:
        return cast(Pipeline, Reporting(progress, rights))

    async with daemon.open_worker(quick_settings(stack), uuid.uuid4(), pipeline, client_type=Faulty) as parts:
        running = asyncio.create_task(parts.worker.run(parts.rotation.run))
        await until(lambda: parts.health.state == "ready", what="it is ready")
        to_fail |= CALLS
        sql(stack, FILE_TO_REMOVE, user.id)
        asked = [await ask(user) for _ in range(3)]
        rows = [await user.answer(request_id) for request_id in asked]
        await until(lambda: not to_fail or running.done(), what=lambda: f"each call failed once but {to_fail}")
        rows.append(await user.answer(await ask(user)))
        assert not running.done()
        parts.worker.drain()
        await asyncio.wait_for(running, 30)
    assert [(row["status"], row["attempt"], row["crashes"]) for row in rows] == [("succeeded", 1, 0)] * 4
    faults = [line for line in lines if line["event"] == "worker.unhandled"]
    assert {line["where"] for line in faults} == LOOPS
    assert len(faults) == len(CALLS)


async def test_a_fault_that_recurs_ends_the_worker_which_hands_back_what_it_holds(
    stack: Stack, user: User, lines: list[Any]
) -> None:
    broken = False

    class Faulty(QueueClient):
        async def maintain(self, **_: Any) -> Any:
            if broken:
                raise ValueError("a fault")
            return await super().maintain(**_)

    def pipeline(_http: httpx.AsyncClient, progress: Progress, rights: RightsCheck) -> Pipeline:
        return cast(Pipeline, Reporting(progress, rights, seconds=60))

    async with daemon.open_worker(quick_settings(stack), uuid.uuid4(), pipeline, client_type=Faulty) as parts:
        running = asyncio.create_task(parts.worker.run(parts.rotation.run))
        request_id = await ask(user)
        await row_when(stack, request_id, lambda row: row["status"] == "running")
        broken = True
        with pytest.raises(Transient, match="worker_broken"):
            await asyncio.wait_for(running, 60)
    row = await row_when(stack, request_id, lambda _: True)
    assert (row["status"], row["attempt"], row["crashes"]) == ("queued", 0, 0)
    assert history(stack, request_id) == [(1, "released", "queued")]
    said = [(line["where"], line["in_a_row"]) for line in lines if line["event"] == "worker.unhandled"]
    assert said == [("claims", number) for number in range(1, 6)]
    assert [line["event"] for line in lines].count("worker.broken") == 1


async def test_a_worker_is_degraded_while_an_outcome_is_refused(stack: Stack, user: User, lines: list[Any]) -> None:
    def pipeline(_http: httpx.AsyncClient, progress: Progress, rights: RightsCheck) -> Pipeline:
        return cast(Pipeline, Reporting(progress, rights))

    async with daemon.open_worker(quick_settings(stack), uuid.uuid4(), pipeline) as parts:
        running = asyncio.create_task(parts.worker.run(parts.rotation.run))
        await until(lambda: parts.health.state == "ready", what="it is ready")
        await stack.misbehave(Faults(http=(HttpFault(service="rest", path="finish", status=400, body="html"),)))
        request_id = await ask(user)
        await until(lambda: parts.health.state == "degraded", what="it says so")
        assert parts.health.reason.startswith("An outcome cannot be written")
        await stack.behave()
        row = await user.answer(request_id)
        await until(lambda: parts.health.state == "ready", what="it is ready again")
        parts.worker.drain()
        await asyncio.wait_for(running, 30)
    assert (row["status"], row["attempt"], row["crashes"]) == ("succeeded", 1, 0)
    said = [line for line in lines if line["event"] == "worker.call_failed" and line["log_level"] == "warning"]
    assert [line["call"] for line in said] == ["finish"]


async def test_unexpected_errors_of_many_requests_in_a_row_end_the_worker(
    stack: Stack, user: User, lines: list[Any]
) -> None:
    """Any answer in between shows that the worker works, also one about a bad file; a request handed on is none.

    More errors of the same request do not count.
    """
    faults = {
        "a fault": ValueError("a fault"),
        "a bad file": Permanent("media_empty", "The file is empty."),
        "an outage": Transient("storage_unavailable", "Storage is down."),
    }

    class Failing(Reporting):
        async def analyze(self, lease: Lease) -> Finish:
            wanted = str(lease.claim.storage_path).rpartition("/")[2]
            if wanted in faults:
                raise faults[wanted]
            return await super().analyze(lease)

    def queued(name: str) -> str:
        query = (
            "insert into analysis_requests (user_id, storage_path, media_kind, detector, max_attempts)"
            " values (%s, %s, 'video', 'own-faults', 1) returning id::text"
        )
        return str(sql(stack, query, user.id, f"{user.id}/{name}")[0]["id"])

    async def answers(*requests: str) -> list[str]:
        rows = [await user.answer(request_id) for request_id in requests]
        return [row["error_code"] or row["status"] for row in rows]

    def pipeline(_http: httpx.AsyncClient, progress: Progress, rights: RightsCheck) -> Pipeline:
        return cast(Pipeline, Failing(progress, rights))

    async with daemon.open_worker(quick_settings(stack), uuid.uuid4(), pipeline) as parts:
        running = asyncio.create_task(parts.worker.run(parts.rotation.run))
        again = queued("a fault")
        for _ in range(MOST_IN_A_ROW):
            assert await answers(again) == ["internal_error"]
            sql(stack, "update analysis_requests set status = 'queued' where id = %s returning id", again)
        assert await answers(again, queued("x.mp4")) == ["internal_error", "succeeded"]
        for _ in range(MOST_IN_A_ROW):
            assert await answers(queued("a fault")) == ["internal_error"]
            assert await answers(queued("a bad file")) == ["media_empty"]
        for _ in range(MOST_IN_A_ROW - 1):
            assert await answers(queued("a fault")) == ["internal_error"]
            await row_when(stack, queued("an outage"), lambda row: row["status"] == "scheduled")
        assert not running.done()
        assert await answers(queued("a fault")) == ["internal_error"]
        with pytest.raises(Transient, match="5 requests in a row"):
            await asyncio.wait_for(running, 60)
    assert [line["error_code"] for line in lines if line["event"] == "worker.broken"] == ["internal_error"]
