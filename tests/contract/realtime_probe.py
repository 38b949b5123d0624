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
    client: Client,
    database: psycopg.Connection,
    *,
    every_seconds: float,
    patience_seconds: float,
    loses: bool = False,
) -> None:
    """Insert a row at a time until one arrives (after one that did not, where it `loses` some).

    Raises Differs when none comes, when another frame does, and when they come in another order or with a gap.
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
    """Whether the row comes within that time; what comes is added to `came`."""
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
