"""In-process workers with an instant detector, beside a local Supabase that fails in every way."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import structlog

from bench.instant import InstantWorker, instant_worker
from sentinel_local_supabase.stack import Stack
from sentinel_worker.config.settings import Settings
from sentinel_worker.supabase_client.breaker import Breaker, Circuit
from sentinel_worker.wake.connection import ConnectionTimes
from tests.integration.daemon.conftest import (  # noqa: F401 - fixtures
    proxy,
    start_worker,
    started_again,
    user,
    worker_template,
)
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import sql
from tests.waits import until

TIMES = ConnectionTimes(check=0.05, backoff_first=0.05, backoff_cap=0.2, silence=0.3, ready=5.0, close=1.0)
QUICK = {"lease_seconds": 6, "heartbeat_seconds": 1, "sweep_seconds": 0.5, "sweep_degraded_seconds": 0.3}
PROBE_SECONDS = 0.6
"""One minute of an outage, sped up a hundredfold."""

Lines = list[dict[str, Any]]
Insert = Callable[..., list[str]]
RunInstant = Callable[..., AbstractAsyncContextManager[InstantWorker]]


@pytest_asyncio.fixture(loop_scope="session")
async def stack(clean_stack: Stack) -> AsyncIterator[Stack]:
    """The shared local Supabase. Each test restarts what it stopped and repairs what it broke."""
    async with started_again(clean_stack):
        yield clean_stack


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Collect every line logged in this process."""
    with structlog.testing.capture_logs() as said:
        yield said  # type: ignore[misc]


def execute(stack: Stack, statement: str) -> None:
    with psycopg.connect(stack.dsn, autocommit=True) as connection:
        connection.execute(statement.encode())


def quick_circuit() -> Circuit:
    return Circuit(Breaker(first_seconds=PROBE_SECONDS / 60, probe_seconds=PROBE_SECONDS))


@pytest.fixture
def run_instant(stack: Stack) -> RunInstant:
    """Run a worker, and drain it at the end. `via` is a proxy between the worker and the gateway."""

    @asynccontextmanager
    async def run(
        *, via: FaultProxy | None = None, seconds: float = 0.0, times: ConnectionTimes = TIMES, **changes: Any
    ) -> AsyncIterator[InstantWorker]:
        settings = Settings.model_validate(
            {
                "SUPABASE_URL": via.url if via else stack.url,
                "SUPABASE_SECRET_KEY": stack.secret_key,
                "worker_name": "instant",
                "http_timeout_seconds": 2,
                "drain_seconds": 5,
                **QUICK,
                **changes,
            }
        )
        async with instant_worker(settings, seconds=seconds, circuit=quick_circuit(), times=times) as running:
            task = asyncio.create_task(running.worker.run())
            try:
                await until(lambda: running.ready, what=lambda: f"it is ready: {running.health}", limit_seconds=20)
                yield running
            finally:
                running.worker.drain()
                await asyncio.wait_for(task, 30)

    return run


@pytest.fixture
def insert(stack: Stack) -> Insert:
    """Queue `count` requests of one user in one statement; return their ids. They become due in `in_seconds`."""

    def rows(count: int, in_seconds: float = 0.0) -> list[str]:
        owner = str(uuid.uuid4())
        sql(stack, "insert into auth.users (id) values (%s) returning id", owner)
        query = (
            "insert into analysis_requests (user_id, storage_path, media_kind, run_at)"
            " select %s, %s || '/' || n || '.mp4', 'video', now() + make_interval(secs => %s)"
            " from generate_series(1, %s) n returning id::text"
        )
        return [row["id"] for row in sql(stack, query, owner, owner, in_seconds, count)]

    return rows


@contextmanager
def renamed(stack: Stack, function: str) -> Iterator[None]:
    """Rename a database function for the length of the block, as in the middle of a migration."""
    execute(stack, f"alter function public.{function}(jsonb) rename to {function}_away")
    try:
        yield
    finally:
        execute(stack, f"alter function public.{function}_away(jsonb) rename to {function}")


async def answered_once(stack: Stack, ids: list[str], limit_seconds: float = 30) -> None:
    """Wait until every request has succeeded; each must have one attempt and one result."""
    query = (
        "select count(*) filter (where status = 'succeeded') as succeeded,"
        " count(*) filter (where attempt = 1) as first,"
        " (select count(*) from analysis_results where request_id = any(%s::uuid[])) as results"
        " from analysis_requests where id = any(%s::uuid[])"
    )
    seen: dict[str, Any] = {}

    def done() -> bool:
        nonlocal seen
        seen = sql(stack, query, ids, ids)[0]
        return bool(seen["succeeded"] == len(ids))

    await until(done, what=lambda: f"all {len(ids)} have succeeded; {seen}", limit_seconds=limit_seconds)
    assert seen == {"succeeded": len(ids), "first": len(ids), "results": len(ids)}


def said(lines: Lines, event: str) -> Lines:
    return [line for line in lines if line["event"] == event]
