"""A key that changes during a request: the request is sent once more with the new key."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Transient
from sentinel_worker.queue.client import QueueClient, heartbeat
from sentinel_worker.supabase_client import connections
from sentinel_worker.supabase_client.breaker import Circuit
from sentinel_worker.supabase_client.keys import WorkerKeys

OLD, NEW = "sb_secret_of_yesterday", "sb_secret_of_today"
NOBODY = UUID(int=0)

Call = Callable[["Server"], Awaitable[None]]


class Server:
    """Server that accepts only the new key. With `rotates`, the first old key triggers the rotation."""

    def __init__(self) -> None:
        self.settings: Settings
        self.keys: WorkerKeys
        self.rotates = True
        self.seen: list[str] = []
        self.told: list[bool] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if length := re.search(rb"content-length: (\d+)", head, re.IGNORECASE):
            await reader.readexactly(int(length[1]))
        sent = re.findall(r"^(?:apikey|authorization): (?:Bearer )?(\S+)", head.decode(), re.IGNORECASE | re.MULTILINE)
        assert len(set(sent)) == 1
        self.seen.append(sent[0])
        refused = sent[0] != NEW
        if refused and self.rotates:
            self.keys.use({"secret_key": NEW})
        writer.write(b"HTTP/1.1 401 Unauthorized\r\n" if refused else b"HTTP/1.1 200 OK\r\n")
        writer.write(b"content-length: 2\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[]")
        writer.close()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    serving = Server()
    async with await asyncio.start_server(serving.answer, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        values = {"SUPABASE_URL": f"http://127.0.0.1:{port}", "SUPABASE_SECRET_KEY": OLD}
        serving.settings = Settings.model_validate(values)
        serving.keys = WorkerKeys(serving.settings, refused=lambda: serving.told.append(True))
        yield serving


async def by_queue(server: Server) -> None:
    client = connections.connect(server.settings, server.keys)
    try:
        assert await QueueClient(client, NOBODY).missing_rights() == []
    finally:
        await connections.close(client)


async def by_heartbeat(server: Server) -> None:
    client = connections.connect_sync(server.settings, server.keys)
    try:
        assert await asyncio.to_thread(heartbeat, client, NOBODY, [], 60) == {}
    finally:
        connections.close_sync(client)


async def by_storage(server: Server) -> None:
    async with connections.storage_http(server.settings, server.keys, Circuit()) as http:
        async with http.stream("GET", "/storage/v1/object/x") as response:
            assert (response.status_code, await response.aread()) == (httpx.codes.OK, b"[]")
        assert (await http.post("/storage/v1/object/x", content=b"picture")).is_success


@pytest.mark.parametrize("call", [by_queue, by_heartbeat, by_storage])
async def test_a_request_that_met_the_rotation_is_sent_again(server: Server, call: Call) -> None:
    await call(server)
    assert server.seen[:2] == [OLD, NEW]
    assert set(server.seen[1:]) == {NEW}


@pytest.mark.parametrize("call", [by_queue, by_heartbeat])
async def test_a_refused_key_without_a_successor_is_reported(server: Server, call: Call) -> None:
    server.rotates = False
    with pytest.raises(Transient) as caught:
        await call(server)
    assert caught.value.code == "access_refused"
    assert server.told == [True]
    assert server.seen == [OLD]


def test_a_key_shows_nothing_of_itself() -> None:
    settings = Settings.model_validate({"SUPABASE_URL": "https://x.example", "SUPABASE_SECRET_KEY": OLD})
    keys = WorkerKeys(settings)
    assert OLD not in f"{keys!r} {keys.current!r} {vars(keys)['current']} {settings!r} {settings.model_dump()}"
