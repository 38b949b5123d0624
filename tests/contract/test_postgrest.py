"""REST answers as the real PostgREST 14.12 did: its recorded exchanges are sent again, in order."""

import asyncio
from collections.abc import Callable

from sentinel_worker.local.stack import Stack
from tests.contract import postgrest
from tests.contract.replay import read
from tests.contract.report import Report


async def test_recorded_exchanges(bare_stack: Stack, conclude: Callable[[Report], None]) -> None:
    report = Report(postgrest.NAME)
    await asyncio.to_thread(postgrest.replay, bare_stack, report)
    assert len(report.entries) == len(list(read("postgrest.jsonl")))
    conclude(report)
