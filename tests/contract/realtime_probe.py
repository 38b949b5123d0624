"""Rows inserted until one arrives: how a player finds the end of a loss."""

from __future__ import annotations

import asyncio
import time
import uuid

import psycopg

from tests.integration.realtime.conftest import Client


class Differs(Exception):
    """The local server did something else; the message says what."""


async def probe(
    client: Client, database: psycopg.Connection, *, every_seconds: float, patience_seconds: float, loses: bool = False
) -> None:
    """Insert a row at a time until one arrives (after one that did not, where it `loses` some); raises Differs."""
    lost = 0
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        row = str(uuid.uuid4())
        database.execute("insert into public.analysis_requests (id) values (%s)", [row])
        if not await _arrives(client, row, every_seconds):
            lost += 1
        elif lost or not loses:
            return
    raise Differs(f"{lost} changes were lost, and none came")


async def _arrives(client: Client, row: str, seconds: float) -> bool:
    """Whether the row comes within that time; earlier ones may come before it."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                frame = await client.receive()
                if frame["event"] != "postgres_changes":
                    raise Differs(f"got {frame} between changes")
                if frame["payload"]["data"]["record"]["id"] == row:
                    return True
    except TimeoutError:
        return False
