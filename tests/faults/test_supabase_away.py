"""Supabase refuses, stalls and goes away: nothing is lost or done twice, and no server is flooded."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest

from sentinel_local_supabase.faults import Faults, HttpFault
from sentinel_local_supabase.stack import Stack
from sentinel_worker.supabase_client import connections
from sentinel_worker.worker import loop
from tests.faults.conftest import PROBE_SECONDS, Insert, Lines, RunInstant, answered_once, renamed, said
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import sql
from tests.matrix import sampled
from tests.waits import comes_true, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def counting_listener(port: int) -> AsyncIterator[list[float]]:
    """Listen in place of the gateway: close each connection at once and record its time."""
    times: list[float] = []

    async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        times.append(asyncio.get_running_loop().time())
        writer.close()

    server = await asyncio.start_server(count, "127.0.0.1", port)
    async with server:
        yield times


GROWING = 8
"""Probes while the pause grows from a second to a minute, plus one that had already started."""


async def test_an_outage_costs_a_probe_a_minute_and_two_lines(
    stack: Stack, run_instant: RunInstant, insert: Insert, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage of 12 minutes, sped up a hundredfold, as is the worker's own backoff before the breaker opens."""
    minutes = 12
    monkeypatch.setattr(loop, "RETRY_FIRST_SECONDS", loop.RETRY_FIRST_SECONDS / 100)
    async with run_instant() as running:
        await answered_once(stack, insert(5))
        await stack.stop_gateway()
        async with counting_listener(stack.port) as times:
            await until(lambda: running.circuit.open, what="the outage is noticed")
            opened, over = len(times), asyncio.get_running_loop().time() + minutes * PROBE_SECONDS
            await until(lambda: bool(times) and times[-1] > over, what="a probe comes after the twelfth minute")
            probes = len(times) - 1 - opened
        await stack.start_gateway()
        await answered_once(stack, insert(5))
    assert probes <= minutes + GROWING, "one a minute, once the pause has grown to that"
    ours = [line for line in lines if line["log_level"] in {"warning", "error"}]
    assert len(said(lines, "supabase.lost")) == 1
    assert len(ours) <= 12, ours
    (returned,) = said(lines, "supabase.returned")
    assert returned["away_seconds"] >= minutes * PROBE_SECONDS
    assert returned["attempts"] >= minutes / 2


SAVEABLE = "select from sentinel.leases where lease_until + interval '0.5 s' > now()"


async def test_heartbeats_go_on_while_a_lease_can_be_saved_and_no_longer(
    stack: Stack, run_instant: RunInstant, insert: Insert, lines: Lines
) -> None:
    async with run_instant(seconds=2, lease_seconds=3, heartbeat_seconds=0.5):
        ids = insert(2)
        await until(lambda: len(said(lines, "request.claimed")) == len(ids), what="they are claimed")
        await stack.stop_gateway()  # the outcomes have to wait, and keep their leases
        await until(lambda: not sql(stack, SAVEABLE), what="the leases are over")
        tries = len(said(lines, "lease.heartbeat_failed"))
        assert tries > 2
        assert not await comes_true(lambda: len(said(lines, "lease.heartbeat_failed")) > tries, limit_seconds=1.5)
        await stack.start_gateway()
        results = "select count(*) from analysis_results where is_current and request_id = any(%s::uuid[])"
        await until(lambda: sql(stack, results, ids) == [{"count": 2}], what="both are answered")


STORMS: dict[str, dict[str, Any]] = {
    "PGRST002": {"status": 503},
    "PGRST003": {"status": 504},
    "page": {"status": 502, "body": "html"},
    "cloudflare": {"status": 522, "body": "html"},
    "empty": {"status": 500, "body": "empty"},
    "retry-after": {"status": 503, "retry_after_seconds": 1},
    "rate-limit": {"status": 429, "retry_after_seconds": 1},
}


@pytest.mark.parametrize("storm", sampled("faults", STORMS, ["PGRST002", "retry-after"]))
async def test_a_storm_of_refusals(stack: Stack, run_instant: RunInstant, insert: Insert, storm: str) -> None:
    async with run_instant():
        times = 2 if "retry_after_seconds" in STORMS[storm] else 20
        await stack.misbehave(Faults(http=(HttpFault(service="rest", times=times, **STORMS[storm]),)))
        await answered_once(stack, insert(20))


@contextmanager
def killing(stack: Stack) -> Iterator[list[int]]:
    """Cut every REST connection again and again, also during calls; yield how many were cut each time."""
    stop, killed = threading.Event(), list[int]()

    def kill() -> None:
        with psycopg.connect(stack.superuser_dsn, autocommit=True) as connection:
            while not stop.wait(0.02):
                done = connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'"
                )
                killed.append(done.rowcount)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


KILLS = 30


async def test_a_storm_of_killed_connections(stack: Stack, run_instant: RunInstant, insert: Insert) -> None:
    """PGRST001: the client cannot know if the call was carried out."""
    async with run_instant(seconds=0.05):
        with killing(stack) as killed:
            ids = insert(60)
            await until(lambda: sum(killed) >= KILLS, what=lambda: f"{KILLS} connections were killed; {sum(killed)}")
        await answered_once(stack, ids)


SPOILED = ("sentinel_claim", "sentinel_finish")


async def test_crashes_of_postgresql(stack: Stack, run_instant: RunInstant, insert: Insert) -> None:
    """What the kernel does when memory runs out; some of the answers then name no code."""
    blank = (HttpFault(service="rest", path=path, status=400, body="blank", times=6) for path in SPOILED)
    async with run_instant(seconds=0.05):
        await stack.misbehave(Faults(http=tuple(blank)))
        ids = insert(60)
        for _ in range(3):
            assert await stack.crash_postgres()
            await until(lambda: _answers(stack), what="PostgreSQL has recovered")
            ids += insert(5)
            await until(lambda: bool(sql(stack, BACKEND)), what="the gateway has connected again")
        await answered_once(stack, ids)


BACKEND = "select from pg_stat_activity where usename = 'authenticator'"


def _answers(stack: Stack) -> bool:
    try:
        sql(stack, "select")
    except psycopg.OperationalError:
        return False
    return True


async def test_answers_come_late_and_connections_are_cut(
    stack: Stack, run_instant: RunInstant, insert: Insert, proxy: FaultProxy
) -> None:
    async with run_instant(via=proxy, seconds=0.02):
        ids = insert(100)
        for delay in (0.0, 0.05, 0.2, 0.0):
            proxy.delay_seconds, asked = delay, len(proxy.requests)
            await until(lambda: len(proxy.requests) >= asked + 5, what="requests are under way")  # noqa: B023
            proxy.reset()
        await answered_once(stack, ids)


async def test_a_half_open_connection_times_out(
    stack: Stack, run_instant: RunInstant, insert: Insert, proxy: FaultProxy, lines: Lines
) -> None:
    async with run_instant(via=proxy, http_timeout_seconds=0.5):
        await answered_once(stack, insert(3))
        proxy.silent = True
        ids = insert(3)
        await until(lambda: bool(said(lines, "worker.call_failed")), what="the silence is noticed")
        proxy.silent = False
        await answered_once(stack, ids)
    assert said(lines, "worker.call_failed")[0]["error_code"] == "supabase_timed_out"


async def test_a_key_that_is_refused_for_a_while(
    stack: Stack, run_instant: RunInstant, insert: Insert, lines: Lines
) -> None:
    """Every service refuses the worker for a while: it stays up, retries slowly, and recovers."""
    refusing = tuple(HttpFault(service=service, status=401, retry_after_seconds=1) for service in ("rest", "storage"))
    async with run_instant() as running:
        await answered_once(stack, insert(3))
        await stack.misbehave(Faults(http=refusing))
        ids = insert(3)
        await until(lambda: len(said(lines, "worker.call_failed")) > 1, what="it is refused twice")
        assert running.health.state == "degraded"
        assert not running.circuit.open
        await stack.behave()
        await answered_once(stack, ids)
    assert {line["error_code"] for line in said(lines, "worker.call_failed")} == {"access_refused"}


async def test_a_key_that_changes_while_the_old_one_is_being_refused(
    stack: Stack, run_instant: RunInstant, insert: Insert, proxy: FaultProxy, lines: Lines
) -> None:
    """The refusal asks for a minute's wait, but it was for the old key: the new key is tried at once."""
    refusal = HttpFault(service="rest", path="sentinel_claim", status=401, retry_after_seconds=60)
    async with run_instant(via=proxy) as running:
        await stack.misbehave(Faults(http=(refusal,)))
        ids = insert(3)
        await until(lambda: bool(said(lines, "worker.call_failed")), what="it is refused")
        proxy.hold = "sentinel_claim"
        running.worker.key_changed()
        await asyncio.wait_for(proxy.held.wait(), 10)  # with the refusal that the second key gets
        await stack.behave()
        running.worker.key_changed()
        proxy.release.set()
        await answered_once(stack, ids)
    assert {line["error_code"] for line in said(lines, "worker.call_failed")} == {"access_refused"}


NEEDED = ["sentinel_claim", "sentinel_finish", "sentinel_heartbeat", "sentinel_maintain"]


@pytest.mark.parametrize("function", sampled("faults", NEEDED, ["sentinel_claim"]))
async def test_a_migration_during_work(
    stack: Stack,
    run_instant: RunInstant,
    insert: Insert,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
) -> None:
    """PGRST202: the function is missing for a moment."""
    monkeypatch.setattr(connections, "REFUSED_RETRY_SECONDS", 0.2)
    async with run_instant(seconds=1.5, heartbeat_seconds=0.3):
        with renamed(stack, function):
            ids = insert(8)
            await until(lambda: "schema_missing" in {line.get("error_code") for line in lines}, what="it is missed")
        await answered_once(stack, ids)


@pytest.mark.parametrize(
    "scheduled", sampled("faults", [0, 1], [1]), ids=["nothing waits", "one is scheduled for later"]
)
async def test_an_idle_worker_is_quiet(
    stack: Stack, run_instant: RunInstant, insert: Insert, proxy: FaultProxy, lines: Lines, scheduled: int
) -> None:
    """Ten minutes at the default sweep of 30 s, sped up a hundredfold: fewer than 40 requests, no line above info."""
    insert(scheduled, in_seconds=3600)
    async with run_instant(via=proxy, sweep_seconds=0.3):
        proxy.requests.clear()
        lines.clear()
        assert not await comes_true(lambda: len(proxy.requests) >= 40, limit_seconds=6), proxy.requests
        assert len(proxy.requests) >= 20, proxy.requests
        assert not [line for line in lines if line["log_level"] != "info"]
