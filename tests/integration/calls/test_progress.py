"""Progress over a real socket: the latest report of each request is shown, in few calls."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest

from sentinel_worker.config import settings
from sentinel_worker.queue import progress as written
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.progress import Progress
from sentinel_worker.supabase_client import connections
from sentinel_worker.supabase_client.keys import WorkerKeys
from tests.claims import a_claim
from tests.supervised import supervisor

Shown = asyncio.Queue[list[tuple[str, int]]]


@asynccontextmanager
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Progress, Shown]]:
    """Progress that is written to a server here, and each call that arrives there."""
    shown: Shown = asyncio.Queue()
    served: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(asyncio.IncompleteReadError):
            await answer(reader, writer, shown)
        writer.close()
        await writer.wait_closed()

    monkeypatch.setattr(written, "CALL_EVERY_SECONDS", 0.01)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    chosen = settings.Settings.model_validate({"SUPABASE_URL": url, "SUPABASE_SECRET_KEY": "sb_secret_x"})
    client = connections.connect(chosen, WorkerKeys(chosen))
    try:
        progress = Progress(QueueClient(client, uuid4()))
        writing = asyncio.create_task(progress.run(supervisor()))
        yield progress, shown
        writing.cancel()
        await asyncio.wait([writing])
    finally:
        await connections.close(client)
        server.close()
        await asyncio.gather(*served)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shown: Shown) -> None:
    """Accept every call, and note what it shows."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        entries = json.loads(await reader.readexactly(length))["args"]["progress"]
        shown.put_nowait([(entry["stage"], entry["progress"]) for entry in entries])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]")


async def test_a_report_within_the_pause_is_shown_by_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = a_claim()
    async with running(monkeypatch) as (progress, shown):
        progress.report(claim, "analyzing", 35.0)
        assert await shown.get() == [("analyzing", 35)]
        for percent in (40.0, 41.5, 42.9):  # nothing is awaited in between, so the call is still to come
            progress.report(claim, "analyzing", percent)
        assert await shown.get() == [("analyzing", 42)]


async def test_a_point_is_not_worth_a_call_and_a_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    claim, other = a_claim(), a_claim()
    async with running(monkeypatch) as (progress, shown):
        progress.report(claim, "analyzing", 89.0)
        assert await shown.get() == [("analyzing", 89)]
        progress.report(claim, "analyzing", 90.0)
        progress.report(other, "fetching", 0.0)
        assert await shown.get() == [("fetching", 0)]
        progress.report(claim, "deriving", 90.0)
        assert await shown.get() == [("deriving", 90)]


async def test_a_request_that_ended_is_not_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    claim, other = a_claim(), a_claim()
    async with running(monkeypatch) as (progress, shown):
        progress.report(claim, "analyzing", 50.0)
        progress.report(other, "analyzing", 60.0)
        progress.forget(claim)
        assert await shown.get() == [("analyzing", 60)]
