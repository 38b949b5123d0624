"""Insert rows until one arrives: a player's way to find the end of a loss."""

from __future__ import annotations

import asyncio
import time
import uuid

import psycopg

from tests.integration.realtime.conftest import Client


class Differs(Exception):
    """The local server behaved differently; the message describes how."""


async def probe(
    client: Client,
    database: psycopg.Connection,
    *,
    every_seconds: float,
    patience_seconds: float,
    loses: bool = False,
) -> None:
    """Insert rows one at a time until one arrives (with `loses`, at least one must be lost first).

    Raises Differs if none arrives, if another frame does, or if rows arrive out of order or with a gap.
    """
    sent: list[str] = []
    came: list[str] = []
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        sent.append(str(uuid.uuid4()))
        database.execute("insert into public.analysis_requests (id) values (%s)", [sent[-1]])
        if not await _arrives(client, sent[-1], came, every_seconds):
            continue
        if came != sent[-len(came) :]:
            raise Differs(f"rows came with a gap or out of order: {came} of {sent}")
        if len(came) < len(sent) or not loses:
            return
        sent, came = [], []
    raise Differs(f"{len(sent)} changes were lost, and none came")


async def _arrives(client: Client, row: str, came: list[str], seconds: float) -> bool:
    """Return True if the row arrives within `seconds`; arrivals are added to `came`."""
    try:
        async with asyncio.timeout(seconds):
            while not came or came[-1] != row:
                frame = await client.receive()
                if frame["event"] != "postgres_changes":
                    raise Differs(f"got {frame} between changes")
                came.append(frame["payload"]["data"]["record"]["id"])
            return True
    except TimeoutError:
        return False
