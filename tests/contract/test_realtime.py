"""Realtime answers as the real server did: its recorded exchanges are played again."""

from collections.abc import Callable

import pytest

from sentinel_worker.local.stack import Stack
from tests.contract import realtime
from tests.contract.realtime_frames import names
from tests.contract.report import Report


@pytest.mark.timeout(300)
async def test_recorded_exchanges(realtime_stack: Stack, conclude: Callable[[Report], None]) -> None:
    report = Report(realtime.NAME)
    await realtime.compare(realtime_stack, report)
    assert [entry.label for entry in report.entries] == names()
    conclude(report)
