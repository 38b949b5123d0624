"""Planted differences: every kind that a report must find, in a few exchanges with each service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from sentinel_local_supabase.stack import Stack
from tests.contract import postgrest, realtime, storage
from tests.contract.realtime_player import Player
from tests.contract.replay import Exchange, read
from tests.contract.report import Report
from tests.integration.realtime.conftest import Client

Plant = Callable[[Exchange], Exchange]
Spoiling = Literal["swapped with the next", "lost", "of another binding"]


def wrong_status(exchange: Exchange) -> Exchange:
    """Return the exchange with another status."""
    return replace(exchange, status=exchange.status + 1)


def wrong_body(exchange: Exchange) -> Exchange:
    """Return the exchange with another error code in its body."""
    return replace(exchange, body={**exchange.body, "code": "Other"})


def wrong_header(name: str) -> Plant:
    """Return a plant that changes the value of this header."""
    return lambda exchange: replace(exchange, response_headers={**exchange.response_headers, name: "other"})


IN_POSTGREST: Mapping[str, Plant] = {
    "insert many": wrong_status,
    "insert many, ragged keys (columns=)": wrong_body,
    "select eq": wrong_header("content-range"),
}
IN_STORAGE: Mapping[str, Plant] = {
    "bucket.create jobs": wrong_status,
    "bucket.create duplicate": wrong_body,
    "bucket.get": wrong_header("content-type"),
}
# Frames of this conversation: join reply, presence and readiness in either order, three changes, two for the leave.
CONVERSATION = "01_join_insert_update_delete"
IN_REALTIME: tuple[tuple[int, Spoiling], ...] = (
    (1, "swapped with the next"),
    (4, "swapped with the next"),
    (7, "swapped with the next"),
    (5, "of another binding"),
    (4, "lost"),
)


def planted(file_name: str, plants: Mapping[str, Plant]) -> Iterator[Exchange]:
    """Yield the exchanges of a recording up to the last falsified one."""
    waiting = set(plants)
    for exchange in read(file_name):
        plant = plants.get(exchange.label)
        yield plant(exchange) if plant else exchange
        waiting.discard(exchange.label)
        if not waiting:
            return
    raise LookupError(f"not recorded: {waiting}")


async def in_postgrest(stack: Stack, report: Report) -> None:
    """Replay IN_POSTGREST."""
    await asyncio.to_thread(postgrest.replay, stack, report, planted("postgrest.jsonl", IN_POSTGREST))


async def in_storage(stack: Stack, report: Report) -> None:
    """Replay IN_STORAGE."""
    await asyncio.to_thread(storage.replay, stack, report, planted("storage.jsonl", IN_STORAGE))


async def in_realtime(stack: Stack, report: Report) -> None:
    """Play the CONVERSATION unchanged, and then with each of IN_REALTIME."""
    realtime.prepare(stack)
    report.compared(CONVERSATION, await realtime.play(stack, CONVERSATION))
    for number, spoiling in IN_REALTIME:
        report.compared(f"frame {number} {spoiling}", await spoiled(stack, number, spoiling))


async def spoiled(stack: Stack, number: int, spoiling: Spoiling) -> list[str]:
    """Return the differences in the CONVERSATION when the server's frame of that number is spoiled."""
    await realtime.clean(stack)
    return await Player(stack, CONVERSATION, connect=partial(Spoiled, number, spoiling)).play()


class Spoiled(Client):
    """A connection that spoils one received frame, given by its number from 1."""

    def __init__(self, number: int, spoiling: Spoiling, url: str, apikey: str, vsn: str) -> None:
        super().__init__(url, apikey, vsn)
        self._number = number
        self._spoiling = spoiling
        self._late: list[dict[str, Any]] = []

    async def receive(self, event: str | None = None, *, seconds: float = 30.0) -> dict[str, Any]:
        if self._late:
            return self._late.pop()
        frame = await super().receive(event, seconds=seconds)
        if len(self.seen) != self._number:
            return frame
        if self._spoiling == "of another binding":
            bindings = [binding["id"] for binding in self.seen[0]["payload"]["response"]["postgres_changes"]]
            others = [number for number in bindings if number not in frame["payload"]["ids"]]
            return frame | {"payload": frame["payload"] | {"ids": others[:1]}}
        if self._spoiling == "swapped with the next":
            self._late.append(frame)
        return await super().receive(event, seconds=seconds)
