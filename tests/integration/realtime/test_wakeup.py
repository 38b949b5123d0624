"""The daemon's wake-ups against the local server: real sockets, real outages."""

import asyncio
import contextlib
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest
import structlog

from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.supabase_client.jwt import Token
from sentinel_worker.wake.connection import ConnectionTimes, HintName
from sentinel_worker.wake.wakeup import Wakeup
from tests.integration.realtime.conftest import Served
from tests.supervised import supervisor

QUICK = ConnectionTimes(check=0.05, backoff_first=0.05, backoff_cap=0.1, silence=0.3, health=0.5, close=1.0)
INSERT = "insert into public.analysis_requests (user_id, status) values (%s, 'queued')"
WAKE = "select realtime.send('{}'::jsonb, 'wake', 'sentinel:wake', true)"


@dataclass
class Watched:
    """A running Wakeup with its log."""

    wakeup: Wakeup
    event: asyncio.Event
    states: "asyncio.Queue[tuple[HintName, bool]]"
    lines: "asyncio.Queue[dict[str, Any]]"
    kept: list[dict[str, Any]] = field(default_factory=list)

    async def ready(self) -> None:
        """Wait until both hints are READY, and discard the wake-ups from that."""
        async with asyncio.timeout(30):
            while not all(self.wakeup.states.values()):
                await self.states.get()
        self.event.clear()

    async def changed(self, hint: HintName, ready: bool, seconds: float = 30) -> None:
        """Wait until a hint's state changes to `ready`."""
        async with asyncio.timeout(seconds):
            while await self.states.get() != (hint, ready):
                continue

    async def woken(self, seconds: float = 30.0) -> None:
        """Wait for the Event and clear it."""
        async with asyncio.timeout(seconds):
            await self.event.wait()
        self.event.clear()

    async def logged(self, event: str, hint: HintName) -> dict[str, Any]:
        """Return the next log line about an event of a hint; others are kept."""
        async with asyncio.timeout(30):
            while True:
                for line in self.kept:
                    if (line["event"], line["hint"]) == (event, hint):
                        self.kept.remove(line)
                        return line
                self.kept.append(await self.lines.get())

    @property
    def generations(self) -> list[int]:
        return [hint.generation for hint in self.wakeup.hints.values()]


@contextlib.contextmanager
def heard_logs() -> Any:
    """structlog's lines as a queue."""
    lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def keep(_logger: object, method: str, line: dict[str, Any]) -> dict[str, Any]:
        lines.put_nowait(line | {"level": method})
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    usual = list(processors)
    processors[:] = [keep]
    try:
        yield lines
    finally:
        processors[:] = usual


@contextlib.asynccontextmanager
async def watching(
    server: Served,
    api_key: str,
    token: Token = None,
    times: ConnectionTimes = QUICK,
    event: asyncio.Event | None = None,
) -> AsyncIterator[Watched]:
    event = event or asyncio.Event()
    states: asyncio.Queue[tuple[HintName, bool]] = asyncio.Queue()
    wakeup = Wakeup(
        url=server.url.removesuffix("/realtime/v1").replace("ws://", "http://"),
        api_key=api_key,
        token=token,
        event=event,
        on_state=lambda hint, ready: states.put_nowait((hint, ready)),
        times=times,
    )
    with heard_logs() as lines:
        running = asyncio.create_task(wakeup.run(supervisor()))
        try:
            yield Watched(wakeup, event, states, lines)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def test_ready_is_a_wake_up_of_its_own(server: Served, keys: ProjectKeys) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.woken()
        assert watched.wakeup.healthy
        await watched.ready()


async def test_a_queued_row_wakes_by_its_change(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.service_key) as watched:
        await watched.ready()
        database.execute(INSERT, [None])
        await watched.woken()
        database.execute("update public.analysis_requests set status = 'running'")
        with pytest.raises(TimeoutError):
            await watched.woken(0.3)
        database.execute("update public.analysis_requests set status = 'queued'")
        await watched.woken()


async def test_the_broadcast_wakes_within_milliseconds(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        taken = []
        for _ in range(60):
            started = time.perf_counter()
            await asyncio.to_thread(database.execute, WAKE)
            await watched.woken()
            taken.append((time.perf_counter() - started) * 1000)
        median = statistics.median(taken)
        print(f"realtime.send to Event: median {median:.1f} ms, p95 {sorted(taken)[56]:.1f} ms")  # noqa: T201 - a measurement
        assert min(taken) < 50  # the median depends on the machine's load


async def test_a_worker_role_joins_with_its_own_token(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    async with watching(server, keys.publishable_key, sign("sentinel_worker")) as watched:
        await watched.ready()
        for statement in (WAKE, "insert into public.analysis_requests default values"):
            database.execute(statement)
            await watched.woken()


async def test_a_refused_private_join_is_retried_rarely_and_does_not_disturb_the_other_hint(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    user = str(uuid.uuid4())
    async with watching(server, keys.publishable_key, sign("authenticated", sub=user)) as watched:
        failed = await watched.logged("realtime.failed", "broadcast")
        assert "You do not have permissions" in failed["reason"]
        assert failed["retry_seconds"] >= QUICK.refused / 2
        if not watched.wakeup.states["changes"]:
            await watched.changed("changes", True)
        watched.event.clear()
        database.execute(INSERT, [user])
        await watched.woken()
        assert watched.wakeup.states == {"changes": True, "broadcast": False}
        assert watched.wakeup.healthy
        assert watched.generations == [1, 1]


async def test_a_server_that_goes_and_comes_back(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        await server.stop()
        await watched.woken()  # the loss triggers a sweep
        for hint in watched.wakeup.hints:
            assert "ConnectionRefused" in (await watched.logged("realtime.failed", hint))["reason"]
        assert not watched.wakeup.healthy
        await server.start()
        await watched.ready()
        database.execute(INSERT, [None])
        await watched.woken()


async def test_postgres_that_goes_and_comes_back(server: Served, keys: ProjectKeys, postgres: Postgres) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
        with psycopg.connect(postgres.dsn("supabase_admin"), autocommit=True) as connection:
            async with asyncio.timeout(20):  # the first rows are silently lost
                while not watched.event.is_set():
                    connection.execute(INSERT, [None])
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(watched.event.wait(), 0.2)
        assert watched.generations == [1, 1]


async def test_a_channel_closed_after_a_system_error_is_rebuilt(
    server: Served, keys: ProjectKeys, sign: Callable[..., str], database: psycopg.Connection
) -> None:
    dying = [sign("service_role", lives_seconds=2), sign("service_role", lives_seconds=2)]
    # A negative margin lets the server end the channels.
    careless = replace(QUICK, token_margin=-100.0)
    token = lambda: dying.pop() if dying else sign("service_role")  # noqa: E731 - one token a generation
    async with watching(server, keys.publishable_key, token, careless) as watched:
        await watched.ready()
        for hint in watched.wakeup.hints:
            assert "Token has expired" in (await watched.logged("realtime.lost", hint))["reason"]
        await watched.ready()
        database.execute(INSERT, [None])
        await watched.woken()
        assert watched.generations == [2, 2]


async def test_a_fresher_token_replaces_one_that_is_about_to_expire(
    server: Served, keys: ProjectKeys, sign: Callable[..., str]
) -> None:
    short = [sign("service_role", lives_seconds=200), sign("service_role", lives_seconds=200)]
    token = lambda: short.pop() if short else sign("service_role")  # noqa: E731 - one token a generation
    async with watching(server, keys.publishable_key, token) as watched:
        for hint in watched.wakeup.hints:
            assert (await watched.logged("realtime.lost", hint))["reason"] == "the token expires"
        await watched.ready()
        assert watched.generations == [2, 2]


async def test_old_age_ends_a_generation(server: Served, keys: ProjectKeys) -> None:
    async with watching(server, keys.secret_key, times=replace(QUICK, age=0.2)) as watched:
        for hint in watched.wakeup.hints:
            assert (await watched.logged("realtime.lost", hint))["reason"] == "old age"
        await watched.changed("changes", True)


async def test_silence_about_a_queued_row_ends_the_generation(server: Served, keys: ProjectKeys) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        watched.wakeup.missed(queued_seconds=3600)  # queued before READY, so not an error
        watched.wakeup.missed(queued_seconds=0.0)
        for hint in watched.wakeup.hints:
            assert "silent" in (await watched.logged("realtime.lost", hint))["reason"]
        await watched.ready()
        assert watched.generations == [2, 2]


async def test_a_hint_that_comes_late_is_forgiven(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key, times=replace(QUICK, silence=2.0)) as watched:
        await watched.ready()
        watched.wakeup.missed(queued_seconds=0.0)
        database.execute(WAKE)
        assert "silent" in (await watched.logged("realtime.lost", "changes"))["reason"]
        await watched.ready()
        assert watched.generations == [2, 1]


async def test_a_bad_table_or_key_is_retried_for_ever(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    database.execute("alter publication supabase_realtime drop table public.analysis_requests")
    try:
        async with watching(server, keys.secret_key) as watched:
            failed = await watched.logged("realtime.failed", "changes")
            assert "Please check Realtime is enabled" in failed["reason"]
            await watched.logged("realtime.failed", "changes")
            database.execute("alter publication supabase_realtime add table public.analysis_requests")
            await watched.ready()
    finally:
        database.execute(
            "alter publication supabase_realtime set table public.analysis_requests, public.big_rows, "
            "public.full_rows, public.no_grant, public.typed_rows"
        )
    async with watching(server, "not-a-key") as watched:
        for _ in range(3):
            assert "401" in (await watched.logged("realtime.failed", "broadcast"))["reason"]
