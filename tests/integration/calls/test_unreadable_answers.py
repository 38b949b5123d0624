"""JSON that Python cannot parse, over a real socket: the call fails, but Supabase does not count as away."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import pytest_asyncio

from sentinel_worker.config import settings
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Transient
from sentinel_worker.domain.request import Finish
from sentinel_worker.queue.client import QueueClient, heartbeat
from sentinel_worker.sources.storage_removal import remove
from sentinel_worker.supabase_client import connections
from sentinel_worker.supabase_client.breaker import Circuit
from sentinel_worker.supabase_client.keys import WorkerKeys
from tests.claims import a_claim

ANSWERS = {
    "digits": b'[{"id": ' + b"9" * 4400 + b"}]",
    "levels": b'[{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
    "half": b'[{"id": ',
    "no UTF-8": b'[{"id": "\xff"}]',
    "no JSON": b"<html>",
    "no rows": b'{"id": 1}',
    "rows of something else": b'[{"bucket": 1}]',
    "rows of other types": b'[{"id": 1, "created_at": [], "answer": {}, "due_in_seconds": {}}]',
}


@asynccontextmanager
async def answering(respond: Callable[[str, bytes], bytes]) -> AsyncIterator[int]:
    """Run a server that answers a function's name and arguments with `respond`; yield its port."""
    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())  # type: ignore[arg-type]
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while asked := await reader.readuntil(b"\r\n\r\n"):
                lines = asked.lower().split(b"\r\n")
                length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
                function = lines[0].split()[1].rpartition(b"/")[2].decode()
                body = respond(function, await reader.readexactly(length))
                writer.write(head % len(body) + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*served)


@pytest_asyncio.fixture(params=ANSWERS.values(), ids=ANSWERS.keys())
async def loaded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Settings]:
    async with answering(lambda *_: request.param) as port:
        monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_x")
        yield settings.load()


async def test_every_call_of_the_queue(loaded: Settings) -> None:
    client, circuit = connections.connect(loaded, WorkerKeys(loaded)), Circuit()
    queue = QueueClient(client, uuid.uuid4(), circuit)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: queue.claim(["video/default"], limit=1, lease_seconds=60, held=[]),
        lambda: queue.finish([(a_claim(), Finish("failed"))]),
        lambda: queue.maintain(name="x", lanes=[], slots=1),
        lambda: queue.deletions(limit=1),
        queue.missing_rights,
    ]
    try:
        for call in calls:
            with pytest.raises(Transient) as raised:
                await call()
            assert raised.value.code == "supabase_unavailable"
    finally:
        await connections.close(client)
    assert not circuit.open


READABLE: dict[str, object] = {
    "id": str(uuid.uuid4()), "fence": str(uuid.uuid4()), "user_id": str(uuid.uuid4()), "media_kind": "video",
    "storage_path": "a/b.mp4", "source_url": None, "detector": None, "attempt": 1, "max_attempts": 5, "crashes": 0,
    "cancel_requested": False, "created_at": "2026-11-24T00:00:00+00:00", "reoffered": False,
    "lease_until": "2026-11-24T00:01:00+00:00", "lease_seconds": 60.0, "queued_seconds": 0.0,
}  # fmt: skip
ODD = READABLE | {"id": str(uuid.uuid4()), "fence": str(uuid.uuid4()), "created_at": "10001-01-01T00:00:00+00:00"}


class Functions:
    """The queue's functions: claims are answered one after the other, and outcomes noted and answered."""

    def __init__(self, *claims: list[dict[str, object]], answer: str = "failed") -> None:
        self.claims, self.answer = list(claims), answer
        self.outcomes: list[dict[str, Any]] = []

    def __call__(self, function: str, body: bytes) -> bytes:
        if function == "sentinel_claim":
            return json.dumps(self.claims.pop(0) if self.claims else []).encode()
        outcomes = json.loads(body)["args"]["outcomes"]
        self.outcomes += outcomes
        rows = [{"id": one["id"], "answer": self.answer, "due_in_seconds": None} for one in outcomes]
        return json.dumps(rows).encode()


async def claimed(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Claim once from `functions`; return the ids."""
    async with answering(functions) as port:
        monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_x")
        loaded = settings.load()
        client = connections.connect(loaded, WorkerKeys(loaded))
        try:
            queue = QueueClient(client, uuid.uuid4())
            claims = await queue.claim(["video/default"], limit=2, lease_seconds=60, held=[])
        finally:
            await connections.close(client)
    return [str(claim.id) for claim in claims]


async def test_a_row_that_cannot_be_read_fails_and_keeps_no_other_from_its_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    functions = Functions([ODD, READABLE])
    assert await claimed(functions, monkeypatch) == [READABLE["id"]]
    (outcome,) = functions.outcomes
    assert (outcome["id"], outcome["fence"]) == (ODD["id"], ODD["fence"])
    assert (outcome["outcome"], outcome["error_code"]) == ("failed", "request_unreadable")


async def test_after_nothing_but_unreadable_rows_the_next_ones_are_claimed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    functions = Functions([ODD, ODD | {"id": str(uuid.uuid4()), "attempt": 1, "user_id": 7}], [READABLE])
    assert await claimed(functions, monkeypatch) == [READABLE["id"]]
    assert len(functions.outcomes) == 2


async def test_unreadable_rows_whose_end_is_not_taken_do_not_hold_the_worker_in_a_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    functions = Functions([ODD], [ODD], answer="busy")
    assert await claimed(functions, monkeypatch) == []
    assert functions.claims == [[ODD]], "the next claim offers it again"


async def test_a_heartbeat(loaded: Settings) -> None:
    client = connections.connect_sync(loaded, WorkerKeys(loaded))
    try:
        with pytest.raises(Transient) as raised:
            await asyncio.to_thread(heartbeat, client, uuid.uuid4(), [a_claim()], 60)
    finally:
        connections.close_sync(client)
    assert raised.value.code == "supabase_unavailable"


async def test_a_removal(loaded: Settings, request: pytest.FixtureRequest) -> None:
    """Storage responds with metadata that users wrote about their files; only the names matter."""
    async with connections.storage_http(loaded, WorkerKeys(loaded), Circuit()) as http:
        if request.node.callspec.id.startswith(("rows", "no rows")):
            assert await remove(http, "media", ["x"]) == frozenset()
            return
        with pytest.raises(Transient) as raised:
            await remove(http, "media", ["x"])
    assert raised.value.code == "storage_unavailable"
