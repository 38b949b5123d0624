"""The local Realtime responds as the real server did: replay of its recorded exchanges."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import psycopg
import pytest

from sentinel_local_supabase.stack import Stack
from tests.contract import realtime
from tests.contract.realtime_frames import names
from tests.contract.realtime_probe import Differs, probe
from tests.contract.report import Report
from tests.integration.realtime.conftest import Client


async def test_recorded_exchanges_that_do_not_last(realtime_stack: Stack) -> None:
    report = Report(realtime.NAME)
    await realtime.compare_sample(realtime_stack, report)
    assert [entry.label for entry in report.entries] == [name for name in names() if name not in realtime.LAST]
    assert report.unexplained == [], report.text()


@pytest.mark.matrix("contract")
async def test_recorded_exchanges(realtime_stack: Stack, conclude: Callable[[Report], None]) -> None:
    report = Report(realtime.NAME)
    await realtime.compare(realtime_stack, report)
    assert [entry.label for entry in report.entries] == names()
    conclude(report)


class Resumption:
    """A fake server and database: of the first three rows those in `order` arrive when the third is written."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self._order = list(order)
        self._rows: list[str] = []

    def execute(self, _: str, values: list[str]) -> None:
        self._rows += values

    async def receive(self) -> dict[str, Any]:
        if len(self._rows) < 3 or not self._order:
            await asyncio.Event().wait()
        row = self._rows[self._order.pop(0)]
        return {"event": "postgres_changes", "payload": {"data": {"record": {"id": row}}}}


async def resume(order: tuple[int, ...], *, loses: bool) -> None:
    both = Resumption(order)
    client, database = cast("Client", both), cast("psycopg.Connection", both)
    await probe(client, database, every_seconds=0.01, patience_seconds=0.5, loses=loses)


@pytest.mark.parametrize(("order", "loses"), [((0, 1, 2), False), ((1, 2), False), ((1, 2), True), ((2,), True)])
async def test_the_end_of_a_loss_is_what_arrives_without_a_gap(order: tuple[int, ...], loses: bool) -> None:
    await resume(order, loses=loses)


@pytest.mark.parametrize(
    ("order", "loses", "said"),
    [
        ((0, 2), False, "with a gap or out of order"),
        ((1, 0, 2), False, "with a gap or out of order"),
        ((), False, "none came"),
        ((0, 1, 2), True, "none came"),
    ],
)
async def test_other_ends_of_a_loss_are_reported(order: tuple[int, ...], loses: bool, said: str) -> None:
    with pytest.raises(Differs, match=said):
        await resume(order, loses=loses)
