"""A local Supabase for this folder's tests, users, and workers in processes of their own."""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
import structlog
from psycopg.rows import dict_row
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from sentinel_worker.detectors.registry import DEMO_DETECTOR
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import registered, row_when, sql
from tests.seeds import Seeds
from tests.waits import LIMIT_SECONDS, until
from tests.warm import worker
from tests.warm.forks import Template
from tests.warm.worker import WarmWorker

START_SECONDS = 150
"""Generous, because a worker imports torch and loads a checkpoint, perhaps beside other tests."""
QUICK = {
    "SENTINEL_DETECTOR": DEMO_DETECTOR,
    "SENTINEL_LEASE_SECONDS": "3",
    "SENTINEL_HEARTBEAT_SECONDS": "1",
    "SENTINEL_SWEEP_SECONDS": "2",
    "SENTINEL_SWEEP_DEGRADED_SECONDS": "0.5",
    "SENTINEL_HTTP_TIMEOUT_SECONDS": "5",
}
FINAL = {"succeeded", "failed", "cancelled"}


@pytest_asyncio.fixture(loop_scope="session")
async def stack(clean_stack: Stack) -> AsyncIterator[Stack]:
    """The shared local Supabase. A test may stop its servers; it must undo all other changes but rows and faults."""
    async with started_again(clean_stack):
        yield clean_stack


@asynccontextmanager
async def started_again(stack: Stack) -> AsyncIterator[None]:
    """Restart at the end whichever servers were stopped."""
    try:
        yield
    finally:
        await stack.start_postgres()
        await stack.start_gateway()


@pytest.fixture(scope="session")
def worker_template() -> Iterator[Template]:
    """The process from which these tests' workers are forked, except for those that must be real."""
    template = worker.template()
    yield template
    template.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def steady_worker(
    shared_stack: Stack, seeds: Seeds, worker_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator["Worker"]:
    """One worker for all tests of a module that break nothing."""
    await seeds.restore()  # a fault left by the previous module must not disturb its start
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    async with WarmWorker(worker_template, worker_environment(shared_stack, QUICK), log=log) as process:
        await process.ready()
        yield Worker(process, log)


@dataclass
class Worker:
    """A worker process and its log."""

    process: WorkerProcess
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def events(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self) -> set[str]:
        """Return the names of all events so far."""
        return {event["event"] for event in self.events()}


StartWorker = Callable[..., Awaitable[Worker]]


@pytest_asyncio.fixture(loop_scope="session")
async def start_worker(stack: Stack, worker_template: Template, tmp_path: Path) -> AsyncIterator[StartWorker]:
    """Start workers with short leases, forked or `real`; `via` puts a proxy between worker and gateway.

    `log` is a device or a pipe that takes the place of its log file.
    """
    async with AsyncExitStack() as running:
        count = 0

        async def start(
            *,
            via: FaultProxy | None = None,
            wait: bool = True,
            real: bool = False,
            module: str = "sentinel_worker",
            log: Path | None = None,
            **settings: str,
        ) -> Worker:
            nonlocal count
            count += 1
            shown, log = log is None, log or tmp_path / f"worker-{count}.log"
            environment = worker_environment(stack, {**QUICK, "SENTINEL_WORKER_NAME": f"worker-{count}", **settings})
            if via is not None:
                environment["SUPABASE_URL"] = via.url
            log.touch()
            process = (
                WorkerProcess(environment, log=log, module=module)
                if real
                else WarmWorker(worker_template, environment, log=log, module=module)
            )
            worker = Worker(await running.enter_async_context(process), log)
            if wait:
                await until(
                    lambda: registered(stack, f"worker-{count}"),
                    what=f"worker-{count} is registered",
                    limit_seconds=START_SECONDS,
                    log=log if shown else None,
                )
            return worker

        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(stack: Stack) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(stack.port).running() as running:
        yield running


@dataclass
class User:
    """A signed-in user and the requests they made."""

    client: AsyncClient
    id: str
    stack: Stack
    asked: list[str] = field(default_factory=list)

    async def upload(self, source: Path | bytes, name: str | None = None) -> str:
        path = f"{self.id}/{name or uuid.uuid4().hex}"
        await self.client.storage.from_("media").upload(path, source, {"content-type": "video/mp4"})
        return path

    async def insert(self, storage_path: str | None = None, **columns: Any) -> str:
        request_id = str(uuid.uuid4())
        row = {"id": request_id, "storage_path": storage_path, **columns}
        await self.client.table("analysis_requests").insert(row).execute()
        self.asked.append(request_id)
        return request_id

    async def ask(self, source: Path | bytes, **columns: Any) -> str:
        return await self.insert(await self.upload(source), **columns)

    async def answer(self, request_id: str, limit_seconds: float = LIMIT_SECONDS) -> dict[str, Any]:
        """Wait until the request is final; return its row."""
        return await row_when(self.stack, request_id, lambda row: row["status"] in FINAL, limit_seconds)


@asynccontextmanager
async def signed_in(stack: Stack) -> AsyncIterator[User]:
    """A new anonymous user."""
    async with httpx.AsyncClient() as http:
        client = await acreate_client(stack.url, stack.publishable_key, AsyncClientOptions(httpx_client=http))
        signed = await client.auth.sign_in_anonymously()
        assert signed.user is not None
        yield User(client, signed.user.id, stack)


@pytest_asyncio.fixture(loop_scope="session")
async def user(stack: Stack) -> AsyncIterator[User]:
    async with signed_in(stack) as new:
        yield new


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """Lines that workers of this process log, as dictionaries."""
    with structlog.testing.capture_logs() as said:
        yield said  # type: ignore[misc]


@pytest.fixture
def insert(stack: Stack) -> Callable[[], str]:
    """Insert a request of a new user, whose file does not exist; returns its id."""

    def row() -> str:
        owner = str(sql(stack, "insert into auth.users (id) values (gen_random_uuid()) returning id")[0]["id"])
        query = (
            "insert into analysis_requests (user_id, storage_path, media_kind) values (%s, %s, 'video')"
            " returning id::text"
        )
        return str(sql(stack, query, owner, f"{owner}/x.mp4")[0]["id"])

    return row


@pytest.fixture
def admin(stack: Stack) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection as the project's owner."""
    with psycopg.connect(stack.dsn, autocommit=True, row_factory=dict_row) as connection:
        yield connection
