"""The local REST responds as PostgREST 14.12 did: replay of its recorded exchanges, in order."""

import asyncio
from collections.abc import Callable

import pytest

from sentinel_local_supabase.stack import Stack
from tests.contract import postgrest
from tests.contract.replay import Exchange, read
from tests.contract.report import Report

Conclude = Callable[[Report], None]


async def test_recorded_exchanges_that_do_not_last(bare_stack: Stack) -> None:
    report = Report(postgrest.NAME)
    await replay(bare_stack, report, [one for one in read("postgrest.jsonl") if one.label not in postgrest.LAST])
    assert report.unexplained == [], report.text()


@pytest.mark.matrix("contract")
async def test_recorded_exchanges(bare_stack: Stack, conclude: Conclude) -> None:
    report = Report(postgrest.NAME)
    await replay(bare_stack, report, list(read("postgrest.jsonl")))
    conclude(report)


async def replay(stack: Stack, report: Report, exchanges: list[Exchange]) -> None:
    """Replay the exchanges, and check that the report has each."""
    await asyncio.to_thread(postgrest.replay, stack, report, exchanges)
    assert len(report.entries) == len(exchanges)
