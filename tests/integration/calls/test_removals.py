"""Removals over a real socket: what Storage does not confirm is called left only when it is listed again."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import structlog

from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.removals import Removals
from sentinel_worker.queue.rights import Doubt, RightsCheck


class Outbox(QueueClient):
    """Lists these names, one list a call."""

    def __init__(self, *lists: list[str]) -> None:
        super().__init__(None, uuid.uuid4())  # type: ignore[arg-type]  # no call is made
        self._lists = list(lists)

    async def deletions(self, *, limit: int) -> list[tuple[str, str]]:
        return [("derived", name) for name in self._lists.pop(0)]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that every object was removed but those called `stuck …` and `gone …`."""
    with suppress(asyncio.IncompleteReadError):
        while head := (await reader.readuntil(b"\r\n\r\n")).lower():
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            names = json.loads(await reader.readexactly(length))["prefixes"]
            said = json.dumps([{"name": name} for name in names if not name.startswith(("stuck", "gone"))]).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(said) + said)
    writer.close()


@pytest.fixture
async def storage() -> AsyncIterator[httpx.AsyncClient]:
    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())  # type: ignore[arg-type]
        await answer(reader, writer)
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as http:
        yield http
    server.close()
    await asyncio.gather(*served)


async def test_an_object_that_is_already_gone_is_not_called_left(storage: httpx.AsyncClient) -> None:
    outbox = Outbox(["a", "gone", "stuck"], ["stuck", "b"], [])
    removals = Removals(outbox, storage, RightsCheck(outbox, Doubt()))
    with structlog.testing.capture_logs() as said:
        while await removals.once():
            pass
    found: list[Any] = [(line["log_level"], line["removed"], line["left"]) for line in said]
    assert found == [("info", 1, 0), ("warning", 1, 1)]


async def test_each_list_of_a_backlog_is_remembered(storage: httpx.AsyncClient) -> None:
    """Only the last one was, so what stayed of the others was never called left."""
    outbox = Outbox(["a", "stuck 1"], ["stuck 2"], ["stuck 1"], ["b", "stuck 2"])
    removals = Removals(outbox, storage, RightsCheck(outbox, Doubt()))
    with structlog.testing.capture_logs() as said:
        for _ in range(4):
            await removals.once()
    assert [line["left"] for line in said] == [0, 0, 1, 1]


async def test_names_that_were_gone_do_not_pile_up(storage: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is listed once, for as long as the worker lives."""
    monkeypatch.setattr("sentinel_worker.queue.removals.REMEMBERED", 2)
    outbox = Outbox(*([f"gone {number}"] for number in range(5)))
    removals = Removals(outbox, storage, RightsCheck(outbox, Doubt()))
    for _ in range(5):
        await removals.once()
    assert sorted(name for _, name in removals._unconfirmed) == ["gone 3", "gone 4"]
