"""The local Storage responds as 1.70.6 did: replay of its recorded exchanges, in order."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from sentinel_local_supabase.stack import Stack
from tests.contract import storage, storage_scenes
from tests.contract.replay import read
from tests.contract.report import Report
from tests.stacks import stack_at

LEAST_SHARE = 0.99


@pytest.fixture
async def empty_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack without buckets, whose database may be stopped."""
    folder = tmp_path_factory.mktemp("storage")
    async with stack_at(folder, migrations=False) as running:
        yield running


async def test_recorded_exchanges(empty_stack: Stack, conclude: Callable[[Report], None]) -> None:
    report = Report(storage.NAME)
    await asyncio.to_thread(storage.replay, empty_stack, report)
    conclude(report)
    assert report.share >= LEAST_SHARE
    assert len(report.entries) == len(list(read("storage.jsonl")))
    assert {entry.label for entry in report.left_out} == set(storage_scenes.LEFT_OUT)
