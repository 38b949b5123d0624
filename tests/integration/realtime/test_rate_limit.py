"""The rate limits on row changes and broadcasts: the real server's arithmetic, and silent drops over a real socket."""

import logging
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.realtime.rate_limit import BROADCASTS, CHANGES, RateLimit
from sentinel_local_supabase.realtime.settings import RealtimeSettings
from tests.integration.realtime.conftest import FAST, Client, Serve
from tests.integration.realtime.test_faults import until_polled
from tests.waits import until

INSERT = "insert into analysis_requests (status) select %s from generate_series(1, %s)"


class Clock:
    """A clock that a test sets, in seconds."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def dropped_seconds(limit: RateLimit, clock: Clock, seconds: range) -> list[int]:
    """Return the seconds, counted from the start, in which changes are dropped."""
    dropped = []
    for second in seconds:
        clock.now = 1000.0 + second
        if limit.exceeded():
            dropped.append(second)
    return dropped


def test_a_thousand_events_at_once_cost_five_seconds() -> None:
    clock = Clock()
    limit = RateLimit(100, clock)
    assert not limit.exceeded()
    limit.count(1000)
    # As recorded: after five seconds two windows hold 1,000 events, 100 a second; after ten seconds three do.
    assert dropped_seconds(limit, clock, range(120)) == [5, 6, 7, 8, 9]


def test_a_burst_of_ten_thousand_costs_a_minute() -> None:
    clock = Clock()
    limit = RateLimit(100, clock)
    assert not limit.exceeded()
    limit.count(10_000)
    assert dropped_seconds(limit, clock, range(200)) == list(range(5, 65))


def test_a_steady_rate_below_the_limit_is_never_dropped() -> None:
    clock = Clock()
    limit = RateLimit(100, clock)
    for second in range(300):
        assert dropped_seconds(limit, clock, range(second, second + 1)) == []
        limit.count(99)


def test_a_long_silence_is_forgotten() -> None:
    clock = Clock()
    limit = RateLimit(100, clock)
    assert not limit.exceeded()
    limit.count(2000)
    assert dropped_seconds(limit, clock, range(60)) == list(range(5, 20))
    # Five minutes after the start the windows begin again. A burst exceeds the average of a few, but not of twelve.
    assert dropped_seconds(limit, clock, range(60, 301)) == []
    limit.count(2000)
    assert dropped_seconds(limit, clock, range(301, 400)) == list(range(305, 315))


def test_three_of_four_broadcasts_are_dropped_at_three_times_the_limit() -> None:
    """As recorded: of 294 transactions a second for 20 s, with one listener, about 4,500 of 5,900 were dropped."""
    clock = Clock()
    limit = RateLimit(100, clock, BROADCASTS)
    dropped = 0
    for number in range(20 * 294):
        clock.now = 1000.0 + number / 294
        if limit.exceeded():
            dropped += 1
        else:
            limit.count(2)
    assert dropped == pytest.approx(4500, rel=0.06)


def test_a_day_without_events_is_skipped() -> None:
    clock = Clock()
    limit = RateLimit(100, clock, BROADCASTS)
    limit.count(10_000)
    clock.now += 1.0
    assert limit.exceeded()
    clock.now += 86_400.0
    assert not limit.exceeded()
    assert limit._ended < 2000


def test_no_limit() -> None:
    limit = RateLimit(None)
    limit.count(10**9)
    assert not limit.exceeded()


@pytest.mark.parametrize(("events_per_second", "arrive"), [(100, False), (None, True)])
async def test_over_the_limit_everybody_misses_everything_without_a_word(
    serve: Serve,
    keys: ProjectKeys,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    events_per_second: int | None,
    arrive: bool,
) -> None:
    clock = Clock()
    monkeypatch.setattr("sentinel_local_supabase.realtime.changes.RateLimit", partial(RateLimit, clock=clock))
    settings = replace(FAST, changes=replace(FAST.changes, events_per_second=events_per_second))
    everything = {"event": "INSERT", "schema": "public", "table": "analysis_requests"}
    async with serve(settings) as server, Client(server.url, keys.secret_key) as a:
        await a.subscribe("realtime:a", everything, everything)  # two subscriptions: each change counts twice
        database.execute(INSERT, ["burst", 1500])
        for _ in range(1500):
            assert len((await a.receive("postgres_changes"))["payload"]["ids"]) == 2
        async with Client(server.url, keys.secret_key) as b:
            await b.subscribe("realtime:b", everything)
            clock.now += CHANGES.seconds
            with caplog.at_level(logging.WARNING):
                database.execute(INSERT, ["later", 1])
                await until_polled(database)
            assert ("MessagePerSecondRateLimitReached" in caplog.text) is not arrive
            # The connection and broadcasts keep working.
            await b.join("realtime:room")
            database.execute("select realtime.send('{}'::jsonb, 'e', 'room', false)")
            await b.receive("broadcast")
            assert ("postgres_changes" in [frame["event"] for frame in b.seen]) is arrive
            await a.reply(await a.send("phoenix", "heartbeat", {}))
            assert {frame["event"] for frame in a.seen} == {"phx_reply", "system", "postgres_changes"}


@pytest.mark.parametrize(("a_second", "arrives"), [(100, False), (None, True)])
async def test_over_the_limit_broadcasts_from_the_database_are_dropped_without_a_word(
    serve: Serve,
    keys: ProjectKeys,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    a_second: int | None,
    arrives: bool,
) -> None:
    clock = Clock()
    monkeypatch.setattr("sentinel_local_supabase.realtime.service.RateLimit", partial(RateLimit, clock=clock))
    send = "select realtime.send('{}'::jsonb, %s, 'room', false)"
    async with serve(replace(FAST, broadcasts_per_second=a_second)) as server, Client(server.url, keys.secret_key) as a:
        await a.join("realtime:room")
        for _ in range(150):
            database.execute(send, ["burst"])
        for _ in range(150):
            await a.receive("broadcast")
        clock.now += BROADCASTS.seconds
        with caplog.at_level(logging.WARNING):
            database.execute(send, ["dropped"])
            if not arrives:
                await until(lambda: "UnableToBroadcastChanges" in caplog.text, what="the limit is noticed")
        clock.now += 5 * BROADCASTS.seconds
        database.execute(send, ["later"])
        events = [(await a.receive("broadcast"))["payload"]["event"]]
        while events[-1] != "later":
            events.append((await a.receive("broadcast"))["payload"]["event"])
        assert ("dropped" in events) is arrives
        assert {frame["event"] for frame in a.seen} == {"phx_reply", "broadcast"}


def test_the_paces() -> None:
    assert RealtimeSettings() == RealtimeSettings.at("real")
    assert RealtimeSettings().changes.events_per_second == 100
    assert RealtimeSettings.at("fast", events_per_second=None).changes.events_per_second is None
    assert RealtimeSettings.at("fast", events_per_second=None).broadcasts_per_second is None
    assert RealtimeSettings().broadcasts_per_second == 100
    assert RealtimeSettings.at("fast").changes.idle_poll_seconds < RealtimeSettings().changes.busy_poll_seconds
