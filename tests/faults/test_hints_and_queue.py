"""False, lost or repeated wake-ups: the worker still finds every row once; and its sweeps of the queue."""

import asyncio
from dataclasses import replace
from time import monotonic

import pytest

from sentinel_local_supabase.faults import Faults, HttpFault, RealtimeFaults
from sentinel_local_supabase.stack import Stack
from sentinel_worker.wake.connection import HintName
from tests.faults.conftest import TIMES, Insert, Lines, RunInstant, answered_once, said
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import sql
from tests.matrix import sampled
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


ODD = ["repeat_changes", "reorder_changes", "malform_changes", "thin_changes", "oversize_changes", "lose_changes"]
QUEUED = "select from analysis_requests where status = 'queued'"


@pytest.mark.parametrize("how", sampled("faults", ODD, ["malform_changes"]))
async def test_odd_events_answer_every_row_once(
    stack: Stack, run_instant: RunInstant, insert: Insert, how: str
) -> None:
    async with run_instant():
        await stack.misbehave(Faults(realtime=RealtimeFaults(**{how: True}, lose_broadcasts=True)))
        ids = insert(5)
        for _ in range(5):
            ids += insert(1)
            await until(lambda: not sql(stack, QUEUED), what="they are claimed")
        await answered_once(stack, ids)


async def test_a_row_that_no_hint_announced_is_found_by_the_sweep_and_the_deaf_connections_end(
    stack: Stack, run_instant: RunInstant, insert: Insert, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel_worker.worker.sweeps.MISSED_AFTER_SECONDS", 0.2)
    async with run_instant(sweep_seconds=1.5, sweep_degraded_seconds=1.5) as running:
        await stack.misbehave(Faults(realtime=RealtimeFaults(lose_changes=True, lose_broadcasts=True)))
        assert running.wakeup is not None
        before = [hint.generation for hint in running.wakeup.hints.values()]
        async with asyncio.timeout(30):
            while not said(lines, "worker.sweep_missed"):  # a hint just before a sweep was not missed
                await answered_once(stack, insert(1))
        await until(lambda: len(said(lines, "realtime.lost")) == 2, what="both connections end")
        await stack.behave()
        await until(lambda: running.wakeup.healthy, what="it hears again")  # type: ignore[union-attr]
        assert [hint.generation for hint in running.wakeup.hints.values()] > before


@pytest.mark.parametrize(("dead", "healthy"), [("changes", "broadcast"), ("broadcast", "changes")])
async def test_a_hint_that_is_silent_beside_a_healthy_one_is_renewed(
    stack: Stack, run_instant: RunInstant, insert: Insert, lines: Lines, dead: HintName, healthy: HintName
) -> None:
    """The healthy hint wakes the worker, so no row waits for a sweep that would show the silence of the other."""
    lost = {"lose_changes": True} if dead == "changes" else {"lose_broadcasts": True}
    times = replace(TIMES, deaf=0.5)
    async with run_instant(sweep_seconds=60, sweep_degraded_seconds=60, times=times) as running:
        assert running.wakeup is not None
        await stack.misbehave(Faults(realtime=RealtimeFaults(**lost)))
        async with asyncio.timeout(30):
            while not said(lines, "realtime.lost"):
                await answered_once(stack, insert(1))
        await stack.behave()
        await until(lambda: running.ready, what="it hears again")
        generations = {name: hint.generation for name, hint in running.wakeup.hints.items()}
        (line,) = said(lines, "realtime.lost")
        assert (line["hint"], line["reason"]) == (dead, "it announced none of the last 3 rows or more")
        assert generations == {dead: 2, healthy: 1}
    assert not said(lines, "worker.sweep_missed")


async def test_no_hint_is_blamed_while_realtime_is_known_to_be_down(
    stack: Stack, run_instant: RunInstant, insert: Insert, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel_worker.worker.sweeps.MISSED_AFTER_SECONDS", 0.2)
    async with run_instant(sweep_seconds=1.5, sweep_degraded_seconds=1.5) as running:
        await stack.misbehave(Faults(realtime=RealtimeFaults(refuse_status=503, close_sockets_after_seconds=0)))
        assert running.wakeup is not None
        await until(lambda: not running.wakeup.healthy, what="Realtime is down")  # type: ignore[union-attr]
        for _ in range(3):
            await answered_once(stack, insert(1))
    assert not said(lines, "worker.sweep_missed")


async def test_a_scheduled_request_starts_at_its_time_and_no_hint_is_blamed(
    stack: Stack, run_instant: RunInstant, insert: Insert, lines: Lines
) -> None:
    """The insert is announced long before the request can be claimed."""
    async with run_instant(sweep_seconds=60, sweep_degraded_seconds=60):
        ids = insert(1, in_seconds=4)
        await answered_once(stack, ids, limit_seconds=20)
    late = sql(stack, "select extract(epoch from started_at - run_at)::float8 as late from analysis_requests")[0][
        "late"
    ]
    assert 0 <= late < 5, late
    assert not said(lines, "worker.sweep_missed")


async def test_a_scheduled_request_that_only_a_sweep_finds_blames_no_hint(
    stack: Stack, run_instant: RunInstant, insert: Insert, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel_worker.worker.sweeps.MISSED_AFTER_SECONDS", 0.2)
    async with run_instant(sweep_seconds=4, sweep_degraded_seconds=4):
        await stack.misbehave(Faults(realtime=RealtimeFaults(lose_changes=True, lose_broadcasts=True)))
        await answered_once(stack, insert(1, in_seconds=1))
        assert not said(lines, "worker.sweep_missed")


async def test_polling_begins_when_the_last_hint_is_lost_not_when_the_next_sweep_was_due(
    stack: Stack, run_instant: RunInstant, insert: Insert
) -> None:
    """The request waits for its time, so that no look to which the loss itself led can find it."""
    async with run_instant(sweep_seconds=60, sweep_degraded_seconds=0.3) as running:
        await until(lambda: running.worker._sweeps._at > monotonic() + 30, what="it sweeps rarely")
        refused = RealtimeFaults(refuse_status=503, close_sockets_after_seconds=0.01)
        await stack.misbehave(Faults(realtime=refused))
        await until(lambda: not any(running.states.values()), what="both hints are lost")
        await answered_once(stack, insert(1, in_seconds=2), limit_seconds=20)


async def test_a_worker_told_to_drain_in_the_middle_of_a_look_claims_nothing_more(
    stack: Stack, run_instant: RunInstant, insert: Insert, proxy: FaultProxy
) -> None:
    async with run_instant(via=proxy) as running:
        proxy.hold = "sentinel_maintain"
        await asyncio.wait_for(proxy.held.wait(), 30)
        ids = insert(1)
        running.worker.drain()
        proxy.release.set()
    assert sql(stack, "select id::text, status, attempt from analysis_requests") == [
        {"id": ids[0], "status": "queued", "attempt": 0}
    ]


@pytest.mark.matrix("faults")
@pytest.mark.parametrize("call", ["sentinel_claim", "sentinel_finish"])
async def test_an_answer_that_is_lost_again_and_again(
    stack: Stack, run_instant: RunInstant, insert: Insert, call: str
) -> None:
    """Each call is committed; only the fourth answer arrives."""
    async with run_instant():
        await stack.misbehave(Faults(http=(HttpFault(service="rest", path=call, lose_answer=True, times=3),)))
        ids = insert(20)
        await answered_once(stack, ids)
    reoffers = sql(stack, "select count(*) from sentinel.attempts where request_id = any(%s::uuid[])", ids)
    assert reoffers == [{"count": 20}]
