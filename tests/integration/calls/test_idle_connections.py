"""A connection that was idle for most of a minute is used again; one that the other side has closed is not."""

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
from sentinel_worker.breaker import Circuit
from sentinel_worker.claims import Claims, heartbeat
from sentinel_worker.keys import Keys
from sentinel_worker.settings import Settings

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"


class Gateway:
    """Answers every call with no rows, and counts who connects."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                length = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
                await reader.readexactly(sum(length))
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


async def test_a_claim_after_most_of_a_minute_needs_no_new_connection(
    gateway: Gateway, claims: Claims, later: SimpleNamespace
) -> None:
    for later.seconds in (0, 45, 90):
        assert await claims.claim(["video/default"], limit=1, lease_seconds=60, held=[]) == []
    assert len(gateway.connections) == 1
    later.seconds += 55  # by now a load balancer may have closed it
    assert await claims.claim(["video/default"], limit=1, lease_seconds=60, held=[]) == []
    assert len(gateway.connections) == 2


async def test_a_connection_that_was_closed_meanwhile_is_not_used(gateway: Gateway, claims: Claims) -> None:
    for _ in range(2):
        assert await claims.claim(["video/default"], limit=1, lease_seconds=60, held=[]) == []
        await gateway.close_all()
    assert len(gateway.connections) == 2


async def test_heartbeats_share_a_connection(gateway: Gateway, loaded: Settings, later: SimpleNamespace) -> None:
    client = api.connect_sync(loaded, Keys(loaded))
    try:
        for later.seconds in (0, 20, 40):
            assert await asyncio.to_thread(heartbeat, client, uuid.uuid4(), [], 60) == {}
    finally:
        api.close_sync(client)
    assert len(gateway.connections) == 1


async def test_downloads_share_a_connection(gateway: Gateway, loaded: Settings, later: SimpleNamespace) -> None:
    async with api.storage_http(loaded, Keys(loaded), Circuit()) as http:
        for later.seconds in (0, 45):
            assert (await http.get("/storage/v1/object/info/x")).json() == []
    assert len(gateway.connections) == 1
