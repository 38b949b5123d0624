"""Realtime answers as the real server did: its recorded exchanges are played again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel_worker.local.stack import Stack
from tests.contract import realtime
from tests.contract.realtime_frames import names
from tests.contract.report import Report


@pytest.mark.timeout(300)
async def test_recorded_exchanges(tmp_path: Path, conclude: Callable[[Report], None]) -> None:
    report = Report(realtime.NAME)
    async with Stack(tmp_path, port=0, durable=False, migrations=False, pace="fast") as stack:
        await realtime.compare(stack, report)
    assert [entry.label for entry in report.entries] == names()
    conclude(report)
