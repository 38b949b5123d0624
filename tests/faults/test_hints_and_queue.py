"""Hints that lie, and a worker that finds every row once all the same."""

import asyncio

import pytest

from sentinel_worker.local.faults import Faults, HttpFault, RealtimeFaults
from sentinel_worker.local.stack import Stack
from tests.faults.conftest import Insert, Lines, RunInstant, answered_once, said
from tests.integration.daemon.conftest import sql, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    "how", ["repeat_changes", "reorder_changes", "malform_changes", "thin_changes", "oversize_changes", "lose_changes"]
)
async def test_odd_events_answer_every_row_once(
    stack: Stack, run_instant: RunInstant, insert: Insert, how: str
) -> None:
    async with run_instant():
        await stack.misbehave(Faults(realtime=RealtimeFaults(**{how: True}, lose_broadcasts=True)))
        ids = insert(5)
        for _ in range(5):
            ids += insert(1)
            await asyncio.sleep(0.05)
        await answered_once(stack, ids)


async def test_a_row_that_no_hint_announced_is_found_by_the_sweep_and_the_deaf_connections_end(
    stack: Stack, run_instant: RunInstant, insert: Insert, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel_worker.worker.MISSED_AFTER_SECONDS", 0.2)
    async with run_instant(sweep_seconds=1.5, sweep_degraded_seconds=1.5) as running:
        await stack.misbehave(Faults(realtime=RealtimeFaults(lose_changes=True, lose_broadcasts=True)))
        assert running.wakeup is not None
        before = [hint.generation for hint in running.wakeup.hints.values()]
        await answered_once(stack, insert(1))
        await until(lambda: len(said(lines, "realtime.lost")) == 2, what="both connections end")
        assert said(lines, "worker.sweep_missed")
        await stack.behave()
        await until(lambda: running.wakeup.healthy, what="it hears again")  # type: ignore[union-attr]
        assert [hint.generation for hint in running.wakeup.hints.values()] > before


@pytest.mark.parametrize("call", ["sentinel_claim", "sentinel_finish"])
async def test_an_answer_that_is_lost_again_and_again(
    stack: Stack, run_instant: RunInstant, insert: Insert, call: str
) -> None:
    """The call is committed each time; the fourth answer arrives."""
    async with run_instant():
        await stack.misbehave(Faults(http=(HttpFault(service="rest", path=call, lose_answer=True, times=3),)))
        ids = insert(20)
        await answered_once(stack, ids)
    reoffers = sql(stack, "select count(*) from sentinel.attempts where request_id = any(%s::uuid[])", ids)
    assert reoffers == [{"count": 20}]
