"""A connection that was idle for most of a minute is used again, unless it was closed; dead ones cost little."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace

import httpcore
import pytest
import pytest_asyncio

from sentinel_worker import api, settings
from sentinel_worker.claims import Claims, heartbeat
from sentinel_worker.errors import Transient
from sentinel_worker.keys import Keys
from sentinel_worker.settings import Settings

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"


class Gateway:
    """Answers every call with no rows, and counts who connects; those in `forgotten` it hears no more.

    At first it waits until as many calls as `together` have come.
    """

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []
        self.forgotten: list[asyncio.StreamWriter] = []
        self.together = asyncio.Barrier(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                length = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
                await reader.readexactly(sum(length))
                if writer not in self.forgotten:
                    await self.together.wait()
                    writer.write(ANSWER)
        writer.close()

    async def close_all(self) -> None:
        for writer in self.connections:
            writer.close()
            await writer.wait_closed()


@pytest_asyncio.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    gateway = Gateway()
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
    monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_x")
    monkeypatch.setenv("SENTINEL_HTTP_TIMEOUT_SECONDS", "1")
    yield gateway
    await gateway.close_all()
    server.close()


@pytest.fixture
def loaded(gateway: Gateway) -> Settings:
    return settings.load()


@pytest_asyncio.fixture
async def claims(loaded: Settings) -> AsyncIterator[Claims]:
    client = api.connect(loaded, Keys(loaded))
    yield Claims(client, uuid.uuid4())
    await api.close(client)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """`seconds` by which the clock of both pools is ahead."""
    ahead = SimpleNamespace(seconds=0.0)
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead.seconds)
    for pool in (httpcore._async.http11, httpcore._sync.http11):
        monkeypatch.setattr(pool, "time", clock)
    return ahead


async def ask(claims: Claims) -> None:
    assert await claims.claim(["video/default"], limit=1, lease_seconds=60, held=[]) == []


async def failures(claims: Claims) -> AsyncIterator[str]:
    """Ask until there is an answer."""
    while True:
        try:
            await ask(claims)
        except Transient as error:
            yield error.code
        else:
            return


async def test_a_claim_after_most_of_a_minute_needs_no_new_connection(
    gateway: Gateway, claims: Claims, later: SimpleNamespace
) -> None:
    for later.seconds in (0, 40, 80):
        await ask(claims)
    assert len(gateway.connections) == 1
    later.seconds += 50  # by now a proxy may close it just while the call goes out
    await ask(claims)
    assert len(gateway.connections) == 2


async def test_a_connection_that_was_closed_meanwhile_is_not_used(gateway: Gateway, claims: Claims) -> None:
    for _ in range(2):
        await ask(claims)
        await gateway.close_all()
    assert len(gateway.connections) == 2


async def test_connections_that_died_in_a_sleep_are_no_outage(gateway: Gateway, claims: Claims) -> None:
    gateway.together = asyncio.Barrier(8)
    await asyncio.gather(*(ask(claims) for _ in range(8)))
    gateway.together = asyncio.Barrier(1)
    gateway.forgotten = [*gateway.connections]
    codes = [code async for code in failures(claims)]
    assert codes in (["supabase_timed_out"], ["supabase_timed_out"] * 2)
    assert not claims.circuit.open


async def test_a_lost_heartbeat_leaves_time_for_another(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTINEL_LEASE_SECONDS", "2")
    monkeypatch.setenv("SENTINEL_HEARTBEAT_SECONDS", "0.5")
    monkeypatch.setenv("SENTINEL_HTTP_TIMEOUT_SECONDS", "100")
    loaded = settings.load()
    client = api.connect_sync(loaded, Keys(loaded))
    try:
        assert await asyncio.to_thread(heartbeat, client, uuid.uuid4(), [], 2) == {}
        gateway.forgotten = [*gateway.connections]
        with pytest.raises(Transient) as lost:
            await asyncio.wait_for(asyncio.to_thread(heartbeat, client, uuid.uuid4(), [], 2), 30)
        assert lost.value.code == "supabase_timed_out"
        assert await asyncio.to_thread(heartbeat, client, uuid.uuid4(), [], 2) == {}
    finally:
        api.close_sync(client)


async def test_heartbeats_share_a_connection(gateway: Gateway, loaded: Settings, later: SimpleNamespace) -> None:
    client = api.connect_sync(loaded, Keys(loaded))
    try:
        for later.seconds in (0, 20, 40):
            assert await asyncio.to_thread(heartbeat, client, uuid.uuid4(), [], 60) == {}
    finally:
        api.close_sync(client)
    assert len(gateway.connections) == 1
