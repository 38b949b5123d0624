"""The daemon's supervisor against the local server: real sockets, real outages."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import psycopg
import pytest

from sentinel_worker.local.keys import Keys
from sentinel_worker.local.postgres import Postgres
from sentinel_worker.wakeup import Wakeup
from sentinel_worker.wakeup_socket import HintName, Pace
from tests.integration.realtime.conftest import FAST, Serve, Served

QUICK = Pace(check=0.05, backoff_first=0.05, backoff_cap=0.1, silence=0.3, health=0.5, close=1.0)
INSERT = "insert into public.analysis_requests (status) values ('queued')"
WAKE = "select realtime.send('{}'::jsonb, 'wake', 'sentinel:wake', true)"


@dataclass
class Watched:
    """A running Wakeup, and everything that it said."""

    wakeup: Wakeup
    event: asyncio.Event
    states: "asyncio.Queue[tuple[HintName, bool]]"
    running: "asyncio.Task[None]"
    seen: list[tuple[HintName, bool]] = field(default_factory=list)

    async def until(self, hint: HintName, ready: bool) -> None:
        """Wait until a hint's state changes to `ready`."""
        async with asyncio.timeout(30):
            while True:
                self.seen.append(await self.states.get())
                if self.seen[-1] == (hint, ready):
                    return

    async def woken(self, seconds: float = 5.0) -> float:
        """Wait for the Event, clear it, and return the seconds that it took."""
        started = time.perf_counter()
        async with asyncio.timeout(seconds):
            await self.event.wait()
        self.event.clear()
        return time.perf_counter() - started


@contextlib.asynccontextmanager
async def watching(
    server: Served, api_key: str, token: str | None = None, pace: Pace = QUICK
) -> AsyncIterator[Watched]:
    event = asyncio.Event()
    states: asyncio.Queue[tuple[HintName, bool]] = asyncio.Queue()
    wakeup = Wakeup(
        url=server.url.removesuffix("/realtime/v1").replace("ws://", "http://"),
        api_key=api_key,
        token=token,
        event=event,
        on_state=lambda hint, ready: states.put_nowait((hint, ready)),
        pace=pace,
    )
    running = asyncio.create_task(wakeup.run())
    try:
        yield Watched(wakeup, event, states, running)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def both_ready(watched: Watched) -> None:
    async with asyncio.timeout(30):
        while not all(watched.wakeup.states.values()):
            watched.seen.append(await watched.states.get())
    watched.event.clear()


async def test_ready_is_a_wake_up_of_its_own(server: Served, keys: Keys) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.woken()
        assert watched.wakeup.healthy
        await both_ready(watched)


async def test_a_queued_row_wakes_by_its_change(server: Served, keys: Keys, database: psycopg.Connection) -> None:
    async with watching(server, keys.secret_key) as watched:
        await both_ready(watched)
        database.execute(INSERT)
        await watched.woken()
        database.execute("update public.analysis_requests set status = 'running'")
        with pytest.raises(TimeoutError):
            await watched.woken(0.3)
        database.execute("update public.analysis_requests set status = 'queued'")
        await watched.woken()


async def test_the_broadcast_wakes_within_milliseconds(
    server: Served, keys: Keys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key) as watched:
        await both_ready(watched)
        taken = []
        for _ in range(60):
            started = time.perf_counter()
            await asyncio.to_thread(database.execute, WAKE)
            await watched.woken()
            taken.append((time.perf_counter() - started) * 1000)
        median = statistics.median(taken)
        print(f"realtime.send to Event: median {median:.1f} ms, p95 {sorted(taken)[56]:.1f} ms")
        assert median < 50


async def test_a_worker_role_joins_with_its_own_token(
    server: Served, keys: Keys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    async with watching(server, keys.publishable_key, sign("sentinel_worker")) as watched:
        await both_ready(watched)
        database.execute(WAKE)
        await watched.woken()
        database.execute(INSERT)
        await watched.woken()


async def test_a_refused_private_join_leaves_the_other_hint_alone(
    server: Served, keys: Keys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    async with watching(
        server, keys.publishable_key, sign("authenticated", sub="00000000-0000-0000-0000-000000000001")
    ) as watched:
        await watched.until("changes", True)
        async with asyncio.timeout(5):
            while watched.wakeup.hints["broadcast"].generation == 0:
                await asyncio.sleep(0)
        watched.event.clear()
        user = "00000000-0000-0000-0000-000000000001"
        database.execute("insert into public.analysis_requests (user_id) values (%s)", [user])
        await watched.woken()
        assert watched.wakeup.states == {"changes": True, "broadcast": False}
        assert watched.wakeup.healthy
        assert watched.wakeup.hints["changes"].generation == 1


async def test_a_server_that_goes_and_comes_back(server: Served, keys: Keys, database: psycopg.Connection) -> None:
    async with watching(server, keys.secret_key) as watched:
        await both_ready(watched)
        await server.stop()
        await watched.woken()  # the loss is a sweep
        async with asyncio.timeout(10):
            while watched.wakeup.healthy:
                watched.seen.append(await watched.states.get())
        await server.start()
        await both_ready(watched)
        database.execute(INSERT)
        await watched.woken()


async def test_postgres_that_goes_and_comes_back(server: Served, keys: Keys, postgres: Postgres) -> None:
    async with watching(server, keys.secret_key) as watched:
        await both_ready(watched)
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
        await watched.woken(20)  # the server says again that it is subscribed
        with psycopg.connect(postgres.dsn("supabase_admin"), autocommit=True) as connection:
            connection.execute(INSERT)
            await watched.woken(20)
        assert watched.wakeup.states["changes"]
        assert watched.wakeup.hints["changes"].generation == 1


async def test_a_channel_closed_after_a_system_error_is_built_anew(
    server: Served, keys: Keys, sign: Callable[..., str], database: psycopg.Connection
) -> None:
    tokens = [sign("service_role", lives_seconds=2), sign("service_role", lives_seconds=2)]
    async with watching(server, keys.publishable_key) as watched:
        watched.running.cancel()
    event = asyncio.Event()
    states: asyncio.Queue[tuple[HintName, bool]] = asyncio.Queue()
    wakeup = Wakeup(
        url=server.url.removesuffix("/realtime/v1").replace("ws://", "http://"),
        api_key=keys.publishable_key,
        token=lambda: tokens.pop() if tokens else sign("service_role"),
        event=event,
        on_state=lambda hint, ready: states.put_nowait((hint, ready)),
        pace=replace(QUICK, token_margin=-100.0),
    )
    running = asyncio.create_task(wakeup.run())
    watched = Watched(wakeup, event, states, running)
    try:
        await both_ready(watched)
        await watched.until("changes", False)  # its token expired: system error, then phx_close
        await both_ready(watched)
        database.execute(INSERT)
        await watched.woken()
        assert wakeup.hints["changes"].generation == 2
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_silence_about_a_queued_row_ends_the_generation(
    server: Served, keys: Keys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key) as watched:
        await both_ready(watched)
        database.execute(WAKE)
        await watched.woken()
        await asyncio.sleep(0.4)
        watched.wakeup.missed(queued_seconds=0.35)  # later than the broadcast: both were silent
        await watched.until("changes", False)
        await watched.until("changes", True)
        generations = [hint.generation for hint in watched.wakeup.hints.values()]
        assert generations == [2, 2]
        watched.wakeup.missed(queued_seconds=3600)  # before READY: nobody's fault
