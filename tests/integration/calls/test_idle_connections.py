"""A connection idle for most of a minute is reused unless it was closed; dead ones cost little."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace

import httpcore
import httpx
import pytest
import pytest_asyncio

from sentinel_worker.config import settings
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Transient
from sentinel_worker.queue.client import QueueClient, heartbeat
from sentinel_worker.supabase_client import connections
from sentinel_worker.supabase_client.keys import WorkerKeys

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"


class Gateway:
    """Server that responds to calls with no rows, up to `together` at a time, and counts connections.

    Connections in `forgotten` get no response; calls on them are counted as `unheard`.
    """

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []
        self.forgotten: list[asyncio.StreamWriter] = []
        self.unheard = 0
        self.together = asyncio.Barrier(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                length = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
                await reader.readexactly(sum(length))
                if writer in self.forgotten:
                    self.unheard += 1
                    continue
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
    yield gateway
    await gateway.close_all()
    server.close()


@pytest.fixture
def loaded(gateway: Gateway) -> Settings:
    return settings.load()


@pytest_asyncio.fixture
async def queue(loaded: Settings) -> AsyncIterator[QueueClient]:
    client = connections.connect(loaded, WorkerKeys(loaded))
    yield QueueClient(client, uuid.uuid4())
    await connections.close(client)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A namespace with `seconds`, by which the clock of both pools is ahead."""
    ahead = SimpleNamespace(seconds=0.0)
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead.seconds)
    for pool in (httpcore._async.http11, httpcore._sync.http11):
        monkeypatch.setattr(pool, "time", clock)
    return ahead


async def ask(queue: QueueClient) -> None:
    assert await queue.claim(["video/default"], limit=1, lease_seconds=60, held=[]) == []


async def test_a_claim_after_most_of_a_minute_needs_no_new_connection(
    gateway: Gateway, queue: QueueClient, later: SimpleNamespace
) -> None:
    for later.seconds in (0, 40, 80):
        await ask(queue)
    assert len(gateway.connections) == 1
    later.seconds += 50  # longer than it may be reused
    await ask(queue)
    assert len(gateway.connections) == 2


async def test_a_connection_closed_in_the_meantime_is_not_used(gateway: Gateway, queue: QueueClient) -> None:
    for _ in range(2):
        await ask(queue)
        await gateway.close_all()
    assert len(gateway.connections) == 2


async def test_connections_that_died_during_a_sleep_are_not_an_outage(gateway: Gateway, queue: QueueClient) -> None:
    gateway.together = asyncio.Barrier(8)
    await asyncio.gather(*(ask(queue) for _ in range(8)))
    gateway.together = asyncio.Barrier(1)
    gateway.forgotten = [*gateway.connections]
    http = queue._client.postgrest.session
    patience, http.timeout = http.timeout, 1
    for _ in range(2):
        with pytest.raises(Transient, match="in time"):
            await ask(queue)
    http.timeout = patience
    await ask(queue)
    assert gateway.unheard == 2
    assert not queue.circuit.open


@pytest.mark.parametrize(("timeout", "lease", "waits"), [(10, 60, 10), (120, 60, 15), (1, 2, 0.5)])
def test_a_lost_heartbeat_leaves_time_for_others(loaded: Settings, timeout: float, lease: float, waits: float) -> None:
    chosen = loaded.model_copy(update={"http_timeout_seconds": timeout, "lease_seconds": lease})
    client = connections.connect_sync(chosen, WorkerKeys(chosen))
    try:
        assert client.postgrest.session.timeout == httpx.Timeout(waits)
    finally:
        connections.close_sync(client)


async def test_heartbeats_share_a_connection(gateway: Gateway, loaded: Settings, later: SimpleNamespace) -> None:
    client = connections.connect_sync(loaded, WorkerKeys(loaded))
    try:
        for later.seconds in (0, 20, 40):
            assert await asyncio.to_thread(heartbeat, client, uuid.uuid4(), [], 60) == {}
    finally:
        connections.close_sync(client)
    assert len(gateway.connections) == 1
